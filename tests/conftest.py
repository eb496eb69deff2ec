"""Where tests find real data: SRNN_DATA, a folder with the data sets; published weights and golden
files lie beside it.

And the servers that the tests of ``srnn serve`` share, within a file, the places of the tests of
the paper's figures, a browser, and a database.
"""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from srnn import progress

if TYPE_CHECKING:
    from srnn.deploy.streaming import Decoder
    from support.browser import Browser
    from support.serving import Service

# Networks this small only wait for a second thread, here and in the processes that tests start. Torch, which is not
# imported yet, reads it once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
progress.PATIENCE = 3600.0  # else a slow machine's tests would find lines that a fast one's do not


def pytest_configure(config: pytest.Config) -> None:
    """The same examples in every run, on a machine however slow; fewer in the default one."""
    few = "not slow" in config.option.markexpr
    examples = 30 if few else 100
    hypothesis.settings.register_profile(
        "deterministic", derandomize=True, deadline=None, max_examples=examples
    )
    hypothesis.settings.load_profile("deterministic")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None]:
    """Let the collector of garbage pass over what stays to the end: modules, and thousands of
    tests.

    It takes a sixth of the time of collecting, and part of that of each test, to find nothing.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


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


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs that were never trained, digits and ecg."""
    from support.runs import DIGITS, RECORDS, make_run

    folder = tmp_path_factory.mktemp("runs")
    make_run(folder / "digits", *DIGITS)
    make_run(folder / "ecg", *RECORDS)
    return folder


@pytest.fixture(scope="module")
def run(runs: Path) -> str:
    """Its digits, as a word of a command."""
    return str(runs / "digits")


@pytest.fixture(scope="module")
def ecg(runs: Path) -> str:
    """Its ecg, likewise."""
    return str(runs / "ecg")


@pytest.fixture(scope="module")
def models(runs: Path) -> dict[str, Decoder]:
    """Their decoders, as a service has them."""
    from srnn.deploy.streaming import Decoder

    return {
        "digits": Decoder.of(runs / "digits", missing="refuse"),
        "ecg": Decoder.of(runs / "ecg", scale=([0, 0], [5, 5]), missing="refuse"),
    }


@pytest.fixture(scope="module")
def service(models: dict[str, Decoder]) -> Iterator[Service]:
    """A server that lets everyone of this machine in."""
    from support.serving import serving

    with serving(models) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(models: dict[str, Decoder]) -> Iterator[Service]:
    """A server with a token."""
    from support.serving import TOKEN, serving

    with serving(models, TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium."""
    pytest.importorskip(
        "websockets", reason="websockets, by which the browser is driven, is not installed"
    )
    from support.browser import Browser, find_browser

    path = find_browser()
    if path is None:
        pytest.skip("no Chromium was found: the pages are not opened")
    with Browser(path, tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few digits, and of each a quarter of its steps."""
    from support import runs

    runs.few_digits(monkeypatch)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An empty folder for results."""
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


@pytest.fixture
def no_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real data would take seconds to read; test_examples_from_real_data names them."""
    monkeypatch.setenv("SRNN_DATA", str(tmp_path / "nothing"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The address of a PostgreSQL database: SRNN_TEST_POSTGRES, or else one of a server made for
    the tests."""
    from support.postgres import NoServer, server

    pytest.importorskip(
        "psycopg", reason="PostgreSQL's driver is not installed (pip install 'srnn[postgres]')"
    )
    with contextlib.ExitStack() as stack:
        address = os.environ.get("SRNN_TEST_POSTGRES")
        if not address:
            try:
                address = stack.enter_context(server())
            except NoServer as reason:
                pytest.skip(
                    f"{reason}, or set SRNN_TEST_POSTGRES to the address of a database that may be "
                    "written"
                )
        yield address
