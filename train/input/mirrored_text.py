"""The text of a mirrored image: left and right swapped, or None if the text cannot be swapped."""

import re

_PAIRS = (
    ("left", "right"),
    ("leftward", "rightward"),
    ("leftwards", "rightwards"),
    ("lt", "rt"),
    ("lul", "rul"),
    ("lll", "rll"),
    ("lij", "rij"),
    ("levoscoliosis", "dextroscoliosis"),
    ("levoscoliotic", "dextroscoliotic"),
    ("levoconvex", "dextroconvex"),
    ("levocurvature", "dextrocurvature"),
)
_OTHER = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}
# not the "lt" of the escaped sign "&lt;"
_SIDE = re.compile(rf"(?<!&)\b({'|'.join(sorted(_OTHER, key=len, reverse=True))})\b", re.IGNORECASE)

_ONE_SIDED = re.compile(
    r"""\b(?:
      lingula\w* | middle\s+lobe\w* | rml | azygos | azygous | paratracheal\s+stripe | (?:minor|horizontal)\s+fissure
    | (?:left|right)[\s-]+(?:atri|ventric|heart|cardi)\w* | biventric\w* | lv | rv | la | ra
    | svc | ivc | vena\s+cava | cavo-?atrial | aortic\s+(?:arch|knob) | descending\s+(?:thoracic\s+)?aorta
    | stomach | gastric | liver | hepatic | spleen | splenic
    | dextrocardia | levocardia | dextroposition | levoposition | situs
    | (?:left|right)\s+(?:the|against|away) | l | r
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
"""Texts that cannot be swapped: they imply a side without a side word ("lingula"), the side word belongs to a name (the
right ventricle stays the right ventricle in a mirrored image), or it has another meaning ("right away")"""


def swap_sides(text: str) -> str | None:
    """Return the text with left and right swapped; None if the swapped text would not describe the mirrored image.

    A text that names no side is returned unchanged. Swapping twice gives the original text.

    >>> swap_sides("Small LEFT effusion, right-sided port, levoscoliosis.")
    'Small RIGHT effusion, left-sided port, dextroscoliosis.'
    >>> swap_sides("Opacity in the lingula.") is None
    True
    """
    if _ONE_SIDED.search(text):
        return None
    return _SIDE.sub(lambda found: _like(found.group(), _OTHER[found.group().lower()]), text)


def _like(written: str, word: str) -> str:
    """Return a lower-case word with the capitals of the word that it replaces."""
    if written.isupper():
        return word.upper()
    return word.capitalize() if written[0].isupper() else word
