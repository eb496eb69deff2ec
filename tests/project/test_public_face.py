"""What ``import srnn`` offers: names that docs use, typed, and imported only when they are used."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest

import srnn

ROOT = Path(__file__).parents[2]


def test_every_name_is_there_and_listed() -> None:
    assert dir(srnn) == sorted([*srnn.__all__, "__version__"])
    for name in srnn.__all__:
        assert getattr(srnn, name).__name__.rpartition(".")[2].lower() == name.lower()
    assert not hasattr(srnn, "no_such_name")


def test_options_of_a_stream_are_those_of_a_decoder() -> None:
    """Written out, so that an editor shows them."""
    ours = inspect.signature(srnn.Model.stream).parameters
    theirs = inspect.signature(srnn.Decoder.of).parameters
    assert {*ours} - {"self"} == {*theirs} - {"model"}
    assert all(ours[name].default == theirs[name].default for name in {*ours} - {"self"})


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(
        srnn.SrnnError, match=r"ecg-record was not found: .*\. Did you mean 'ecg-records'\?"
    ):
        srnn.load("ecg-record")
    with pytest.raises(srnn.SrnnError, match=r"zzz was not found: .*\. See 'srnn models'\."):
        srnn.load("zzz")
    with pytest.raises(srnn.SrnnError, match=r"runs/ecg-record was not found: .* network\.$"):
        srnn.load("runs/ecg-record")


def test_one_extra_has_all_that_messages_ask_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    (everything,) = project["all"]
    # For these the message is made from what was asked for.
    asked = {"postgres", "tensorboard", "wandb", "mlflow"}
    for path in (ROOT / "src").rglob("*.py"):
        asked |= {*re.findall(r'\bneed\([^\n]*"(\w+)"\)', path.read_text(encoding="utf-8"))}
    assert (
        {"serve", "mic", "ecg", "sweep", "onnx", "nir"}
        <= asked
        <= {*re.findall(r"\w+", everything)}
        <= {*project, "srnn"}
    )


@pytest.mark.slow
def test_the_readmes_first_example_needs_no_extra(tmp_path: Path) -> None:
    (example, *_) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    extras = (
        "wfdb tensorboard wandb mlflow fastapi uvicorn websockets sounddevice onnx "
        "onnxruntime nir optuna submitit psycopg"
    )
    code = f"import sys\nfor name in {extras.split()}: sys.modules[name] = None\n{example}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0 and "ms: " in done.stdout, done.stderr


def words_of(model: type) -> str:
    """All texts that a class and those that it is made from say of themselves and of their
    fields."""
    found = []
    for one in (one for one in model.__mro__ if one.__module__.startswith("srnn.")):
        body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        assert isinstance(body, ast.ClassDef)
        texts = [
            part.value.value
            for part in body.body
            if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
        ]
        named = [
            part.target.id
            for part, text in zip(body.body, body.body[1:], strict=False)
            if isinstance(part, ast.AnnAssign)
            and isinstance(part.target, ast.Name)
            and isinstance(text, ast.Expr)
        ]
        found += [*map(str, texts), *named]
    return "\n".join(found)


@pytest.mark.parametrize(
    "name", [name for name in srnn.__all__ if inspect.isclass(getattr(srnn, name))]
)
def test_a_class_says_what_it_is_made_with(name: str) -> None:
    model = getattr(srnn, name)
    if not issubclass(model, Exception):
        words = set(re.findall(r"\w+", words_of(model)))
        assert {*inspect.signature(model).parameters} - {"args", "kwargs"} <= words


def test_names_that_docs_take_from_the_root_are_public() -> None:
    texts = [
        path.read_text(encoding="utf-8")
        for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    ]
    blocks = [
        block
        for text in texts
        for block in re.findall(r"^```py\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]
    used = {name for block in blocks for name in re.findall(r"\bsrnn\.([A-Za-z]\w*)\(", block)}
    for block in blocks:
        for names in re.findall(r"^from srnn import (.+)$", block, re.MULTILINE):
            used |= {name.strip() for name in names.split(",")}
    assert {"load", "train", "SRNN"} <= used <= set(srnn.__all__)


def test_types_are_published_and_importing_loads_nothing_heavy() -> None:
    assert (Path(srnn.__file__).parent / "py.typed").is_file()
    code = "import sys, srnn; srnn.progress.LineReporter()\n"  # which the docstring of train names
    code += "sys.exit(', '.join({'torch', 'numba', 'numpy', 'matplotlib'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_pages_show_takes_a_path_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``srnn.load`` and ``model.save`` do: pages write a Path, readers a name."""
    pytest.importorskip("onnx")
    import numpy as np
    from scipy.io import wavfile

    from srnn.data.datasets.spiking_audio import convert, find_clips
    from srnn.deploy.export import onnx
    from srnn.errors import SrnnError
    from srnn.measure.analysis import ExitPolicy
    from srnn.measure.page import report_content, write_page
    from srnn.training.runs import Run

    monkeypatch.chdir(tmp_path)
    policy = ExitPolicy("ce_mean", 0, confidence=0.9)
    policy.save("policy.json")
    assert ExitPolicy.load("policy.json") == policy
    Path("folder").mkdir()
    onnx.save(onnx.to_model(srnn.SRNN.paper(2, [4], 2), "step"), "net.onnx")
    wavfile.write("hum.wav", 8000, np.ones(800, np.int16))
    clips = find_clips(["hum.wav"])
    assert {path.name for path in tmp_path.iterdir()} >= {"net.onnx", "policy.json"}
    assert len(clips) == 1
    for call, message in (
        (lambda: convert(clips, "folder"), "folder is a folder"),
        (lambda: write_page({}, "folder"), "folder is a folder"),
        (lambda: report_content("none"), "none was not found"),
        (lambda: Run.open("none"), "none is not a run"),
    ):
        with pytest.raises(SrnnError, match=message):
            call()
