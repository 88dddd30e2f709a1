"""Probes as data: pairs of sentences that differ in one word, and which films make one or the other true."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent / "probe_sets"
_WORD = re.compile(r"[\w'-]+")
_PROBE_KEYS = {"name", "asks", "cannot_show", "questions"}
_QUESTION_KEYS = {"first_if", "second_if", "pairs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimalPair:
    """Two sentences that differ in one word, or only in the order of words."""

    first: str
    """True for films that meet the question's `first_if`"""
    second: str
    """True for films that meet its `second_if`"""

    def __post_init__(self) -> None:
        one, other = (_WORD.findall(text.lower()) for text in (self.first, self.second))
        if one == other:
            raise ValueError(f"the sentences {self.first!r} and {self.second!r} are the same")
        begin = _agree(one, other)
        changed = max(len(one), len(other)) - begin - _agree(one[begin:][::-1], other[begin:][::-1])
        if changed > 1 and sorted(one) != sorted(other):
            raise ValueError(
                f"the sentences {self.first!r} and {self.second!r} differ in more than one word: a "
                "preference could not be assigned to one of them"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question about films, in one or more pairs of sentences."""

    first_if: Mapping[str, int]
    """Column of the truth table -> value, 1 or 0; `first` is true for films with all of these values"""
    second_if: Mapping[str, int]
    """Likewise for `second`; a film that meets both is an error in the truth table"""
    pairs: tuple[MinimalPair, ...]
    """Pairs of sentences: the same question in different words"""

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ValueError("no pair of sentences: at least one is needed")
        for which, values in (("first_if", self.first_if), ("second_if", self.second_if)):
            if not values or any(value not in (0, 1) for value in values.values()):
                raise ValueError(f"{which} wants columns of the truth table with 1 or 0; found {dict(values)!r}")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the truth table that it needs."""
        return tuple(dict.fromkeys([*self.first_if, *self.second_if]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A test of one kind of understanding."""

    name: str
    """Name in tables"""
    asks: str
    """What a model that passes can do"""
    cannot_show: str
    """What the score cannot show, good or bad"""
    questions: Mapping[str, Question]
    """Name (in most probes a finding) -> question"""

    def select(self, questions: Sequence[str]) -> "Probe":
        """Return the probe with some of its questions, such as those that a cohort has labels for.

        Raises:
            ValueError: a question that the probe does not have.
        """
        unknown = [name for name in questions if name not in self.questions]
        if unknown:
            known = "; ".join(self.questions)
            raise ValueError(f"the probe {self.name!r} has no question {', '.join(unknown)}; it has {known}")
        return replace(self, questions={name: self.questions[name] for name in questions})


def load_probe(name_or_path: str | Path) -> Probe:
    """Return a shipped probe ("negation", "scope", "normality", "laterality", "severity") or one from a JSON file.

    The file has `name`, `asks`, `cannot_show` and `questions`: name -> {"pairs": [[first, second], ...], "first_if":
    {column: 1 or 0, ...}, "second_if": {...}}. A question without conditions is about the column of its own name:
    `first` is true where it is 1, `second` where it is 0.

    Raises:
        FileNotFoundError: neither a shipped probe nor a file.
        ValueError: not such a file; sentences that differ in more than one word, with their question.
    """
    shipped = SHIPPED / f"{name_or_path}.json"
    path = shipped if shipped.is_file() else Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.json")))
        raise FileNotFoundError(f"no probe {str(name_or_path)!r}: wanted one of {names}, or a JSON file")

    try:
        content = _object(json.loads(path.read_text(encoding="utf-8")), needed=_PROBE_KEYS, known=_PROBE_KEYS)
        questions = {name: _question(name, entry) for name, entry in _object(content["questions"]).items()}
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error

    return Probe(
        name=str(content["name"]),
        asks=str(content["asks"]),
        cannot_show=str(content["cannot_show"]),
        questions=questions,
    )


def _agree(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many words two sentences share at their beginning."""
    return sum(1 for _ in takewhile(lambda words: words[0] == words[1], zip(one, other, strict=False)))


def _question(name: str, entry: Any) -> Question:
    """Return one question of a file."""
    try:
        fields = _object(entry, needed={"pairs"}, known=_QUESTION_KEYS)
        if not all(isinstance(pair, list) and [*map(type, pair)] == [str, str] for pair in fields["pairs"]):
            raise ValueError(f"pairs must be a list of two texts each; found {fields['pairs']!r}")  # noqa: TRY301
        return Question(
            first_if=_object(fields.get("first_if", {name: 1})),
            second_if=_object(fields.get("second_if", {name: 0})),
            pairs=tuple(MinimalPair(first=first, second=second) for first, second in fields["pairs"]),
        )
    except ValueError as error:
        raise ValueError(f"question {name!r}: {error}") from error


def _object(
    entry: Any, *, needed: set[str] | frozenset[str] = frozenset(), known: set[str] | None = None
) -> dict[str, Any]:
    """Return a JSON object; refuse anything else, missing keys and, if `known` are given, unknown keys."""
    if not isinstance(entry, dict):
        raise ValueError(f"wanted an object; found {entry!r}")  # noqa: TRY004  (the file is wrong, not a type)
    missing, other = sorted(needed - set(entry)), sorted(set(entry) - known) if known is not None else []
    if missing or other:
        raise ValueError(f"wanted the keys {', '.join(sorted(known or needed))}; missing {missing}, not known {other}")
    return entry
