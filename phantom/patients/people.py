"""A person's age, sex, race and insurance, and conditions such as "race=Black,sex=F" that select groups."""

from dataclasses import dataclass
from functools import cache

RACES = ("White", "Black", "Hispanic", "Asian", "Other", "Multiple", "AIAN", "NHPI")
"""Groups that the raw strings of MIMIC-IV belong to (unknown is a missing answer, not a group of people)"""

INSURANCES = ("Medicare", "Medicaid", "Private", "Other", "No charge")
"""Values of MIMIC-IV's `insurance`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The attributes that a disparity can depend on."""

    age_years: float
    """Age at the study"""
    sex: str
    """F or M"""
    race: str
    """One of RACES"""
    insurance: str
    """One of INSURANCES"""

    def belongs_to(self, group: str) -> bool:
        """Say whether the person is in `group`: "race=Black", or "race=Black,sex=F" for an intersection."""
        return all(getattr(self, name) == value for name, value in conditions(group))


@cache
def conditions(group: str) -> tuple[tuple[str, str], ...]:
    """Return the conditions of `group` as (attribute, value).

    Raises:
        ValueError: If an attribute or a value is unknown.
    """
    found = []
    known = {"race": RACES, "sex": ("F", "M"), "insurance": INSURANCES}
    for condition in group.split(","):
        name, _, value = condition.partition("=")
        if value not in known.get(name, ()):
            raise ValueError(
                f"group {group!r} is not understood: write e.g. 'race=Black', 'sex=F', 'insurance=Medicaid' or "
                f"'race=Black,sex=F'; races are {', '.join(RACES)}; insurances are {', '.join(INSURANCES)}"
            )
        found.append((name, value))
    return tuple(found)
