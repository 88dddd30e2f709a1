import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from preprocess.pixels.decode import decode_image, read_image, to_eight_bits
from preprocess.pixels.picture_quality import MARKED
from preprocess.pixels.reading_rules import UnreadableImageError

NOISE = np.random.default_rng(0).integers(0, 256, (48, 32), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (48, 32, 3), dtype=np.uint8)


def refusal(path, **keywords) -> UnreadableImageError:
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path, **keywords)
    return caught.value


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff"])
def test_a_grey_file_keeps_one_channel_and_every_level(tmp_path, suffix):
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(NOISE).save(path)
    np.testing.assert_array_equal(read_image(path), NOISE)


@pytest.mark.parametrize("pixels", [NOISE, COLOUR], ids=["grey", "colour"])
def test_a_jpeg_reads_as_opencv_reads_it(tmp_path, pixels):
    path = tmp_path / "image.jpg"
    Image.fromarray(pixels).save(path, quality=90)
    expected = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    got = read_image(path)
    np.testing.assert_array_equal(got if got.ndim == 3 else np.stack([got] * 3, axis=-1), expected)


def test_alpha_is_dropped_without_blending(tmp_path):
    alpha = np.full((48, 32, 1), 7, dtype=np.uint8)
    Image.fromarray(np.concatenate([COLOUR, alpha], axis=-1)).save(tmp_path / "rgba.png")
    Image.merge("LA", [Image.fromarray(NOISE), Image.fromarray(alpha[..., 0])]).save(tmp_path / "la.png")
    assert decode_image(tmp_path / "rgba.png").transparent
    Image.fromarray(COLOUR).convert("RGBA").save(tmp_path / "opaque.png")
    assert not decode_image(tmp_path / "opaque.png").transparent
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), COLOUR)
    np.testing.assert_array_equal(read_image(tmp_path / "la.png"), NOISE)


def test_a_palette_is_looked_up_and_one_bit_becomes_black_and_white(tmp_path):
    Image.fromarray(NOISE).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(NOISE > 127).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png")[..., 1], NOISE)
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png"), np.where(NOISE > 127, 255, 0))


def test_exif_orientation_turns_the_picture_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(NOISE).save(tmp_path / "lying.jpg", exif=exif, quality=100)
    Image.fromarray(NOISE).save(tmp_path / "plain.jpg", quality=100)
    np.testing.assert_array_equal(read_image(tmp_path / "lying.jpg"), np.rot90(read_image(tmp_path / "plain.jpg"), -1))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sixteen_bit_files_are_windowed_by_the_depth_they_use(tmp_path, bits):
    levels = np.linspace(0, 2**bits - 1, 48 * 32).astype(np.uint16).reshape(48, 32)
    Image.fromarray(levels).save(tmp_path / "deep.png")
    got = read_image(tmp_path / "deep.png")
    np.testing.assert_array_equal(got, levels // 2 ** (bits - 8))
    assert len(np.unique(got)) == 256
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", sixteen_bit="high_byte"), levels // 256)


def test_a_black_sixteen_bit_picture_stays_black():
    assert not to_eight_bits(np.zeros((3, 3), dtype=np.uint16)).any()


def twelve_bit_film():
    """Return a film of 12 bits with a bright body; its 8-bit mean is 72 or so."""
    smooth = np.asarray(Image.fromarray(NOISE).resize((320, 400), Image.Resampling.BICUBIC), dtype=np.uint16)
    return smooth * 9


@pytest.mark.parametrize(
    "place",
    [np.s_[:20, :20], np.s_[:1, :1], np.s_[:, :60], np.s_[::20, ::20]],
    ids=["a letter", "a pixel", "a border", "dots"],
)
@pytest.mark.parametrize("level", [65_535, 32_768, 16_384])
def test_burnt_in_marks_do_not_take_the_grey_levels_of_a_twelve_bit_film(tmp_path, place, level):
    film = twelve_bit_film()
    marked = film.copy()
    marked[place] = level
    Image.fromarray(marked).save(tmp_path / "film.png")
    image = decode_image(tmp_path / "film.png")
    expected = film // 16
    expected[place] = 255
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.odd == (MARKED,)
    np.testing.assert_array_equal(read_image(tmp_path / "film.png", sixteen_bit="high_byte"), marked // 256)


def test_marks_and_borders_of_several_levels_above_a_gap_are_clipped(tmp_path):
    film = twelve_bit_film()
    marked = film.copy()
    marked[:, :40] = 65_535
    marked[:, 40:60] = 65_000
    marked[:30, 60:] = 60_000
    expected = film // 16
    expected[:, :60] = expected[:30] = 255
    np.testing.assert_array_equal(to_eight_bits(marked), expected)


def test_soft_edged_marks_are_clipped_too_and_bright_bone_is_not(tmp_path):
    film = twelve_bit_film()
    marked = film.copy()
    marked[:10, :40] = np.linspace(4096, 65_535, 400).astype(np.uint16).reshape(10, 40)
    np.testing.assert_array_equal(to_eight_bits(marked)[10:], film[10:] // 16)
    film[:50, :50] = np.linspace(0, 65_535, 2500).astype(np.uint16).reshape(50, 50)
    np.testing.assert_array_equal(to_eight_bits(film), film // 256)


@pytest.mark.parametrize("top", [4095, 65_535])
def test_a_sixteen_bit_tiff_that_is_white_at_zero_is_turned(tmp_path, top):
    levels = np.linspace(0, top, 48 * 32).astype(np.uint16).reshape(48, 32)
    for name, photometric, stored in (("black", 1, levels), ("white", 0, top - levels)):
        Image.fromarray(stored).save(tmp_path / f"{name}.tiff", tiffinfo={262: photometric})
    black, white = (read_image(tmp_path / f"{name}.tiff") for name in ("black", "white"))
    np.testing.assert_array_equal(white, black)
    assert black[0, 0] < black[-1, -1]


def save_deep(path, channels):
    """Write 16-bit channels in the order R, G, B, A."""
    order = [2, 1, 0, 3][: channels.shape[-1]]
    assert cv2.imwrite(str(path), np.ascontiguousarray(channels[..., order]))


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("alpha", [None, 65_535, 9])
def test_sixteen_bit_colour_keeps_the_levels_that_pillow_would_cut(tmp_path, suffix, alpha):
    deep = COLOUR.astype(np.uint16) << 4
    channels = deep if alpha is None else np.dstack([deep, np.full(deep.shape[:2], alpha, np.uint16)])
    save_deep(tmp_path / f"deep.{suffix}", channels)
    image = decode_image(tmp_path / f"deep.{suffix}")
    np.testing.assert_array_equal(image.pixels, COLOUR)
    assert image.transparent == (alpha == 9)
    np.testing.assert_array_equal(read_image(tmp_path / f"deep.{suffix}", sixteen_bit="high_byte"), deep >> 8)


def test_grey_in_sixteen_bit_channels_is_windowed_as_grey(tmp_path):
    film = twelve_bit_film()
    save_deep(tmp_path / "rgba.png", np.dstack([film, film, film, np.full(film.shape, 65_535, np.uint16)]))
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png"), film // 16)
    content = (tmp_path / "rgba.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    assert refusal(tmp_path / "cut.png").reason == "image is damaged"


def test_webp_is_read(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "film.webp", lossless=True)
    image = decode_image(tmp_path / "film.webp")
    assert image.format == "WEBP"
    np.testing.assert_array_equal(image.pixels, np.stack([NOISE] * 3, axis=-1))
    content = (tmp_path / "film.webp").read_bytes()
    (tmp_path / "cut.webp").write_bytes(content[: len(content) // 2])
    assert refusal(tmp_path / "cut.webp").reason in {"image is damaged", "not an image file"}


def test_a_pipe_and_a_device_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "film.png")
    assert str(refusal(tmp_path / "film.png")) == (
        f"image file cannot be read: {tmp_path}/film.png: not a regular file"
    )
    assert refusal("/dev/zero").reason == "image file cannot be read"


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_file_is_refused_and_never_filled_with_grey(tmp_path, suffix, share):
    buffer = io.BytesIO()
    Image.fromarray(np.tile(NOISE, (8, 8))).save(buffer, {"jpg": "JPEG", "png": "PNG"}[suffix])
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(buffer.getvalue()[: int(len(buffer.getvalue()) * share)])
    assert refusal(path).reason == "image is damaged"
    assert str(path) in str(refusal(path))


def test_what_is_no_image_is_refused_by_its_kind(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.jpg").write_text("<html>Log in to continue</html>", encoding="utf-8")
    assert refusal(tmp_path / "empty.jpg").reason == "image file is empty"
    assert (
        str(refusal(tmp_path / "page.jpg"))
        == f"not an image file: {tmp_path}/page.jpg is none of JPEG, PNG, BMP, TIFF, WEBP, DICOM"
    )
    assert str(refusal(tmp_path / "none.jpg")) == f"image file is missing: {tmp_path}/none.jpg"
    assert str(refusal(tmp_path)) == f"image file cannot be read: {tmp_path}: Is a directory"


def test_a_png_named_jpg_is_read_for_what_it_is(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "wrong.jpg", format="PNG")
    np.testing.assert_array_equal(read_image(tmp_path / "wrong.jpg"), NOISE)


@pytest.mark.parametrize("side", [9_000, 9_600, 14_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, side):
    """Pillow says nothing at the first size, warns at the second and raises at the third."""
    Image.new("1", (side, side)).save(tmp_path / "bomb.png")
    assert refusal(tmp_path / "bomb.png").reason == "image has too many pixels"


def test_several_frames_are_refused(tmp_path):
    pages = [Image.fromarray(NOISE), Image.fromarray(NOISE)]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    assert refusal(tmp_path / "pages.tiff").reason == "image has several frames"


def test_pixels_that_eight_bits_cannot_hold_are_refused(tmp_path):
    Image.fromarray(NOISE.astype(np.float32)).save(tmp_path / "float.tiff")
    Image.fromarray(NOISE.astype(np.int32) * 70_000).save(tmp_path / "int.tiff")
    assert refusal(tmp_path / "float.tiff").reason == "image is not 8- or 16-bit"
    assert refusal(tmp_path / "int.tiff").reason == "image is not 8- or 16-bit"


def large_jpeg(path, *, size=(700, 600), quality=95, **keywords):
    """Write a film-like JPEG that the default path decodes at half its size."""
    smooth = Image.fromarray(NOISE).resize(size, Image.Resampling.BICUBIC)
    smooth.save(path, quality=quality, **keywords)
    return path


@pytest.mark.parametrize("enough", [None, 300])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_jpeg_cut_short_is_refused_at_every_scale(tmp_path, enough, share):
    path = large_jpeg(tmp_path / "film.jpg")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableImageError, match="image is damaged"):
        decode_image(path, enough=enough)


@pytest.mark.parametrize("enough", [None, 300])
def test_a_jpeg_with_a_hole_but_a_proper_end_is_refused_though_other_readers_fill_it(tmp_path, enough):
    path = large_jpeg(tmp_path / "film.jpg")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + content[-2:])
    assert cv2.imread(str(path)) is not None
    with pytest.raises(UnreadableImageError, match="image is damaged"):
        decode_image(path, enough=enough)


@pytest.mark.parametrize(("enough", "shrunk"), [(None, 1), (701, 1), (351, 1), (350, 2), (175, 4), (87, 8), (1, 8)])
def test_a_jpeg_is_reduced_by_as_much_as_leaves_enough(tmp_path, enough, shrunk):
    image = decode_image(large_jpeg(tmp_path / "film.jpg", size=(700, 601)), enough=enough)
    assert (image.width, image.height, image.shrunk) == (700, 601, shrunk)
    assert image.pixels.shape == (-(-601 // shrunk), -(-700 // shrunk))


def test_only_jpegs_that_lie_upright_are_reduced(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    lying = decode_image(large_jpeg(tmp_path / "lying.jpg", size=(700, 601), exif=exif), enough=10)
    assert (lying.width, lying.height, lying.shrunk) == (601, 700, 1)
    Image.fromarray(NOISE).save(tmp_path / "film.png")
    assert decode_image(tmp_path / "film.png", enough=1).shrunk == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_the_right_to_read_it_is_refused(tmp_path):
    path = large_jpeg(tmp_path / "film.jpg")
    path.chmod(0)
    assert str(refusal(path)) == f"image file cannot be read: {path}: Permission denied"
