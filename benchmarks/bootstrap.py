"""What patient-level intervals cost: our weighted AUROC against scikit-learn on every resample. One thread.

python benchmarks/bootstrap.py --json runs/bootstrap.json
"""

import statistics
from typing import Any

import numpy as np
from common import interleaved_seconds, median_ratio, parser, report
from sklearn.metrics import roc_auc_score

from metrics import auroc_matrix, patient_weights

N_IMAGES, N_PATIENTS, N_FINDINGS, N_REPLICATES = 20_000, 6_000, 14, 1_000
N_BASELINE = 2
"""replicates that scikit-learn computes; its time is scaled up to N_REPLICATES"""


def main() -> None:
    """Time both, check that they agree on the shared replicates, and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeats", type=int, default=3)
    asked = arguments.parse_args()
    rng = np.random.default_rng(0)
    labels = (rng.random((N_IMAGES, N_FINDINGS)) < 0.1).astype(float)
    scores = labels + rng.normal(size=labels.shape)
    patients = rng.integers(0, N_PATIENTS, N_IMAGES).astype(str)
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        weights = patient_weights(patients, N_REPLICATES, np.random.default_rng(1))
        found["ours"] = auroc_matrix(labels, scores, weights)

    def scikit_learn() -> None:
        weights = patient_weights(patients, N_REPLICATES, np.random.default_rng(1))
        counts = weights.take(slice(N_BASELINE), np.arange(N_IMAGES))
        found["scikit_learn"] = np.array(
            [
                [roc_auc_score(labels[:, c], scores[:, c], sample_weight=own) for c in range(N_FINDINGS)]
                for own in counts
            ]
        )

    seconds = interleaved_seconds({"ours": ours, "scikit_learn": scikit_learn}, repeats=asked.repeats)
    scaled = [second * N_REPLICATES / N_BASELINE for second in seconds["scikit_learn"]]
    figures: dict[str, Any] = {
        "ours: seconds": statistics.median(seconds["ours"]),
        f"scikit-learn: seconds, scaled from {N_BASELINE} replicates": statistics.median(scaled),
        "times faster": median_ratio(scaled, seconds["ours"]),
        "largest difference": float(np.abs(found["ours"][:N_BASELINE] - found["scikit_learn"]).max()),
    }
    sizes = f"{N_IMAGES:,} images, {N_PATIENTS:,} patients, {N_FINDINGS} findings, {N_REPLICATES:,} replicates"
    report(figures, title=f"AUROC by bootstrap of patients: {sizes}", json_path=asked.json)


if __name__ == "__main__":
    main()
