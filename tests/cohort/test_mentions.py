"""What a text speaks of by its words, against what the simulated archive's phrases were written to say."""

import pytest

from cohort import FINDINGS
from cohort.mentions import SPOKEN_OF, findings_spoken_of
from phantom.reports.phrases import ROLES, phrases

AS_WELL = {
    "cardiomediastinal": {"Cardiomegaly"},
    "densities": {"Lung Opacity"},
}
"""Words of the phrases that the labeller does not count for a finding, and that are counted here"""


def spoken_of(text):
    return {name for name, is_said in zip(SPOKEN_OF, findings_spoken_of([text])[0], strict=True) if is_said}


def test_affirmed_denied_and_doubted_alike():
    lungs = {"Atelectasis", "Consolidation", "Edema", "Lung Lesion", "Lung Opacity", "Pneumonia"}
    assert spoken_of("Large left effusion.") == {"Pleural Effusion"}
    assert spoken_of("No EFFUSION or edema.") == {"Pleural Effusion", "Edema"}
    assert spoken_of("Possible pneumonia.") == {"Pneumonia"}
    assert spoken_of("The lungs are clear.") == lungs
    assert spoken_of("Normal study.") == set()


@pytest.mark.parametrize("role", ROLES)
def test_phrases_speak_of_what_they_were_written_about_and_of_nothing_else(role):
    for phrase in phrases(role):
        written_about = {*phrase.findings, *phrase.claims} - {"No Finding"}
        may_be = written_about.union(*(names for word, names in AS_WELL.items() if word in phrase.text))
        assert written_about <= spoken_of(phrase.text) <= may_be, phrase.text


def test_every_finding_but_the_absence_of_all_has_a_column():
    assert set(SPOKEN_OF) == set(FINDINGS) - {"No Finding"}
    assert findings_spoken_of([]).shape == (0, len(SPOKEN_OF))
