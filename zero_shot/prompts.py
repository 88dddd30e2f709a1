"""Prompts: for every finding, phrases that say it is present and phrases that say it is absent.

"No Finding" has phrases of its own. Its negation "no No Finding" means nothing to a text tower (CheXzero scored it that
way: AUROC 0.07), so a prompt that negates a negation is refused.

A file of prompts is a family: templates, and terms to insert. `load_prompts` takes all its phrases together, as
alternatives; `families.load_family` lists its prompts one by one.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

SHIPPED = Path(__file__).parent / "prompt_sets"
NO_FINDING = "No Finding"
_DOUBLE_NEGATION = re.compile(
    r"\b((no|not|without|free of|absence of|lack of|negative for)"
    r"|(no|without) (evidence|signs?|findings?|indications?) (of|for|suggesting))\s+no\b",
    re.IGNORECASE,
)
_TEMPLATES = ("positive_templates", "negative_templates")
_SET_KEYS = ("name", "about", *_TEMPLATES, "qualifiers", "findings")
_FINDING_KEYS = ("terms", "positive", "negative", *_TEMPLATES, "qualifiers")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPair:
    """Phrases for one finding."""

    positive: tuple[str, ...]
    """What a report says when the finding is present; at least one phrase"""
    negative: tuple[str, ...]
    """What a report says when it is absent; at least one phrase"""

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
    """Name of the set in specifications and tables"""
    pairs: Mapping[str, PromptPair]
    """Finding -> its phrases"""

    def __post_init__(self) -> None:
        if not self.pairs:
            raise ValueError(f"the prompt set {self.name!r} has no findings")
        if not all(finding.strip() for finding in self.pairs):
            raise ValueError(f"the prompt set {self.name!r} has a finding without a name")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How one family words one finding: terms in templates, and literal phrases."""

    terms: tuple[str, ...] = ()
    """Names of the finding ("pleural effusion", "pleural fluid")"""
    positive_templates: tuple[str, ...] = ()
    """Templates for its presence; "{}" stands for the term"""
    negative_templates: tuple[str, ...] = ()
    """Templates for its absence"""
    qualifiers: tuple[str, ...] = ("{}",)
    """Degrees and sides of the term ("{}", "small left {}"): positive phrases have all of them, as alternatives. A
    template with only one of them would ask for a part of the finding"""
    positive: tuple[str, ...] = ()
    """Literal positive phrases, beside those from templates"""
    negative: tuple[str, ...] = ()
    """Literal negative phrases"""

    def pair(self) -> PromptPair:
        """Return all phrases together.

        Raises:
            ValueError: a template without exactly one "{}", an empty term; see also `PromptPair`.
        """
        qualified = tuple(text for term in self.terms for text in expand([term], self.qualifiers))
        return PromptPair(
            positive=self.positive + expand(qualified, self.positive_templates),
            negative=self.negative + expand(self.terms, self.negative_templates),
        )


def expand(terms: Sequence[str], templates: Sequence[str]) -> tuple[str, ...]:
    """Return every term in every template, template by template: ("Edema",), ("{}", "no {}") -> "Edema", "no Edema".

    Raises:
        ValueError: a template without exactly one "{}", or an empty term.
    """
    wrong = [template for template in templates if template.count("{}") != 1]
    if wrong:
        raise ValueError(f"the template {wrong[0]!r} must contain {{}} once, in the place of the finding")
    if not all(term.strip() for term in terms):
        raise ValueError("a term is empty text")
    return tuple(template.replace("{}", term) for template in templates for term in terms)


def from_templates(findings: Sequence[str], pair_template: tuple[str, str], *, name: str = "templates") -> PromptSet:
    """Return prompts as CheXzero builds them: each finding in a positive and a negative template.

    Raises:
        ValueError: "No Finding" is among the findings and the negative template negates; see the module docstring.
    """
    if len(pair_template) != 2:
        raise ValueError(f"wanted a pair of templates, such as ('{{}}', 'no {{}}'); found {pair_template!r}")
    positive, negative = pair_template
    return pool(
        {
            finding: Wording(terms=(finding,), positive_templates=(positive,), negative_templates=(negative,))
            for finding in findings
        },
        name=name,
    )


def load_prompts(name_or_path: str | Path) -> PromptSet:
    """Return a shipped prompt set ("radiologist", "chexzero", ...) or one from a JSON file, all phrases together.

    The file has `name` and `findings`: finding -> {"positive": [...], "negative": [...]} with literal phrases, or
    {"terms": [...]} for the file's `positive_templates` and `negative_templates`, or both. `qualifiers`
    ("{}", "mild {}") of the file or of the finding surround the term in positive phrases.

    Raises:
        FileNotFoundError: neither a shipped set nor a file.
        ValueError: another kind of file; a prompt that is empty or negates twice, with its finding.
    """
    file = read_wordings(name_or_path)
    return pool(file.wordings, name=file.name)


class Wordings(NamedTuple):
    """A file of prompts: the family's name, its common templates, and each finding's wording."""

    name: str
    positive_templates: tuple[str, ...]
    negative_templates: tuple[str, ...]
    wordings: dict[str, Wording]


def read_wordings(name_or_path: str | Path) -> Wordings:
    """Return a file of prompts, finding by finding, before its phrases are pooled; see `load_prompts`.

    A finding may have its own versions of the file's templates ("There are {}." for "There is {}."), as many and in the
    same order, so that a template means one style across findings; or none on one side.

    Raises:
        FileNotFoundError, ValueError: as `load_prompts`.
    """
    shipped = SHIPPED / f"{name_or_path}.json"
    path = shipped if shipped.is_file() else Path(name_or_path)
    if not path.is_file():
        names = ", ".join(shipped_names())
        raise FileNotFoundError(f"no prompt set {str(name_or_path)!r}: wanted one of {names}, or a JSON file")

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a JSON file: {error}") from error

    try:
        _check_object(content, _SET_KEYS)
        _check_object(content.get("findings"))
        wordings = {finding: _wording(finding, entry, content) for finding, entry in content["findings"].items()}
        name = str(content.get("name", path.stem))
        pool(wordings, name=name)  # a phrase that cannot be used is reported with the file
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Wordings(name, _strings(content, _TEMPLATES[0]), _strings(content, _TEMPLATES[1]), wordings)


def shipped_names(findings: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of the shipped prompt sets that have prompts for all `findings`, sorted."""
    names = sorted(file.stem for file in SHIPPED.glob("*.json"))
    return tuple(name for name in names if set(findings) <= set(read_wordings(name).wordings))


def pool(wordings: Mapping[str, Wording], *, name: str) -> PromptSet:
    """Return the prompt set of all phrases of every finding.

    Raises:
        ValueError: as `Wording.pair`, with the finding.
    """
    pairs = {}
    for finding, wording in wordings.items():
        try:
            pairs[finding] = wording.pair()
        except ValueError as error:
            raise ValueError(f"prompts for {finding!r}: {error}") from error
    return PromptSet(name=name, pairs=pairs)


def _wording(finding: str, entry: Any, content: Mapping[str, Any]) -> Wording:
    """Return one finding's wording; what its entry lacks comes from the file."""
    try:
        _check_object(entry, _FINDING_KEYS)
        for key in _TEMPLATES:
            _refuse_other_number(key, wanted=len(_strings(content, key)), found=len(_strings(entry, key)))
        shared = {key: _strings(content, key) for key in (*_TEMPLATES, "qualifiers") if key in content}
        own = {key: _strings(entry, key) for key in _FINDING_KEYS if key in entry}
        return Wording(**shared | own)
    except ValueError as error:
        raise ValueError(f"prompts for {finding!r}: {error}") from error


def _refuse_other_number(key: str, *, wanted: int, found: int) -> None:
    """Refuse templates of a finding that do not match the file's one by one."""
    if wanted and found and found != wanted:
        raise ValueError(f"{key} must be as many as the file's, {wanted}; found {found}")


def _strings(entry: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Return the list of texts under `key`, empty if absent."""
    values = entry.get(key, [])
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return tuple(values)
    raise ValueError(f"{key} must be a list of texts, found {values!r}")


def _check_object(entry: Any, keys: Collection[str] | None = None) -> None:
    """Refuse anything but a JSON object and, if `keys` are given, keys that would be ignored."""
    other = [entry]
    if isinstance(entry, dict):
        other = [] if keys is None else sorted(set(entry) - set(keys))
    if other:
        wanted = f" with {', '.join(keys)}" if keys else " of findings"
        raise ValueError(f"wanted an object{wanted}; found {other[0]!r}")
