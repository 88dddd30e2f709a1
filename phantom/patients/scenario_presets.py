"""The four presets of --scenario."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from phantom.patients.scenario import Scenario


def default() -> Scenario:
    """Return an archive with every kind of disparity, each as mild as in real archives."""
    return Scenario(
        name="default",
        prevalence_odds={
            "race=Black": {"Cardiomegaly": 1.6, "Edema": 1.3},
            "insurance=Medicaid": {"Pneumonia": 1.5, "Consolidation": 1.4},
            "sex=M": {"Fracture": 1.3, "Pneumothorax": 1.4},
        },
        underreporting_in_group={"race=Black": 0.10, "insurance=Medicaid": 0.08, "sex=F": 0.05},
        dose={"race=Black": 0.7, "insurance=Medicaid": 0.8},
        contrast={"race=Black": 0.92},
    )


def null() -> Scenario:
    """Return the negative control: no disparity of any kind by sex, race, age or insurance.

    Prevalence, under-reporting, exposure, heart size and the age of the drawn bodies are the same for all, and there
    are no children. Whatever an audit flags here is a false alarm.
    """
    return Scenario(
        name="null",
        share_children=0.0,
        prevalence_age_slope={},
        ap_logit_per_decade=0.0,
        heart_ratio_per_decade=0.0,
        heart_ratio_infant_excess=0.0,
        drawn_age_years=55.0,
    )


def underdiagnosis() -> Scenario:
    """Return an archive with strong disparities for Black patients, and weaker ones for patients on Medicaid.

    Reports, from which a model learns, omit more of their findings. Films, which a model reads, are flatter, noisier,
    badly positioned and taken in shallow inspiration. Prevalence is the same for all, so that it explains nothing.
    """
    return Scenario(
        name="underdiagnosis",
        race_shares={"White": 0.45, "Black": 0.35, "Hispanic": 0.10, "Asian": 0.06, "Other": 0.04},
        underreporting_in_group={"race=Black": 0.45, "insurance=Medicaid": 0.20},
        dose={"race=Black": 0.05, "insurance=Medicaid": 0.5},
        contrast={"race=Black": 0.45, "insurance=Medicaid": 0.9},
        inspiration={"race=Black": 0.6, "insurance=Medicaid": 0.9},
        mispositioning={"race=Black": 3.0, "insurance=Medicaid": 1.4},
    )


def few_children() -> Scenario:
    """Return `default` with too few children for any statement about them; an audit has to say so."""
    return replace(default(), name="few_children", share_children=0.015)


PRESETS: Mapping[str, Callable[[], Scenario]] = MappingProxyType(
    {preset.__name__: preset for preset in (default, null, underdiagnosis, few_children)}
)
"""Name on the command line -> scenario"""
