"""Beats, intervals and dead leads, on labels and signals made by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from srnn.data.leads import FLAT, OFF, READ, UNSURE, LeadWatch, dead_leads
from srnn.measure.heartbeats import Heart, read_heart
from support.signals import heartbeats

P, PQ, QR, RS, ST, TP = range(6)
BEAT = ((TP, 30), (P, 20), (PQ, 10), (QR, 12), (RS, 8), (ST, 60), (TP, 60))  # 200 steps of 4 ms


def steps(*parts: tuple[int, int]) -> np.ndarray:
    """(class, steps) pairs -> labels."""
    return np.concatenate([np.full(count, kind) for kind, count in parts]).astype(np.int64)


def heart(
    numbers: np.ndarray, *, dead: np.ndarray | None = None, unsure: slice = slice(0), **options: Any
) -> Heart:
    """A heart read from these labels after a second of TP, so that nothing of it is at the
    recording's beginning."""
    numbers = np.concatenate([np.full(250, TP), numbers])
    probabilities = np.full((len(numbers), 6), 0.02)
    probabilities[np.arange(len(numbers)), numbers] = 0.9
    probabilities[250:][unsure] = 1 / 6
    states = np.zeros((len(numbers), 2), np.uint8)
    if dead is not None:
        states[250:] = dead
    return read_heart(
        numbers, probabilities, states, 0.004, start_seconds=-1.0, leads=("I", "V1"), **options
    )


def test_a_beat_has_its_borders_and_intervals() -> None:
    one, two = heart(steps(*BEAT, *BEAT)).beats
    borders = (one.p_onset, one.p_end, one.qrs_onset, one.r, one.qrs_end, one.t_end)
    assert borders == pytest.approx((0.12, 0.2, 0.24, 0.288, 0.32, 0.56))
    assert one.rr is None and two.rr == pytest.approx(0.8)
    assert one.in_ms() == {"RR": None, "P": 80, "PR": 120, "QRS": 80, "QT": 320}


def test_rate_and_spread_are_those_of_the_middle_beats() -> None:
    late = ((TP, 30 + 50), *BEAT[1:])  # a pause of 1 s among beats each 0.8 s
    found = heart(steps(*BEAT, *BEAT, *BEAT, *late, *BEAT))
    assert found.rate == pytest.approx(75)
    rr = found.intervals()["RR"]
    assert rr is not None and rr == pytest.approx((0.8, 0.8, 0.85, 4))
    report = found.to_dict(over_time=True)
    assert json.loads(json.dumps(report)) == report
    assert len(report["beats"]) == report["count"] == 5
    assert report["note"] == "Not a medical device."


def test_without_p_waves_there_is_no_pr() -> None:
    bare = ((TP, 60), (QR, 12), (RS, 8), (ST, 60), (TP, 60))
    found = heart(steps(*bare, *bare))
    assert [beat.p_onset for beat in found.beats] == [None, None]
    assert found.intervals()["P"] is None and found.intervals()["PR"] is None
    assert found.intervals()["QT"] is not None and found.rate == pytest.approx(75)


def test_a_p_wave_belongs_to_the_complex_that_follows_it_and_to_no_other() -> None:
    blocked = ((TP, 30), (P, 20), (TP, 130))  # a P wave that no QRS follows within half a second
    bare = ((QR, 12), (RS, 8), (ST, 60), (TP, 60))
    found = heart(steps(*blocked, *bare, *bare))
    assert [beat.pr for beat in found.beats] == [None, None]
    two = ((TP, 30), (P, 20), (TP, 20), (P, 20), (PQ, 10), *BEAT[3:])
    (beat,) = heart(steps(*two)).beats
    assert beat.p_onset == pytest.approx(0.28)  # of two, the last


def test_a_t_wave_that_runs_into_the_next_complex_has_no_end() -> None:
    fused = ((TP, 30), (QR, 12), (RS, 8), (ST, 60), (QR, 12), (RS, 8), (ST, 60), (TP, 60))
    first, second = heart(steps(*fused)).beats
    assert first.t_end is None and second.qt == pytest.approx(0.32)


def test_what_flickers_is_one_wave_and_no_beat_more() -> None:
    kinds = [TP, P, TP, P, PQ, QR, PQ, QR, RS, ST, QR, TP]
    counts = [30, 8, 3, 9, 10, 7, 2, 3, 8, 60, 4, 56]
    (beat,) = heart(np.repeat(kinds, counts)).beats
    assert beat.in_ms() == {"RR": None, "P": 80, "PR": 120, "QRS": 80, "QT": 320}


def test_there_is_no_beat_where_a_lead_is_off_and_no_rr_across() -> None:
    dead = np.zeros((600, 2), np.uint8)
    dead[250:280, 1] = OFF  # the second of three complexes
    found = heart(steps(*BEAT, *BEAT, *BEAT), dead=dead)
    # The third is within two seconds of it.
    assert [beat.r for beat in found.beats] == pytest.approx([0.288])
    assert found.rate is None
    assert found.stretches() == [(0, 188, "unsure"), (500, 530, "off"), (530, 850, "unsure")]
    assert "off 3.5% (V1)" in found.headline() and "flat 0.0%," in found.headline()
    # After the recovery there are beats again, but no interval across.
    found = heart(steps(*BEAT * 6), dead=np.concatenate([dead, np.zeros((600, 2), np.uint8)]))
    assert [beat.rr for beat in found.beats] == [None, None, pytest.approx(0.8)]


def test_a_wave_that_a_dead_lead_cuts_has_no_border() -> None:
    dead = np.zeros((200, 2), np.uint8)
    dead[100:, 0] = FLAT  # within ST
    (beat,) = heart(steps(*BEAT), dead=dead).beats
    assert beat.t_end is None and beat.qrs == pytest.approx(0.08)
    dead[70:, 0] = FLAT  # within QRS
    assert not heart(steps(*BEAT), dead=dead).beats


def test_a_beat_of_which_most_is_unsure_does_not_count() -> None:
    found = heart(steps(*BEAT, *BEAT, *BEAT), unsure=slice(200, 400))
    assert len(found.beats) == 2 and found.rate is None
    assert found.shares()["unsure"] == pytest.approx((188 + 200) / 850)


def test_of_a_recording_that_is_mostly_unsure_there_are_beats_but_no_rate() -> None:
    sure = heart(steps(*BEAT * 6), unsure=slice(600, 900))
    assert sure.rate == pytest.approx(75) and not sure.withheld
    found = heart(steps(*BEAT * 6), unsure=slice(400, 950))
    assert found.shares()["unsure"] > 0.5 and found.beats[1].rr == pytest.approx(0.8)
    assert found.rate is None and set(found.intervals().values()) == {None}
    assert "no heart rate: most of the recording is unsure (" in found.headline()
    plain = found.to_dict()
    assert plain["rate"] is None and plain["withheld"] and plain["count"] == len(found.beats)


def test_what_a_dead_lead_hides_does_not_make_the_rest_unsure() -> None:
    dead = np.zeros((2400, 2), np.uint8)
    dead[1200:, 0] = FLAT
    found = heart(steps(*BEAT * 12), dead=dead, unsure=slice(0, 400))
    assert found.rate == pytest.approx(75) and not found.withheld
    assert heart(steps(*BEAT * 12), dead=dead, unsure=slice(0, 700)).withheld


def test_nothing_is_sure_at_the_beginning() -> None:
    found = read_heart(steps(*BEAT), np.eye(6)[steps(*BEAT)], np.zeros((200, 0), np.uint8), 0.004)
    assert (found.states[:188] == UNSURE).all() and (found.states[188:] == READ).all()
    assert not found.beats


@pytest.mark.parametrize(("pause", "unsure"), [(500, False), (600, True)])
def test_three_seconds_without_a_beat_are_unsure(pause: int, unsure: bool) -> None:
    """From peak to peak: a beat of 200 steps is 0.8 s."""
    found = heart(steps(*BEAT, (TP, pause), *BEAT))
    assert len(found.beats) == 2
    between = found.states[250 + 72 : 250 + 200 + pause + 72]
    assert (between == (UNSURE if unsure else READ)).all()
    assert (found.states[250 + 200 + pause + 72 :] == READ).all()


def test_a_lead_that_is_off_makes_no_step_before_it_unsure() -> None:
    numbers = steps(*BEAT, *BEAT, (TP, 1000), *BEAT)
    dead = np.zeros((len(numbers), 2), np.uint8)
    dead[400:1400, 0] = OFF
    found = heart(numbers, dead=dead)
    assert (found.states[250:650] == READ).all() and (found.states[650:1650] == OFF).all()


@pytest.mark.parametrize("labels", [np.full(500, TP), np.full(500, QR), np.zeros(1, np.int64)])
def test_labels_that_are_no_heart_have_no_beats(labels: np.ndarray) -> None:
    found = heart(labels)
    assert found.rate is None and not found.beats
    assert found.intervals() == dict.fromkeys(("RR", "P", "PR", "QRS", "QT"))
    assert found.headline().startswith("no heart rate (0 beats)")


# ---- leads that say nothing ----


@pytest.mark.parametrize("rate", [250, 360, 500, 1000])
def test_an_ecg_is_not_flat(rate: int) -> None:
    x = heartbeats(10, rate, every=1.5)  # long isoelectric lines
    assert not dead_leads(x, rate, in_mv=True).any()
    # By a converter's steps of 5 uV.
    assert not dead_leads(np.rint(x * 200) / 200, rate, in_mv=True).any()
    assert not dead_leads(np.rint(x * 200) + 1024, rate, in_mv=False).any()  # in its own numbers
    assert not dead_leads(x / 1000, rate, in_mv=False).any()  # in V, which nothing states
    assert not dead_leads(-x, rate, in_mv=True).any()


@pytest.mark.parametrize("in_mv", [False, True])
@pytest.mark.parametrize("rate", [250, 500])
def test_a_line_that_a_lead_does_not_draw(rate: int, in_mv: bool) -> None:
    second = slice(3 * rate, 4 * rate)
    for level, state in ((0.05, FLAT), (0.0, FLAT), (5.0, OFF), (-5.0, OFF)):
        x = heartbeats(8, rate)
        x[second, 1] = level
        dead = dead_leads(x, rate, in_mv=in_mv)
        assert not dead[:, 0].any()
        assert (dead[second, 1] == state).all() and dead[:, 1].astype(bool).sum() <= 1.06 * rate
    filled = heartbeats(8, rate)
    # Missing samples, interpolated.
    filled[second, 0] = np.linspace(filled[3 * rate - 1, 0], 0.9, rate)
    assert (dead_leads(filled, rate, in_mv=in_mv)[second, 0] == OFF).all()


def test_a_short_stillness_is_an_isoelectric_line() -> None:
    x = heartbeats(8, 250)
    x[500:590] = 0.0  # 360 ms
    assert not dead_leads(x, 250, in_mv=True).any()
    x[500:601] = 0.0
    assert dead_leads(x, 250, in_mv=True)[500:601].all()


def test_noise_of_some_microvolts_is_a_flat_line_where_the_unit_is_known() -> None:
    x = heartbeats(8, 250)
    x[750:1250, 0] = np.random.default_rng(0).normal(0, 0.002, 500)
    assert (dead_leads(x, 250, in_mv=True)[750:1250, 0] == FLAT).all()
    assert not dead_leads(x, 250, in_mv=False).any()


def test_a_lead_that_never_moves_is_flat() -> None:
    for level in (0.0, -3.0, 1e6):
        assert (dead_leads(np.full((500, 1), level), 250, in_mv=False) == FLAT).all()
    assert not dead_leads(np.zeros((20, 1)), 250, in_mv=True).any()  # 80 ms: too short to say
    assert not dead_leads(np.zeros((1, 2)), 250, in_mv=True).any()


@pytest.mark.parametrize("block", [1, 10, 250, 5000])
def test_a_line_is_known_in_a_stream_once_it_has_lasted(block: int) -> None:
    x = heartbeats(20, 250)
    x[2000:3000, 1] = 5.0
    x[4000:4500, 0] = 0.1
    watch = LeadWatch(2, 250.0)
    late = 22  # a decision is about so many samples before the last that came
    states = []
    for first in range(0, len(x), block):
        watch.observe(x[first : first + block])
        states += watch.states(np.arange(max(0, first - late), first + block - late)).tolist()
    found, whole = np.array(states), dead_leads(x, 250, in_mv=False).max(-1)[: len(states)]
    assert ((found == whole) | (found == READ)).all()
    for first, last in ((2000, 3000), (4000, 4500)):
        assert (found[first + 100 : last] == whole[first + 100 : last]).all()
    assert not found[:2000].any() and not found[3001:3999].any() and not found[4501:].any()


def test_a_stream_that_is_flat_from_its_beginning_is_flat() -> None:
    watch = LeadWatch(2, 250.0, samples=1000)  # a state was restored
    for _ in range(50):
        watch.observe(np.zeros((10, 2)))
    assert (watch.states(np.arange(1400, 1500)) == FLAT).all()
    assert not watch.states(np.array([0, 999, 1500, 9999])).any()  # not kept, or to come
