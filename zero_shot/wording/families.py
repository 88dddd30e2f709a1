"""Prompt families taken apart: every prompt of a family for a finding, one by one, so that they can be compared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from zero_shot.prompts import PromptPair, Wording, read_wordings

POOLED = "all phrases"
"""Style of the prompt that has all phrases of a family as alternatives, as `load_prompts` returns it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt for one finding, and where its wording comes from."""

    family: str
    """Name of the family"""
    style: str
    """The family's templates, '"{}" / "no {}"', or POOLED; the same for all findings with these templates"""
    term: str
    """Name of the finding in the prompt; blank in the pooled prompt"""
    pair: PromptPair
    """Phrases"""

    def __str__(self) -> str:
        """Return family, style and term in one line, as tables name the prompt."""
        return f"{self.family}: {self.style}" + (f", {self.term}" if self.term else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFamily:
    """Wordings of several findings in common templates."""

    name: str
    """Name of the family"""
    positive_templates: tuple[str, ...]
    """Common templates; a finding may have its own versions, in the same order"""
    negative_templates: tuple[str, ...]
    """Likewise"""
    wordings: Mapping[str, Wording]
    """Finding -> its terms and phrases"""

    def prompts(self, finding: str) -> tuple[Prompt, ...]:
        """Return every pair of templates with every term and then, if these are several, all phrases pooled.

        Degrees and sides are alternatives inside each prompt, and literal phrases belong to every prompt, so that each
        one asks for the whole finding. The last prompt is that of `load_prompts`.

        Raises:
            ValueError: the family has no prompts for the finding.
        """
        if finding not in self.wordings:
            known = ", ".join(self.wordings)
            raise ValueError(f"the prompt family {self.name!r} has no prompts for {finding!r}; it knows {known}")
        wording = self.wordings[finding]
        pooled = wording.pair()
        single = tuple(self._single(wording))
        if len(single) == 1 and single[0].pair == pooled:
            return single
        return (*single, Prompt(family=self.name, style=POOLED, term="", pair=pooled))

    def _single(self, wording: Wording) -> Iterator[Prompt]:
        """Yield one prompt per pair of templates and term."""
        # a side without templates has its literal phrases in every style: one turn of the loop is enough
        for p in range(max(1, len(wording.positive_templates))):
            for n in range(max(1, len(wording.negative_templates))):
                positive, negative = wording.positive_templates[p : p + 1], wording.negative_templates[n : n + 1]
                common = self.positive_templates[p : p + 1], self.negative_templates[n : n + 1]
                style = f"{_quote(positive, common[0])} / {_quote(negative, common[1])}"
                for term in wording.terms:
                    alone = replace(wording, terms=(term,), positive_templates=positive, negative_templates=negative)
                    yield Prompt(family=self.name, style=style, term=term, pair=alone.pair())


def _quote(own: tuple[str, ...], common: tuple[str, ...]) -> str:
    """Return the family's template, which the finding's own one replaces, in quotes."""
    return f'"{(common or own)[0]}"' if own else "as listed"


def load_family(name_or_path: str | Path) -> PromptFamily:
    """Return a shipped prompt family ("cxr_clip", "sentence", ...) or one from a JSON file; see `load_prompts`.

    Raises:
        FileNotFoundError, ValueError: as `load_prompts`.
    """
    return PromptFamily(**read_wordings(name_or_path)._asdict())
