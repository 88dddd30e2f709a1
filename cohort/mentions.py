"""Which findings a text speaks of, by its words, whatever it says of them: "no effusion" speaks of effusions, too."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

_CLEAR_LUNGS = r"\blungs are (well expanded and )?clear|\bclear lungs"
_NO_OPACITY = r"\bno (focal )?(lung |airspace )?opacit"
_WORDS = {
    "Atelectasis": rf"atelecta|\bcollapse|volume loss|{_CLEAR_LUNGS}",
    "Cardiomegaly": r"cardiomegaly|\bheart\b(?! failure)|cardiac|cardiomediastinal",
    "Consolidation": rf"consolidat|air bronchogram|{_NO_OPACITY}|{_CLEAR_LUNGS}",
    "Edema": rf"edema|congesti|volume overload|kerley|heart failure|{_CLEAR_LUNGS}",
    "Enlarged Cardiomediastinum": r"mediastin",
    "Fracture": r"fracture|osseous|\bbon[ey]|skelet",
    "Lung Lesion": rf"nodul|\bmass|lesion|metasta|{_CLEAR_LUNGS}",
    "Lung Opacity": rf"opaci|densit|infiltrate|{_CLEAR_LUNGS}",
    "Pleural Effusion": r"effusion|pleural fluid|costophrenic",
    "Pleural Other": r"pleural (thicken|plaque|scar)|fibrothorax",
    "Pneumonia": rf"pneumonia|infecti|infiltrate|aspiration|{_NO_OPACITY}|{_CLEAR_LUNGS}",
    "Pneumothorax": r"pneumothora",
    "Support Devices": r"\b(tubes?|(?<!pleural )lines?|catheter|picc|pacemaker|leads?|wires?|devices?|drains?|port)\b",
}
_PATTERNS = [re.compile(words, re.IGNORECASE) for words in _WORDS.values()]
SPOKEN_OF = tuple(_WORDS)
"""findings in the order of the columns; "No Finding" has none"""


def findings_spoken_of(texts: Sequence[str]) -> Bool[np.ndarray, "n c"]:
    """Return which findings each text speaks of, affirmed, denied or doubted; a column for each of `SPOKEN_OF`.

    By words only; whether the finding is there is a labeller's question.
    """
    spoken_of = [[bool(pattern.search(text)) for pattern in _PATTERNS] for text in texts]
    return np.array(spoken_of, dtype=bool).reshape(len(texts), len(_PATTERNS))
