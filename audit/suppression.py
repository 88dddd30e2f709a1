"""Which groups are withheld because they are small, or because with the others they would give a small one away.

Rates and counts add up over disjoint groups. A small group can thus be withheld and still be known: everybody less the
other groups, or "80+" less "80+ x M". A visible group is an equation over the images, and a sum of such equations that
holds a set of few patients gives this set away. So long as there is one, its smallest visible group is withheld too.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from audit.joined_tables import OVERALL, AuditTable
from metrics.evidence import EvidenceRule

Group = tuple[str, int]
"""Name of the attribute, number of the group"""
COMPLEMENT = "with the other groups it would give away one of fewer than {wanted} patients"


def hidden_groups(table: AuditTable, rule: EvidenceRule) -> list[dict[Group, str]]:
    """Return for each finding the groups that are withheld though they are large enough, with the reason.

    Groups that are small themselves are withheld by `EvidenceRule.judge`.
    """
    return [_complements(table, finding, rule) for finding in range(len(table.findings))]


def _complements(table: AuditTable, finding: int, rule: EvidenceRule) -> dict[Group, str]:
    known = ~np.isnan(table.truth[:, finding])
    subjects = np.unique(table.subjects[known], return_inverse=True)[1]
    members = {
        (attribute.name, g): attribute.codes[known] == g
        for attribute in table.attributes
        for g in range(len(attribute.groups))
    }
    patients = {group: len(np.unique(subjects[inside])) for group, inside in members.items()}
    filled = [group for group in members if patients[group]]
    small = [group for group in filled if patients[group] < rule.min_patients]
    if not small or (OVERALL, 0) in small:
        return {}

    # Images that no attribute tells apart are one atom: a column of the equations.
    pattern = np.stack([members[group] for group in filled])  # (k n)
    atoms, number = np.unique(pattern, axis=1, return_inverse=True)  # (k a)
    equations = dict(zip(filled, atoms.astype(np.float64), strict=True))
    of_atom = [frozenset(subjects[number.ravel() == a].tolist()) for a in range(atoms.shape[1])]

    hidden: set[Group] = set(small)
    complements: dict[Group, str] = {}
    while True:
        visible = [group for group in filled if group not in hidden]
        terms = _what_gives_away(equations, visible, hidden, of_atom, rule.min_patients)
        # The overall row stays: it says nothing about anybody.
        candidates = [group for group in terms if group[0] != OVERALL]
        if not candidates:
            return complements
        chosen = min(candidates, key=lambda group: (patients[group], group))
        hidden.add(chosen)
        complements[chosen] = COMPLEMENT.format(wanted=rule.min_patients)


def _what_gives_away(
    equations: Mapping[Group, Float[np.ndarray, " a"]],
    visible: Sequence[Group],
    hidden: set[Group],
    of_atom: Sequence[frozenset[int]],
    min_patients: int,
) -> list[Group]:
    """Return the visible groups whose sums and differences are a set of too few patients; none if there is no such set.

    Looked at are the withheld groups, and those of one attribute together, within everybody and each other group.
    """
    if not visible:
        return []
    matrix = np.stack([equations[group] for group in visible], axis=1)  # (a v)
    for secret in _secrets(equations, hidden):
        people = frozenset[int]().union(*(of_atom[a] for a in np.flatnonzero(secret).tolist()))
        if not 0 < len(people) < min_patients:
            continue
        solution, *_ = np.linalg.lstsq(matrix, secret.astype(np.float64), rcond=None)
        if np.abs(matrix @ solution - secret).max() < 1e-6:
            return [group for group, share in zip(visible, solution, strict=True) if abs(share) > 1e-6]
    return []


def _secrets(equations: Mapping[Group, Float[np.ndarray, " a"]], hidden: set[Group]) -> list[Bool[np.ndarray, " a"]]:
    """Return the sets of atoms to protect: withheld groups, and their unions by attribute inside each other group."""
    secrets = [equations[group] > 0 for group in sorted(hidden)]
    for attribute in sorted({name for name, _ in hidden}):
        union = np.any([equations[group] > 0 for group in sorted(hidden) if group[0] == attribute], axis=0)
        secrets += [union & (inside > 0) for (name, _), inside in equations.items() if name != attribute]
    return [secret for secret in secrets if secret.any()]
