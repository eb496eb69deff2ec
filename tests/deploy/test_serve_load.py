"""benchmarks.serve_load: the search for the largest number of streams, and the signals that are
sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from benchmarks.serve_load import Stream, largest, signal


@pytest.mark.parametrize("limit", [0, 3, 99, 100, 517, 10**6])
def test_the_largest_number_is_found_by_doubling_and_halving(limit: int) -> None:
    tried: list[int] = []

    def carried(streams: int) -> bool:
        tried.append(streams)
        return streams <= limit

    found = largest(carried, 100, 2000)
    assert found <= limit and max(tried) <= 2000 and len(tried) == len(set(tried)) < 16
    assert found == 2000 if limit > 2000 else limit - found <= max(1, 0.05 * found)


def test_a_block_may_be_large() -> None:
    """Of 64 KiB and more, whose length a frame says in eight bytes."""

    async def written() -> bytes:
        stream = Stream("model", 1, "", "step")
        stream.transport = mock.Mock()
        stream.send(bytes(70_000), 1, 0.0)
        return stream.transport.write.call_args.args[0]

    assert asyncio.run(written()) == b"\x82\xff" + (70_000).to_bytes(8, "big") + bytes(70_004)


def test_an_ecg_has_two_leads_and_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SRNN_DATA", str(tmp_path))
    what, x = signal(2, "signal", 250.0, 1600)
    assert what.startswith("made") and x.shape == (1600, 2) and x.dtype == np.float32
    what, x = signal(4, "steps", 250.0, 1000)
    assert "spikes" in what and set(np.unique(x)) == {0, 1}


def test_a_real_record_is_sent_where_there_is_one(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wfdb")
    monkeypatch.setenv("SRNN_DATA", str(data_dir))
    what, x = signal(2, "signal", 250.0, 1600)
    assert "QT database" in what and x.shape == (1600, 2) and 0.01 < x.std() < 5
