"""Every finding of the phantom, one module each.

To add a finding:

1. Write `phantom/findings/NAME.py` with one `Finding`: how often it occurs, how it is drawn from the front and from the
   side, and where reports put it. `pneumonia.py` is a short example, `pneumothorax.py` a long one.
2. Write `phantom/findings/NAME.csv` beside it: its phrases, in the columns that `phantom/reports/phrases.py` explains.
3. Add it to the list below, and its name to the labels in `phantom.body.FINDINGS` (so far CheXpert's 14).

Population, films, reports and tables read everything from here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from phantom.body import FINDINGS
from phantom.findings.atelectasis import ATELECTASIS
from phantom.findings.cardiomegaly import CARDIOMEGALY
from phantom.findings.consolidation import CONSOLIDATION
from phantom.findings.edema import EDEMA
from phantom.findings.enlarged_cardiomediastinum import ENLARGED_CARDIOMEDIASTINUM
from phantom.findings.finding import Finding
from phantom.findings.fracture import FRACTURE
from phantom.findings.lung_lesion import LUNG_LESION
from phantom.findings.lung_opacity import LUNG_OPACITY
from phantom.findings.pleural_effusion import PLEURAL_EFFUSION
from phantom.findings.pleural_other import PLEURAL_OTHER
from phantom.findings.pneumonia import PNEUMONIA
from phantom.findings.pneumothorax import PNEUMOTHORAX
from phantom.findings.support_devices import SUPPORT_DEVICES

PHANTOM_FINDINGS: Mapping[str, Finding] = MappingProxyType(
    {
        finding.name: finding
        for finding in (
            # Random numbers are drawn in this order. A finding comes after those whose place it joins or avoids.
            ATELECTASIS,
            CARDIOMEGALY,
            CONSOLIDATION,
            EDEMA,
            ENLARGED_CARDIOMEDIASTINUM,
            FRACTURE,
            LUNG_LESION,
            PLEURAL_EFFUSION,
            PLEURAL_OTHER,
            PNEUMONIA,
            LUNG_OPACITY,
            PNEUMOTHORAX,
            SUPPORT_DEVICES,
        )
    }
)
"""Name -> finding, in the order in which they are sampled"""

PREVALENCE: Mapping[str, float] = MappingProxyType(
    {name: PHANTOM_FINDINGS[name].prevalence for name in FINDINGS if name in PHANTOM_FINDINGS}
)
"""Share of studies that show a finding; findings that are rare in real archives are commoner here, to be testable"""

AIRSPACE = frozenset(name for name, finding in PHANTOM_FINDINGS.items() if finding.airspace)
"""Opacities of the air spaces: any of them makes a film show "Lung Opacity" too"""

BY_URGENCY: tuple[Finding, ...] = tuple(sorted(PHANTOM_FINDINGS.values(), key=lambda finding: -finding.urgency))
"""The order of a report"""
