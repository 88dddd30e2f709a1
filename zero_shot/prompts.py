"""Prompts: for every finding, phrases that say it is there and phrases that say it is not.

"No Finding" is told by phrases of its own. Its negation "no No Finding" means nothing to a text tower (CheXzero scored
it that way: AUROC 0.07), so a prompt that begins with two negations cannot be constructed.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent / "prompt_sets"
NO_FINDING = "No Finding"
_DOUBLE_NEGATION = re.compile(r"\b(no|not|without)\s+no\b", re.IGNORECASE)
_SET_KEYS = ("name", "about", "positive_templates", "negative_templates", "findings")
_FINDING_KEYS = ("terms", "positive", "negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPair:
    """Phrases for one finding."""

    positive: tuple[str, ...]
    """What a report says when the finding is present; at least one phrase."""
    negative: tuple[str, ...]
    """What a report says when it is absent; at least one phrase."""

    def __post_init__(self) -> None:
        for polarity, phrases in (("positive", self.positive), ("negative", self.negative)):
            if not phrases:
                raise ValueError(f"no {polarity} prompt: at least one phrase is needed")
            for phrase in phrases:
                if not phrase.strip():
                    raise ValueError(f"a {polarity} prompt is empty text")
                if _DOUBLE_NEGATION.search(phrase):
                    raise ValueError(f"the prompt {phrase!r} negates twice: give {NO_FINDING!r} phrases of its own")
        both = sorted(set(self.positive) & set(self.negative))
        if both:
            raise ValueError(f"the prompt {both[0]!r} is both positive and negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """Prompts of several findings, in the order of the score columns."""

    name: str
    """What the set is called in specifications and tables."""
    pairs: Mapping[str, PromptPair]
    """Finding -> its phrases."""

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ValueError(f"the prompt set {self.name!r} has no findings")

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings, in column order."""
        return tuple(self.pairs)

    def select(self, findings: Sequence[str]) -> "PromptSet":
        """Return the set for `findings`, in their order.

        Raises:
            ValueError: a finding that the set does not know, or one named twice.
        """
        unknown = [finding for finding in findings if finding not in self.pairs]
        if unknown:
            known = ", ".join(self.pairs)
            raise ValueError(f"the prompt set {self.name!r} has no prompts for {', '.join(unknown)}; it knows {known}")
        if len(set(findings)) < len(findings):
            raise ValueError(f"a finding is named twice: {', '.join(findings)}")
        return PromptSet(name=self.name, pairs={finding: self.pairs[finding] for finding in findings})

    def to_json(self) -> dict[str, dict[str, list[str]]]:
        """Return finding -> positive and negative phrases, as written into specifications."""
        return {
            finding: {"positive": list(pair.positive), "negative": list(pair.negative)}
            for finding, pair in self.pairs.items()
        }


def expand(terms: Sequence[str], templates: Sequence[str]) -> tuple[str, ...]:
    """Return every term in every template, template by template: ("Edema",), ("{}", "no {}") -> "Edema", "no Edema".

    Raises:
        ValueError: a template without exactly one "{}".
    """
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong:
        raise ValueError(f"the template {wrong[0]!r} must contain {{}} once, where the finding goes")
    return tuple(template.replace("{}", term) for template in templates for term in terms)


def from_templates(findings: Sequence[str], pair_template: tuple[str, str], *, name: str = "templates") -> PromptSet:
    """Return CheXzero's way of prompting: each finding in a positive and a negative template.

    Raises:
        ValueError: "No Finding" is among the findings and the negative template negates; see this module's first lines.
    """
    if len(pair_template) != 2:
        raise ValueError(f"a pair of templates is needed, such as ('{{}}', 'no {{}}'); found {pair_template!r}")
    return _build(
        {finding: {"terms": [finding]} for finding in findings},
        name=name,
        templates=((pair_template[0],), (pair_template[1],)),
    )


def load_prompts(name_or_path: str | Path) -> PromptSet:
    """Return a shipped prompt set ("radiologist", "chexzero") or one from a JSON file.

    The file has `name` and `findings`: finding -> {"positive": [...], "negative": [...]} with literal phrases, or
    {"terms": [...]} to be put into the file's `positive_templates` and `negative_templates`, or both.

    Raises:
        FileNotFoundError: neither a shipped set nor a file.
        ValueError: not such a file; a prompt that is empty or negates twice, with its finding.
    """
    shipped = SHIPPED / f"{name_or_path}.json"
    path = shipped if shipped.is_file() else Path(name_or_path)
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.json")))
        raise FileNotFoundError(f"no prompt set {str(name_or_path)!r}: wanted one of {names}, or a JSON file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from error
    try:
        _check_object(content, _SET_KEYS)
        templates = (_strings(content, "positive_templates"), _strings(content, "negative_templates"))
        _check_object(content.get("findings"))
        return _build(content["findings"], name=str(content.get("name", path.stem)), templates=templates)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _build(entries: Mapping[str, Any], *, name: str, templates: tuple[Sequence[str], Sequence[str]]) -> PromptSet:
    """Turn finding -> {terms, positive, negative} into a prompt set; errors say which finding."""
    pairs = {}
    for finding, entry in entries.items():
        try:
            _check_object(entry, _FINDING_KEYS)
            terms = _strings(entry, "terms")
            pairs[finding] = PromptPair(
                positive=_strings(entry, "positive") + expand(terms, templates[0]),
                negative=_strings(entry, "negative") + expand(terms, templates[1]),
            )
        except ValueError as error:
            raise ValueError(f"prompts for {finding!r}: {error}") from error
    return PromptSet(name=name, pairs=pairs)


def _strings(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the list of texts under `key`, empty when it is absent."""
    values = entry.get(key, [])
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return tuple(values)
    raise ValueError(f"{key} must be a list of texts, found {values!r}")


def _check_object(entry: Any, keys: Collection[str] | None = None) -> None:
    """Refuse what is no JSON object and, where `keys` are given, others that would be ignored."""
    other = [entry]
    if isinstance(entry, dict):
        other = [] if keys is None else sorted(set(entry) - set(keys))
    if other:
        wanted = f" with {', '.join(keys)}" if keys else " of findings"
        raise ValueError(f"wanted an object{wanted}; found {other[0]!r}")
