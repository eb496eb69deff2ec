"""What runs behind ``srnn stream``: real time, the times of blocks, and that no push has to import
anything first."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from srnn.data.encoders import Statistics
from srnn.deploy.streaming import Decoder
from srnn.deploy.streaming.running import Chooser, Timing, decisions_of, run_source
from srnn.deploy.streaming.sources import Source
from support.runs import SPOKEN, make_run


def test_real_time_waits_as_long_as_the_signal_lasts(ecg: str) -> None:
    decoder, slept = Decoder.of(ecg, scale=([0, 0], [1, 1])), []
    source = Source("x", iter([np.zeros((250, 2))] * 3))
    timing = Timing()
    for _ in run_source(decoder.open(), source, timing, real_time=True, sleep=slept.append):
        pass
    assert (
        timing.signal == 3 and len(slept) == 3 and slept[0] > 0.5
    )  # the clock hardly moves while nothing sleeps
    assert slept[0] < slept[1] < slept[2] <= 3 and timing.blocks == 4


def test_the_signals_time_does_not_drift(ecg: str) -> None:
    """Samples are counted: a sum of their times, each rounded, is late by milliseconds after some
    weeks."""
    decoder, timing = Decoder.of(ecg, scale=([0, 0], [1, 1])), Timing()
    for _ in run_source(decoder.open(), Source("x", iter([np.zeros((1, 2))] * 50)), timing):
        pass
    assert timing.signal == 50 / 250 != sum([1 / 250] * 50)


def test_times_are_counted_not_kept() -> None:
    """An endless stream takes no more memory, and percentiles are true to 1 %, never too good."""
    rng, timing = np.random.default_rng(0), Timing()
    seconds = np.concatenate([rng.lognormal(-7, 1, 5000), [0.0, 1e-9, 3.5]])
    size = len(pickle.dumps(timing))
    for value in seconds:
        timing.add(float(value))
    assert abs(len(pickle.dumps(timing)) - size) < 64
    for percent in (1, 50, 95, 99, 100):
        true = np.percentile(seconds, percent, method="inverted_cdf")
        assert true <= timing.percentile(percent) * (1 + 1e-9) <= max(1.0101 * true, 1.1e-7)
    told = timing.summary()
    assert told["work_seconds"] == pytest.approx(seconds.sum(), abs=1e-6)
    assert told["block_latency_ms"]["max"] == 3500
    timing.add(1e6)
    assert timing.percentile(100) == 1e6


COLD = """
import os, sys
import numpy as np
from pathlib import Path
from srnn.deploy.streaming import Decoder
for folder in sys.argv[1:]:
    if os.fork():  # a process for each, which has imported no more than this
        os.wait()
        continue
    decoder = Decoder.of(Path(folder), form="signal")
    rng, before = np.random.default_rng(0), set(sys.modules)
    session = decoder.open()
    for _ in range(2):
        found = session.push(0.1 * rng.random((round(decoder.signal.rate or 64), decoder.signal.channels)))
        decoder.probabilities(found.scores)
    session.finish()
    print(sorted(set(sys.modules) - before), flush=True)
    os._exit(0)
"""


@pytest.fixture(scope="module")
def imported(run: str, ecg: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What pushes import, by the kind of signal."""
    folder = tmp_path_factory.mktemp("cold")
    scale = Statistics(np.zeros(120, np.float32), np.ones(120, np.float32))
    speech = make_run(folder / "speech", *SPOKEN, statistics=scale)
    cochlea = ("--task.name=spoken-digits-spikes", "--task.options.pool=50", "--loss.name=ce_mean")
    folders = {
        "digits": run,
        "ecg": ecg,
        "speech": str(speech),
        "cochlea": str(make_run(folder / "cochlea", *cochlea)),
    }
    command = [sys.executable, "-c", COLD, *folders.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(zip(folders, done.stdout.splitlines(), strict=True))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("kind", ["digits", "ecg", "speech", "cochlea"])
def test_no_push_imports_anything(kind: str, imported: dict[str, str]) -> None:
    """What is loaded at its first use would stall every other stream of a server: a decoder is made
    warm."""
    assert imported[kind] == "[]"


def test_nothing_is_shown_of_nothing(run: str) -> None:
    decoder = Decoder.of(run)
    assert decisions_of(decoder, decoder.open().finish()) == []
    assert Timing().summary()["block_latency_ms"]["max"] == 0
    assert Chooser("end").report == "end"
