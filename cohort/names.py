"""The words of the cohort table: findings, columns, views. No imports, so that configurations can use them."""

FINDINGS: tuple[str, ...] = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "No Finding",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)
"""The 14 CheXpert labels by their exact names, in the order of CheXzero's notebook and predictions."""

VIEWS: tuple[str, ...] = ("PA", "AP", "AP_SUPINE", "FRONTAL", "LATERAL", "OTHER", "UNKNOWN")
"""Every archive's projections are translated to these; FRONTAL is PA or AP, and it is not known which."""

FRONTAL_VIEWS: tuple[str, ...] = ("PA", "AP", "AP_SUPINE", "FRONTAL")
"""What "frontal" means wherever it is written."""

SOURCES: tuple[str, ...] = ("real", "synthetic", "phantom")
"""Where pixels come from: a scanner, a generative model, or our simulation."""

COLUMNS: tuple[str, ...] = (
    "image_id",
    "subject_id",
    "study_id",
    "dataset",
    "path",
    "view",
    "split",
    "source",
    "age_years",
    "sex",
    "race",
    "insurance",
    *FINDINGS,
    "h5_row",
    "status",
    "status_reason",
)
"""Columns of every cohort table, in order. Others, such as `raw_race` or `report_path`, may follow."""
