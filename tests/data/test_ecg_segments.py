"""The wave segments of an ECG by the rules: from the marks of a record to the label of every
sample."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from srnn.data.datasets.qtdb_records import LONGEST_TP, annotated_stretches, label_segments
from support.waves import beats

P, PQ, QR, RS, ST, TP = range(6)


def without(marks: tuple[list[int], list[str]], *which: int) -> tuple[list[int], list[str]]:
    return tuple([v for i, v in enumerate(part) if i not in which] for part in marks)  # type: ignore[return-value]


def runs(labels: np.ndarray) -> list[tuple[int, int, int]]:
    """(label, start, stop) of each run of equal labels, -1 left out."""
    edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    return [(int(labels[a]), a, b) for a, b in pairwise(edges) if labels[a] >= 0]


def test_two_beats_are_labelled_by_the_rules() -> None:
    labels = label_segments(*beats(100, 300), length=600)
    one = [(P, 0, 20), (PQ, 20, 35), (QR, 35, 45), (RS, 45, 55), (ST, 55, 120)]
    expected = (
        [(c, 100 + a, 100 + b) for c, a, b in one]
        + [(TP, 220, 300)]
        + [(c, 300 + a, 300 + b) for c, a, b in one]
    )
    assert runs(labels) == expected


def test_a_beat_that_was_not_annotated_is_not_called_tp() -> None:
    near = label_segments(*beats(100, 220 + LONGEST_TP), length=900)
    far = label_segments(*beats(100, 221 + LONGEST_TP), length=900)
    assert (near == TP).sum() == LONGEST_TP and (far == TP).sum() == 0
    assert (far >= 0).sum() == 2 * 120


def test_what_is_missing_leaves_no_label() -> None:
    marks = beats(100, 300)
    for missing, lost in {  # index of the marks of the first beat -> labels that go with it
        (0,): {P},  # P onset
        (2,): {P, PQ},  # P offset
        (3,): {PQ, QR},  # QRS onset
        (5,): {RS, ST},  # QRS offset
        (7,): {ST, TP},  # T offset
        (0, 1, 2): {P, PQ},  # no P
        (6, 7): {ST, TP},  # no T
    }.items():
        kept = label_segments(*without(marks, *missing), length=600)[:300]
        full = label_segments(*marks, length=600)[:300]
        np.testing.assert_array_equal(
            kept, np.where(np.isin(full, list(lost)), -1, full), err_msg=str(missing)
        )


def test_u_waves_belong_to_tp_and_an_onset_of_t_changes_nothing() -> None:
    samples, symbols = beats(100, 300)
    expected = label_segments(samples, symbols, 600)
    at = samples.index(220) + 1
    samples[at:at], symbols[at:at] = [230, 240], ["u", ")"]
    np.testing.assert_array_equal(label_segments(samples, symbols, 600), expected)
    at = symbols.index("t")
    samples[at:at], symbols[at:at] = [180], ["("]
    np.testing.assert_array_equal(label_segments(samples, symbols, 600), expected)


def test_every_beat_symbol_is_an_r_mark() -> None:
    samples, symbols = beats(100)
    for symbol in "NAVLR/Q":
        changed = [symbol if s == "N" else s for s in symbols]
        np.testing.assert_array_equal(
            label_segments(samples, changed, 400), label_segments(samples, symbols, 400)
        )


def test_stretches() -> None:
    labels = np.full(3000, -1)
    labels[100:200] = labels[200 + LONGEST_TP - 1 : 700] = labels[2000] = 3
    assert annotated_stretches(labels) == [(100, 700), (2000, 2001)]
