"""Sections that an archive keeps apart, as one report that any rule for MIMIC-CXR's reports can cut again."""

from collections.abc import Mapping

import pandas as pd


def compose(sections: Mapping[str, "pd.Series[str]"]) -> "pd.Series[str]":
    r"""Return one report per row: each section that is not blank under its heading, on one line.

    A heading is a line that begins with one blank. As every section is on one line of its own, no text inside it can
    pass for one, and there is no blank line below which a "last paragraph" could begin: what was cut apart by the
    archive's authors is found again exactly. A row without any section is "".

    >>> compose({"FINDINGS": pd.Series(["Clear."]), "IMPRESSION": pd.Series(["No  acute\ndisease."])})[0]
    '\n FINDINGS: Clear.\n IMPRESSION: No acute disease.\n'

    Args:
        sections: Heading in capitals -> text of every row, (n,), in the order of the report.
    """
    lines = [_line(heading, texts) for heading, texts in sections.items()]
    report = pd.concat(lines, axis=1).agg("".join, axis=1)
    return report.mask(report.ne(""), report + "\n")


def _line(heading: str, texts: "pd.Series[str]") -> "pd.Series[str]":
    text = texts.str.split().str.join(" ")
    return text.mask(text.ne(""), f"\n {heading}: " + text)
