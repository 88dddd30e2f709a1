"""CheXzero's rule for the impression, word for word, for files that must equal its own.

The better rule, and our default, is in `preprocess.text.sections`.
"""

NO_IMPRESSION = "NO IMPRESSION"

# Ends of the impression. Within a group the first spelling that occurs anywhere decides, not the earliest position.
_END_GROUPS = (
    ("RECOMMENDATION(S):", "RECOMMENDATION:", "RECOMMENDATIONS:"),
    ("NOTIFICATION:", "NOTIFICATIONS:"),
)

# Fields that pandas 1.2 read back as missing. Later versions add "None".
_NUMBERS = ("-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "NaN", "nan")
_MISSING = frozenset({"", "#N/A", "#N/A N/A", "#NA", "<NA>", "N/A", "NA", "NULL", "n/a", "null", *_NUMBERS})


def chexzero_impression(report: str) -> str:
    """Return the words between the last `IMPRESSION:` and the next-named heading, joined by single blanks.

    The rule works on blank-separated words. Without the exact word `IMPRESSION:` the answer is the caption
    "NO IMPRESSION". The text ends before the first recommendation or notification heading *of the whole report*,
    whichever comes first, so a heading above the impression empties it; a heading that is the very first word of the
    report counts as absent. These are the reference's quirks, kept so that its files can be reproduced.

    Source: rajpurkarlab/CheXzero@5c341db, data_process.py.
    """
    words = report.split()
    if "IMPRESSION:" not in words:
        return NO_IMPRESSION
    begin = len(words) - words[::-1].index("IMPRESSION:")
    ends = [_first_index(words, group) for group in _END_GROUPS]
    end = min((index for index in ends if index > 0), default=len(words))
    return " ".join(words[begin:end])


def chexzero_training_text(impression: str) -> str:
    """Return the text that CheXzero's tokenizer gets for an impression of its CSV file.

    Reading the file back turns empty fields and fields such as `NA` and `N/A` into missing values, which training
    replaces by one blank.

    Source: rajpurkarlab/CheXzero@5c341db, train.py, under pandas 1.2.
    """
    return " " if impression in _MISSING else impression


def _first_index(words: list[str], spellings: tuple[str, ...]) -> int:
    present = next((spelling for spelling in spellings if spelling in words), None)
    return 0 if present is None else words.index(present)
