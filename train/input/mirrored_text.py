"""Left and right in a text, changed for each other: what a mirrored film's report says."""

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
# "&lt;" is a sign that somebody escaped
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
"""Names a side without a word that could be changed, or with one that belongs to a name (the right ventricle of a
mirrored film is no left ventricle), or uses such a word for something else."""


def swap_sides(text: str) -> str | None:
    """Return the text with left and right changed for each other; None where that would not make it true.

    A text that names no side comes back as it is. Swapping twice gives the text again.

    >>> swap_sides("Small LEFT effusion, right-sided port, levoscoliosis.")
    'Small RIGHT effusion, left-sided port, dextroscoliosis.'
    >>> swap_sides("Opacity in the lingula.") is None
    True
    """
    if _ONE_SIDED.search(text):
        return None
    return _SIDE.sub(lambda found: _like(found.group(), _OTHER[found.group().lower()]), text)


def _like(written: str, word: str) -> str:
    """Return a lower-case word in the capitals of the one that it replaces."""
    if written.isupper():
        return word.upper()
    return word.capitalize() if written[0].isupper() else word
