"""Delineation on label sequences made by hand: pairs, borders that cannot be seen, gaps, tolerance,
signs."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srnn.data.datasets.qtdb import CLASS_NAMES
from srnn.measure.analysis import Delineation
from srnn.measure.analysis.delineation import CSE_TOLERANCE_MS, Interval, clean, has_waves

P, PQ, QR, RS, ST, TP = range(6)


def labels(*parts: tuple[int, int]) -> np.ndarray:
    """(class, steps) pairs -> labels."""
    return np.concatenate([np.full(steps, kind) for kind, steps in parts]).astype(np.int64)


BEAT = ((TP, 30), (P, 20), (PQ, 10), (QR, 12), (RS, 8), (ST, 60), (TP, 60))


def found(true: np.ndarray, predicted: np.ndarray, **options: float) -> dict[str, Any]:
    counts = Delineation(4.0, **options)
    counts.add(true[None], predicted[None])
    report = counts.to_dict()
    assert json.loads(json.dumps(report)) == report
    return report


def test_a_perfect_beat() -> None:
    beat = labels(*BEAT)
    report = found(beat, beat)
    both = ["onset", "offset"]
    for wave, borders in {"P": both, "QRS": both, "T": ["offset"]}.items():
        assert report[wave]["reference"] == 1 and report[wave]["sensitivity"] == 1
        assert report[wave]["ppv"] == 1
        for border in borders:
            assert report[wave][border]["mean_ms"] == 0
            assert report[wave][border]["sd_ms"] is None  # of a single one
    assert "onset" not in report["T"]  # nobody labelled it
    assert report["P"]["onset"]["cse_tolerance_ms"] == CSE_TOLERANCE_MS["P", "onset"] == 10.2


def test_errors_are_predicted_minus_reference_in_ms() -> None:
    true = labels(*BEAT, *BEAT)
    late = labels((TP, 33), (P, 15), (PQ, 12), (QR, 12), (RS, 8), (ST, 60), (TP, 60), *BEAT)
    report = found(true, late)
    assert report["P"]["onset"]["mean_ms"] == pytest.approx((3 + 0) * 4 / 2)
    assert report["P"]["onset"]["sd_ms"] == pytest.approx(np.std([12, 0], ddof=1))
    assert report["P"]["offset"]["mean_ms"] == pytest.approx((-2 + 0) * 4 / 2)
    assert report["QRS"]["onset"]["mean_ms"] == 0


def test_beyond_the_tolerance_a_border_is_missed_and_extra() -> None:
    true = labels(*BEAT)
    # P ends 10 steps, 40 ms late.
    wide = labels((TP, 30), (P, 30), (QR, 12), (RS, 8), (ST, 60), (TP, 60))
    for tolerance, hit in ((40.0, 1), (39.0, 0)):
        report = found(true, wide, tolerance_ms=tolerance)
        assert report["P"]["onset"]["found"] == 1
        offset = report["P"]["offset"]
        assert (offset["reference"], offset["predicted"], offset["found"]) == (1, 1, hit)
        assert report["P"]["found"] == hit
        assert report["P"]["ppv"] == hit


def test_missed_and_extra_waves() -> None:
    true = labels(*BEAT)
    no_p = labels((TP, 60), (QR, 12), (RS, 8), (ST, 60), (TP, 60))
    report = found(true, no_p)
    assert report["P"]["sensitivity"] == 0 and report["P"]["ppv"] is None
    assert report["P"]["onset"]["mean_ms"] is None
    far = true.copy()
    far[-45:-30] = P
    report = found(true, far)
    assert report["P"]["sensitivity"] == 1
    assert report["P"]["ppv"] == report["P"]["onset"]["ppv"] == 0.5
    report = found(far, true)
    assert (report["P"]["sensitivity"], report["P"]["ppv"]) == (0.5, 1)
    # The first one missed, the second right.
    report = found(np.concatenate([true, true]), np.concatenate([no_p, true]))
    assert (report["P"]["sensitivity"], report["P"]["ppv"]) == (0.5, 1)


def test_qr_and_rs_are_one_complex() -> None:
    true = labels(*BEAT)
    only_qr = labels((TP, 30), (P, 20), (PQ, 10), (QR, 20), (ST, 60), (TP, 60))
    assert found(true, only_qr)["QRS"]["found"] == 1


def test_short_gaps_are_closed_and_flickers_dropped() -> None:
    true = labels(*BEAT)
    ragged = true.copy()
    ragged[40:44] = TP  # 16 ms within P
    ragged[155:159] = P  # 16 ms of P within TP
    report = found(true, ragged)
    assert (report["P"]["predicted"], report["P"]["found"]) == (1, 1)
    report = found(true, ragged, gap_ms=16, shortest_ms=16)  # a gap must be shorter, a wave as long
    assert report["P"]["predicted"] == 3
    assert found(true, ragged, gap_ms=0)["P"]["predicted"] == 2  # both halves, and still no flicker
    assert clean([Interval(0, 3), Interval(4, 6), Interval(20, 22)], gap=2, shortest=3) == [
        Interval(0, 6)
    ]
    assert clean([], 5, 5) == []


def test_what_cannot_be_seen_does_not_count() -> None:
    """Borders at the ends of the signal or beside unlabelled steps are not known; the wave there is
    no error either."""
    # P's onset and T's offset lie outside.
    cut = labels((P, 20), (PQ, 10), (QR, 12), (RS, 8), (ST, 60))
    report = found(cut, cut)
    assert report["P"]["reference"] == report["P"]["predicted"] == 0
    assert report["P"]["onset"]["reference"] == report["P"]["onset"]["predicted"] == 0
    assert report["P"]["offset"]["found"] == 1
    assert report["T"]["reference"] == report["T"]["predicted"] == 0
    assert report["QRS"]["found"] == 1
    shorter = cut.copy()
    shorter[:6] = TP  # the network's P begins within: who knows
    assert found(cut, shorter)["P"]["onset"]["predicted"] == 0
    onset = found(shorter, cut)["P"]["onset"]  # nor has the network said where its own began
    assert (onset["reference"], onset["predicted"], onset["found"]) == (1, 0, 0)


def test_an_extra_wave_that_cannot_be_seen_whole_is_no_extra_wave() -> None:
    """Only its border within the signal is: who knows whether the other one would have been
    right."""
    true = labels((TP, 60), (QR, 12), (RS, 8), (ST, 60), (TP, 60))
    guess = true.copy()
    guess[:20] = P
    report = found(true, guess)["P"]
    assert report["predicted"] == 0 and report["onset"]["predicted"] == 0
    assert report["offset"]["predicted"] == 1


def test_waves_that_overlap_are_a_pair_however_far_apart_their_borders_are() -> None:
    """So a guess within a wave that the signal cuts off is no extra one: half of its partner cannot
    be seen."""
    cut, guess = labels((P, 80), (TP, 120)), labels((TP, 40), (P, 85), (TP, 75))
    report = found(cut, guess)["P"]
    assert (report["predicted"], report["onset"]["predicted"]) == (0, 0)
    assert report["offset"]["reference"] == 1 and report["offset"]["predicted"] == 1
    assert report["offset"]["found"] == 0


def test_waves_that_only_touch_are_no_pair() -> None:
    """So the guess is one too many, beside a wave that the signal cuts off."""
    for true, guess in (
        (labels((TP, 80), (P, 120)), labels((TP, 40), (P, 40), (TP, 120))),
        (labels((P, 80), (TP, 120)), labels((TP, 80), (P, 45), (TP, 75))),
    ):
        report = found(true, guess)["P"]
        assert report["predicted"] == 1 and report["onset"]["predicted"] == 1
        assert report["offset"]["predicted"] == 1


def test_unlabelled_stretches_are_left_out() -> None:
    beat = labels(*BEAT)
    hole = np.full(50, -1)
    anything = np.tile([P, QR], 25).repeat(1)
    true, predicted = np.concatenate([beat, hole, beat]), np.concatenate([beat, anything, beat])
    report = found(true, predicted)
    assert report["P"]["reference"] == report["P"]["predicted"] == report["P"]["found"] == 2
    everything = found(np.full(100, -1), np.full(100, P))
    assert everything["P"] == everything["P"] | {
        "reference": 0,
        "predicted": 0,
        "sensitivity": None,
    }


@pytest.mark.parametrize(
    "change", [{}, {"kind": "per_sequence"}, {"class_names": ("a",)}, {"step_ms": None}]
)
def test_what_has_waves(change: dict[str, Any]) -> None:
    task: Any = SimpleNamespace(
        **{"kind": "per_step", "class_names": CLASS_NAMES, "step_ms": 4.0, **change}
    )
    assert has_waves(task) == (not change)


def test_a_wave_is_paired_once() -> None:
    """Two predicted halves of a QRS, far apart: one is its partner, the other extra."""
    true = labels((TP, 30), (QR, 30), (TP, 30))
    halves = labels((TP, 30), (QR, 10), (TP, 10), (RS, 10), (TP, 30))
    report = found(true, halves)
    assert (report["QRS"]["reference"], report["QRS"]["predicted"]) == (1, 2)
    assert found(true, halves, gap_ms=44)["QRS"]["predicted"] == 1
    report = found(halves, true)  # and one that spans both is the partner of one
    assert (report["QRS"]["reference"], report["QRS"]["predicted"]) == (2, 1)


def test_the_nearest_waves_are_paired() -> None:
    """Of two that both lie within the tolerance the nearer, whichever comes first; and one border
    that is near is enough."""
    true = labels((TP, 30), (QR, 20), (TP, 50))
    # By both borders together: 0 + 14 steps, not 12 + 10.
    for onset, parts in (
        (33, ((TP, 20), (QR, 6), (TP, 7), (QR, 15), (TP, 52))),
        (32, ((TP, 32), (QR, 15), (TP, 7), (QR, 6), (TP, 40))),
        (30, ((TP, 30), (QR, 6), (TP, 6), (QR, 18), (TP, 40))),
    ):
        report = found(true, labels(*parts), tolerance_ms=120.0)["QRS"]
        assert report["onset"]["mean_ms"] == pytest.approx((onset - 30) * 4)
        assert (report["predicted"], report["found"]) == (2, 1)
    # Ends before the other begins.
    early = found(true, labels((TP, 10), (QR, 16), (TP, 74)), tolerance_ms=80.0)["QRS"]
    assert (early["onset"]["found"], early["offset"]["found"]) == (1, 0)


@settings(max_examples=60)
@given(st.integers(0, 10**9), st.integers(1, 60))
def test_counts_are_consistent(seed: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    true = np.repeat(rng.integers(-1, 6, (3, steps)), 7, axis=1)
    predicted = np.repeat(rng.integers(0, 6, (3, steps)), 7, axis=1)
    counts = Delineation(4.0, tolerance_ms=float(rng.choice([8, 60, 150])))
    counts.add(true, predicted)
    for wave in counts.waves.values():
        for part in (wave, *wave.borders.values()):
            assert 0 <= part.found <= min(part.reference, part.predicted)
    same = Delineation(4.0, gap_ms=0, shortest_ms=0)
    same.add(true, np.maximum(true, 0))
    for wave in same.waves.values():
        for border in wave.borders.values():
            assert border.found == border.reference
            assert border.mean_ms in (None, 0.0)
