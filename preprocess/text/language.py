"""In which language a text is written, told by its commonest words; enough to see that an archive is not English."""

import json
import re
from functools import cache
from pathlib import Path

UNKNOWN = "unknown"

_WORD = re.compile(r"[^\W\d_]+")


def language_of(text: str) -> str:
    """Return "en", "es", "fr", "de", "pt", or "unknown" when no language, or more than one, has the most known words.

    The words are in `language_words.json`: articles, negations and the terms that reports are made of, for Spanish
    also the stems to which PadChest cuts its words. A word may count for several languages.

    >>> language_of("No acute cardiopulmonary process."), language_of("sin hallazg patolog"), language_of("EKG 12")
    ('en', 'es', 'unknown')
    """
    words = _WORD.findall(text.lower())
    hits = {language: sum(word in known for word in words) for language, known in _known_words().items()}
    most = max(hits.values())
    best = [language for language, count in hits.items() if count == most]
    return best[0] if most and len(best) == 1 else UNKNOWN


@cache
def _known_words() -> dict[str, frozenset[str]]:
    file = Path(__file__).with_name("language_words.json")
    table: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))
    return {language: frozenset(words) for language, words in table.items()}
