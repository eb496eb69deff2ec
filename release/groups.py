"""How much records and speakers differ: ``python release/groups.py [NAME ...]`` evaluates the
pretrained networks of the results page on validation, and writes what each record or speaker had,
as counts of right and of all labelled decisions, into ``results/NAME/groups.json``. The page's
intervals follow from these counts.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from srnn.measure.analysis.groups import GroupReport
from srnn.model.opening import open_trained
from srnn.training.evaluation import evaluate

RESULTS = Path(__file__).parents[1] / "results"
NETWORKS = {
    "ecg": "records",
    "ecg-large": "records",
    "ecg-alif-lookahead": "records",
    "ecg-lookahead-large": "records",
    "ecg-bidirectional": "records",
    "ecg-records": "records",
    "ecg-records-large": "records",
    "speech-commands-mini": "speakers",
    "speech-commands-live": "speakers",
}
SILENCE = "_silence_/"
"""Clips of nobody."""


def write(name: str, unit: str) -> None:
    report = GroupReport.of(evaluate(open_trained(name), "validation"))
    assert report.names is not None
    counts = dict(zip(report.names, report.counts.tolist(), strict=True))
    left_out = {group for group in counts if group.startswith(SILENCE)}
    groups = {group: of for group, of in counts.items() if group not in left_out and of[1]}
    content = {
        "network": name,
        "split": "validation",
        "unit": unit,
        "left_out": sorted(left_out),
        "right_of_counted": groups,
    }
    text = re.sub(r"\[\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2]", json.dumps(content, indent=1)) + "\n"
    (RESULTS / name / "groups.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:] or NETWORKS:
        write(name, NETWORKS[name])
