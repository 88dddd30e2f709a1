"""Report files to the text of each study, or the reason why a study has none."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cohort.flow import Flow
from common.progress import progress
from preprocess.text.edits import NO_EDITS, NOTHING, EditCounts, TextEdits
from preprocess.text.impressions import NO_IMPRESSION, chexzero_impression
from preprocess.text.sections import (
    ABSENT,
    NONE,
    Choice,
    Splitter,
    Wanted,
    choose_caption,
    choose_text,
    split_any_layout,
    split_sections,
)

TextRule = Callable[[str], Choice]
"""From a report to the text that is kept of it."""

NO_USABLE_TEXT = "report has no usable text"

LOUD_SHARE = 0.05
"""Share of texts from another section than the one asked for, 0 to 1, above which the flow warns."""

_GIT_LFS_POINTER = "version https://git-lfs.github.com/spec/"


class UnusableReportError(ValueError):
    """A report file that has no text to offer.

    Attributes:
        reason: a short phrase that is the same for all reports with this fault.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyText:
    """What a study says, or why it says nothing."""

    text: str = ""
    """One line."""
    section_used: str = NONE
    """See `sections.Choice`."""
    fallback: str = ""
    """Why it is not the section asked for; see `sections.Choice`."""
    removed: EditCounts = NOTHING
    """What the edits took from the text."""
    reason: str = ""
    """Why the study cannot be used; empty when it can."""
    detail: str = ""
    """More about this one study's reason."""


def read_report(path: Path | str) -> str:
    """Return a report as text, its line ends as newlines.

    Raises:
        UnusableReportError: No such file, not UTF-8, unreadable, a binary file, or a pointer of Git LFS in its place.
    """
    try:
        _refuse_pipe(Path(path))
        report = Path(path).read_text(encoding="utf-8")
    except UnusableReportError:
        raise
    except FileNotFoundError as error:
        raise UnusableReportError("report file is missing", str(path)) from error
    except UnicodeDecodeError as error:
        raise UnusableReportError("report is not UTF-8", f"{path}, byte {error.start}") from error
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        raise UnusableReportError("report file cannot be read", f"{path!r}: {error}") from error
    if "\0" in report:  # UTF-16 without its mark is valid UTF-8, but every second character is NUL
        raise UnusableReportError("report is not UTF-8", f"{path}, character {report.index(chr(0))} is NUL")
    if report.startswith(_GIT_LFS_POINTER):
        raise UnusableReportError("report is a Git LFS pointer", f"{path}: fetch the real file (git lfs pull)")
    return report


def _refuse_pipe(path: Path) -> None:
    if path.exists() and not path.is_file():  # opening a pipe would wait for a writer
        raise UnusableReportError("report file cannot be read", f"{path} is not a file")


def report_rule(wanted: Wanted, edits: TextEdits = NO_EDITS, *, split: Splitter = split_any_layout) -> TextRule:
    """Return the rule of `sections.choose_text`."""
    return lambda report: choose_text(split(report), wanted, edits)


def official_rule(wanted: Wanted, edits: TextEdits = NO_EDITS) -> TextRule:
    """Return the rule of MIMIC-CXR's own section files."""
    return report_rule(wanted, edits, split=split_sections)


def caption_rule(wanted: Wanted, edits: TextEdits = NO_EDITS, *, split: Splitter = split_any_layout) -> TextRule:
    """Return the rule of `sections.choose_caption`, for tables whose texts may be reports or captions."""
    return lambda report: choose_caption(report, wanted, edits, split=split)


def chexzero_rule(*, keep_no_impression: bool, captions: bool = False) -> TextRule:
    """Return CheXzero's rule, whose caption for a report without impression is "NO IMPRESSION".

    Args:
        keep_no_impression: Take that caption for a text, as CheXzero does; the fallback then says what it is.
        captions: The texts are those of a table, which CheXzero never reads: one without its word `IMPRESSION:` is
            read by `choose_caption`.
    """

    def rule(report: str) -> Choice:
        text = chexzero_impression(report)
        if captions and text == NO_IMPRESSION:
            choice = choose_caption(report)
            if choice.section_used != NONE:
                return choice
        absent = f"impression: {ABSENT}" if text in {"", NO_IMPRESSION} else ""
        if absent and not keep_no_impression:
            return Choice(text="", section_used=NONE, fallback=absent)
        return Choice(text=text, section_used="chexzero", fallback=absent)

    return rule


def text_of_report(report: str, rule: TextRule) -> StudyText:
    """Apply the rule to a report that is at hand."""
    choice = rule(report)
    if choice.section_used == NONE:
        return StudyText(reason=NO_USABLE_TEXT, detail=f"{NO_USABLE_TEXT} by the chosen rule", fallback=choice.fallback)
    return StudyText(
        text=choice.text, section_used=choice.section_used, fallback=choice.fallback, removed=choice.removed
    )


def text_of_file(path: str, rule: TextRule) -> StudyText:
    """Read a report file and apply the rule; no path means that the archive lists no report."""
    if not path:
        return StudyText(reason="study has no report", detail="study has no report in the archive")
    try:
        return text_of_report(read_report(path), rule)
    except UnusableReportError as error:
        return StudyText(reason=error.reason, detail=str(error))


def texts_of_files(paths: Iterable[str], rule: TextRule) -> dict[str, StudyText]:
    """Return the text of every distinct report file; several images of a study share one."""
    distinct = sorted(set(paths))
    return {path: text_of_file(path, rule) for path in progress(distinct, unit="report", desc="reports")}


def note_fallbacks(images: pd.DataFrame, texts: Sequence[StudyText], *, wanted: Wanted, flow: Flow) -> None:
    """Count in the flow how many images have another text than the section that was asked for, by what it is.

    Above `LOUD_SHARE` of the images a line says so in words: a whole report as caption has the patient's age, sex and
    the clinical question in it.

    Args:
        images: Those whose texts they are, (n,).
        texts: Their texts, (n,).
        wanted: The section that was asked for.
        flow: Receives the counts.
    """
    fallbacks = Counter((one.section_used, one.fallback) for one in texts if one.text and one.fallback)
    for (used, why), count in fallbacks.most_common():
        flow.note(images, f"text is the {used}, not the {wanted} asked for ({why})", rows=count)

    # of two sections asked for, one alone is still what was asked for
    fine = {"findings", "impression"} if wanted == "both" else set()
    n_other = sum(count for (used, _), count in fallbacks.items() if used not in fine)
    if n_other > LOUD_SHARE * len(texts):
        share, named = n_other / len(texts), "findings or impression" if wanted == "both" else f"the {wanted}"
        flow.note(images, f"WARNING: {share:.0%} of the texts are not {named}; look at them", rows=n_other)
