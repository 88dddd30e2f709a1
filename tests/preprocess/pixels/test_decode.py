import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image

from preprocess.pixels.decode import decode_image, read_image, to_eight_bits
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


def test_sixteen_bit_colour_is_refused_because_pillow_would_cut_it_silently(tmp_path):
    deep = (COLOUR.astype(np.uint16) << 4).copy()
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    assert refusal(tmp_path / "deep.png").reason == "image is 16-bit colour"
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png", sixteen_bit="high_byte"), deep >> 8)


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
        == f"not an image file: {tmp_path}/page.jpg is none of JPEG, PNG, BMP, TIFF, DICOM"
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
