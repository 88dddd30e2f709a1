"""The figures that docs/benchmarks.md takes from evaluation_speed.py are those that it prints, of code that scores."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

SMALL_RUN = """
import sys
sys.path.insert(0, "benchmarks")
import evaluation_speed

evaluation_speed.N_PROMPTS, evaluation_speed.N_EMBEDDINGS, evaluation_speed.WIDTH = 3, 20, 4
evaluation_speed.N_IMAGES, evaluation_speed.N_PATIENTS, evaluation_speed.N_REPLICATES = 400, 100, 4
evaluation_speed.N_PAIRS = 40
figures = evaluation_speed.prompts_on_features(1) | evaluation_speed.bootstrap(1) | evaluation_speed.retrieval()
print(*figures, sep="\\n")
"""


def test_every_figure_named_in_the_docs_is_printed():
    done = subprocess.run([sys.executable, "-c", SMALL_RUN], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = {line for line in done.stdout.splitlines() if line}
    printed |= {"ratio_14x500", "extra_10_templates"}  # of films that are encoded, which takes minutes

    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    section = page.split("## Zero-shot evaluation")[1].split("\n## ")[0]
    named = re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)
    assert set(named) <= printed
    assert {"prompts_seconds, mixture", "prompts_seconds, temperature"} <= set(named)
