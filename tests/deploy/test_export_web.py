"""A network as a page: its answers are those of the same C on this machine, files are read as
Python reads them, and the browser fetches nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import srnn
from srnn import SRNN
from srnn.data.encoders import LevelCrossing
from srnn.data.signals import CrossingPath
from srnn.deploy.export.model import export_c, export_web
from srnn.deploy.export.web import compiled, find_compiler
from srnn.deploy.live import describe, page, read_page
from srnn.deploy.streaming import Decoder
from srnn.errors import SrnnError
from srnn.nn.fixedpoint.integer import InputFormat
from support.browser import Browser
from support.pages import ROOT
from support.pages_in_node import NODE, read_in_page, run_in_page, samples_in_page
from support.random_models import FORMS, case_of

SITE = ROOT / "docs" / "live"
needs_node = pytest.mark.skipif(
    NODE is None, reason="Node, in which pages' scripts run, was not found"
)


def _zig() -> None:
    try:
        find_compiler()
    except SrnnError:
        pytest.skip("no compiler to WebAssembly (pip install 'srnn[web]'): pages are not made")


@pytest.fixture(scope="module")
def heart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of ecg-records in integers."""
    _zig()
    out = tmp_path_factory.mktemp("page") / "heart.html"
    report = export_web(srnn.load("ecg-records"), out)
    assert report["bytes"] == out.stat().st_size < 100_000 and report["wasm_bytes"] < 16_000
    return out


@needs_node
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_page_shows_labels_and_spikes(heart: Path, tmp_path: Path) -> None:
    """That its numbers are those of the C is held by test_one_answer.py."""
    model, x = srnn.load("ecg-records"), np.load(srnn.example("ecg-records")).astype(np.float32)
    x.tofile(tmp_path / "x")
    page = run_in_page(heart, tmp_path / "x")
    assert len(page["labels"]) == len(x)
    expected: Any = model.predict(x).scores  # type: ignore[union-attr]
    # The page decides as samples arrive; a prediction of a whole recording moves decisions back.
    lag = model.recipe.task.options["label_lag"]
    assert np.mean(page["labels"][lag:] == expected.argmax(-1)[:-lag]) > 0.95
    assert np.allclose(np.sum(page["probabilities"], 1), 1)
    assert any(spikes[0] for spikes in page["spikes"])


@needs_node
@pytest.mark.parametrize("form", FORMS)
def test_a_value_is_the_sample_that_c_expects(form: str, tmp_path: Path) -> None:
    """In the unit of the model, and halves rounded to even."""
    case = case_of("ce_mean", form, 1)
    given, model = case.given, case.model
    export_c(model, tmp_path / "c", "int8", name="model", layout="web", std=given.std)
    facts = json.loads((tmp_path / "c" / "page.json").read_text())
    x = np.concatenate([case.xs[-1], case.xs[-1] * 1000])
    np.testing.assert_array_equal(samples_in_page(facts, x), given.samples(x)[1])


@needs_node
def test_tables_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("t;ay [g];ax [g]\n0;1,5;2\n0,02;;3\n0,04;2,5;nan\n0,06;3;5\n")

    def read(**wanted: Any) -> dict[str, Any]:
        own = {"names": ["ax", "ay"], "channels": 2, "rate": 50, "spellings": [["g"], ["g"]]}
        return read_in_page([file], **own | wanted)

    assert read()["samples"] == [2, 1.5, 3, 2, 4, 2.5, 5, 3]
    assert read()["notes"] == ["2 missing values filled"]
    assert "is in g; the network takes m/s2" in read(spellings=[["m/s2"], []])["error"]
    assert "takes az, ay; the file has ay, ax" in read(names=["az", "ay"])["error"]
    assert "is missing" in read(missing="refuse")["error"]
    assert read(chosen="ay,ax")["samples"][:2] == [1.5, 2]
    assert len(read(rate=25)["samples"]) == 4
    file.write_text("1,2\n3,4\n")
    assert read_in_page([file], channels=2)["samples"] == [1, 2, 3, 4]
    file.write_text("\n")
    assert "empty" in read_in_page([file])["error"]


@needs_node
@pytest.mark.parametrize("width", [1, 2, 3])
def test_sound_is_read(tmp_path: Path, width: int) -> None:
    values = np.array([0, 1, -1, 100, -100, 127, -128]) * 256 ** (width - 1)
    raw = (values + (128 if width == 1 else 0)).astype("<i4").view(np.uint8).reshape(-1, 4)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, width, 8000, 0, "NONE", ""))
        file.writeframes(raw[:, :width].tobytes())
    read = read_in_page([tmp_path / "a.wav"], rate=8000)
    assert read["samples"] == (values / 2 ** (8 * width - 1)).tolist()


@needs_node
@pytest.mark.filterwarnings("ignore:The inplace keyword")
@pytest.mark.parametrize("form", ["16", "80", "212"])
def test_records_are_read_as_wfdb_reads_them(tmp_path: Path, form: str) -> None:
    wfdb = pytest.importorskip("wfdb", reason="the extra 'ecg' is not installed")
    limit = 120 if form == "80" else 1900
    counts = np.random.default_rng(0).integers(-limit, limit, (101 + (form == "212"), 2))
    about: Any = {"fmt": [form] * 2, "adc_gain": [200.0, 100.0], "baseline": [3, 0]}
    about |= {"units": ["mV", "mV"], "sig_name": ["MLII", "V5"], "write_dir": str(tmp_path)}
    wfdb.wrsamp("rec", fs=250, d_signal=counts, **about)
    expected = wfdb.rdrecord(str(tmp_path / "rec")).p_signal
    both = [tmp_path / "rec.dat", tmp_path / "rec.hea"]
    read = read_in_page(both, channels=2, rate=250, names=["V5", "MLII"])
    assert np.allclose(np.reshape(read["samples"], (-1, 2)), expected[:, ::-1], atol=1e-6)
    assert "choose both" in read_in_page(both[:1], channels=2)["error"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_browser_runs_the_page_and_fetches_nothing(
    heart: Path, tmp_path: Path, browser: Browser
) -> None:
    x = np.load(srnn.example("ecg-records")).astype(np.float32)[:500]
    table = "\n".join(",".join(map(repr, row)) for row in x.astype(float).tolist())
    browser.open(heart.as_uri())
    browser.wait("typeof view === 'object' && view && view.count > 100")
    assert browser.value("document.title") == "ecg-records"
    drop = """(text => { stop(); const files = new DataTransfer(); files.items.add(new File([text], "a.csv"));
        dispatchEvent(Object.assign(new DragEvent("drop", { dataTransfer: files, cancelable: true }))); })"""
    browser.value(f"{drop}({json.dumps(table)})")
    status = "document.getElementById('status').textContent"
    browser.wait(f"{status}.startsWith('the signal ended: 500 steps')")
    x.tofile(tmp_path / "x")
    if NODE is not None:
        label = run_in_page(heart, tmp_path / "x")["labels"][-1]
        assert browser.value("view.winner") == srnn.load("ecg-records").classes[label]
    flat = "\n".join(["0.1,0.2"] * 300)
    browser.value(f"{drop}({json.dumps(flat)})")
    browser.wait("document.getElementById('label').textContent === 'flat'")
    assert browser.errors == []
    # What the policy refuses is an error of the page.
    browser.value("fetch('https://example.org/').then(() => 'fetched', () => 'refused')")
    browser.wait("true")
    assert any("Content Security Policy" in error for error in browser.errors)
    assert "https://" not in heart.read_text().split('id="page-data"')[0]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_objects_for_boards_are_built_by_the_same_compiler(tmp_path: Path) -> None:
    _zig()
    make = shutil.which("make")
    if make is None:
        pytest.skip("make was not found")
    export_c(srnn.load("ecg-records"), tmp_path / "c", "int8", name="heart")
    zig = " ".join(find_compiler()[:-1])
    command = [make, "-C", tmp_path / "c", "check-target", f"ZIG={zig}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
    # ELF of 32 bits for ARM (40) and RISC-V (243).
    for name, machine in (("heart_cortex_m4.o", 40), ("heart_rv32.o", 243)):
        head = (tmp_path / "c" / name).read_bytes()[:20]
        assert head[:5] == b"\x7fELF\x01" and head[18] == machine
    export_c(srnn.load("ecg-records"), tmp_path / "f", name="heart")
    assert "check-target" not in (tmp_path / "f" / "Makefile").read_text()


def test_without_a_compiler_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("srnn.deploy.export.web.find_spec", lambda name: None)
    monkeypatch.setattr("srnn.deploy.export.web.shutil.which", lambda name: None)
    with pytest.raises(SrnnError, match=r'pip install "srnn\[web\]"'):
        export_web(srnn.load("ecg-records"), tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


def test_a_page_needs_the_deviations_of_a_signal_without_a_running_scale(tmp_path: Path) -> None:
    """Its thresholds were 0."""
    net = SRNN.paper(4, [3], 2, generator=torch.Generator().manual_seed(0))
    path = CrossingPath(LevelCrossing("difference", 0.5, 0.5), 2, 100.0)
    model = replace(srnn.from_network(net, "ab", signal=path), inputs_as=InputFormat())
    with pytest.raises(SrnnError, match="cannot measure the standard deviations"):
        export_c(model, tmp_path / "c", "int8", name="model", layout="web")
    export_c(model, tmp_path / "c", "int8", name="model", layout="web", std=(0.25, 3.0))
    facts = json.loads((tmp_path / "c" / "page.json").read_text())
    assert facts["thresholds"] == {"up": [125, 1500], "down": [125, 1500]}


def test_c_that_is_not_compiled_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "web.c").write_text("int x")
    false = shutil.which("false")
    if false is None:
        pytest.skip("no program that fails")
    with pytest.raises(SrnnError, match="was not compiled to WebAssembly"):
        compiled(tmp_path, [false])


@pytest.mark.parametrize("path", sorted(SITE.glob("*.json")), ids=lambda path: path.stem)
def test_the_pages_of_the_site_are_of_today(path: Path, tmp_path: Path) -> None:
    """Renewed by release/live_pages.py: what is said of the network, and of its C."""
    data = json.loads(path.read_text("utf-8"))
    name = data["model"]["model"]
    described = describe(name, Decoder.of(srnn.load(name)))
    assert data["model"] == json.loads(json.dumps(described)), "python release/live_pages.py"
    export_c(srnn.load(name), tmp_path / "c", "int8", name="model", layout="web")
    facts = json.loads((tmp_path / "c" / "page.json").read_text())
    assert data["facts"] | facts == data["facts"], "python release/live_pages.py"
    assert len(data["recordings"]) == 1
    assert read_page(page("device", data)) == data
