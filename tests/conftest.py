"""Where tests find real data: SRNN_DATA, a folder with the data sets; published weights and golden files lie beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def _data_dir() -> Path:
    value = os.environ.get("SRNN_DATA")
    if not value:
        pytest.skip("SRNN_DATA is not set: this test needs the real data sets")
    return Path(value)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets."""
    return _data_dir()


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Golden files: the published networks' dynamics on fixed inputs."""
    path = _data_dir().parent / "golden"
    if not path.is_dir():
        pytest.skip(f"no golden files at {path}")
    return path


@pytest.fixture(scope="session")
def checkpoint_dir() -> Path:
    """The published networks' weights."""
    path = _data_dir().parent / "checkpoints"
    if not path.is_dir():
        pytest.skip(f"no published weights at {path}")
    return path
