"""Two processes train to the weights of one; a killed one ends the run, which can be gone on with."""

from __future__ import annotations

import gc
import json
import logging
import operator
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srnn import SRNN, SrnnError
from srnn.cli.main import main
from srnn.nn.network.inputs import each_part
from srnn.training import distributed
from srnn.training.checkpoints import read_checkpoint
from srnn.training.distributed import LOST, Share, Team, launch, world_size
from srnn.training.loop import train
from support.distributed import cases
from support.tiny import TinyTask, tiny_recipe

HERE = str(Path(__file__).parents[1])

# torch 2.13 does not close the file into which a process spoke that died by itself.
pytestmark = pytest.mark.filterwarnings(r"ignore:unclosed file .*stderr\.log:ResourceWarning")


@pytest.fixture(scope="module", autouse=True)
def _as_before() -> Iterator[None]:
    """torchrun's agent keeps the signals, sets variables and leaves files open; later tests shall not meet them."""
    handlers, variables = {number: signal.getsignal(number) for number in (1, 2, 3, 15)}, dict(os.environ)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    gc.collect()


SCRIPT = """
import os, signal, sys, threading, time
from pathlib import Path
sys.path.insert(0, {here!r})
from support.distributed import cases
from support.tiny import TinyTask, tiny_recipe
from srnn.training.loop import train

out = Path({out!r})
for name, (recipe, task) in cases().items():
    train(recipe, out / name, task=task, seed=4)

def die():
    metrics = out / "killed" / "metrics.jsonl"
    while not metrics.is_file() or metrics.read_bytes().count(b"\\n") < 2:
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGKILL)

if os.environ["RANK"] == "1":
    threading.Thread(target=die, daemon=True).start()
train(tiny_recipe("--training.epochs=2000"), out / "killed", task=TinyTask(), seed=4)
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Runs of two processes, and what was said when one of them was killed at the end."""
    out = tmp_path_factory.mktemp("together")
    with pytest.raises(SrnnError) as raised:
        launch([sys.executable, "-c", SCRIPT.format(here=HERE, out=str(out))], 2, 1, "Advice.")
    return out, str(raised.value)


@pytest.mark.parametrize("name", list(cases()))
def test_two_processes_give_the_weights_of_one(name: str, together: tuple[Path, str], tmp_path: Path) -> None:
    recipe, task = cases()[name]
    result = train(recipe, tmp_path / "alone", task=task, seed=4)
    run = together[0] / name
    alone, joint = (read_checkpoint(f / "checkpoints" / "last.safetensors").tensors for f in (tmp_path / "alone", run))
    assert alone.keys() == joint.keys()
    for key in alone:
        torch.testing.assert_close(
            joint[key], alone[key], rtol=1e-4, atol=1e-6, msg=lambda text, key=key: f"{key}: {text}"
        )
    lines = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (tmp_path / "alone", run)
    ]
    assert len(lines[0]) == len(lines[1]) == 2
    for ours, theirs in zip(*lines, strict=True):
        assert ours["train"]["accuracy"] == pytest.approx(theirs["train"]["accuracy"], abs=1e-9)
        assert ours["train"]["loss"] == pytest.approx(theirs["train"]["loss"], rel=1e-5)
        assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-3)
        rates = [line["train"]["firing_rate"] for line in (ours, theirs)]
        assert (rates[0] is None) == (rates[1] is None) == (name == "lstm")
        if rates[0] is not None:
            assert rates[0]["layers"] == pytest.approx(rates[1]["layers"], rel=1e-6)
    written = json.loads((run / "result.json").read_text())
    assert written["accuracy"] == pytest.approx(result["accuracy"], abs=1e-9)


def test_a_killed_process_ends_the_run_which_can_be_gone_on_with(together: tuple[Path, str]) -> None:
    out, message = together
    assert message == "Training process 1 was killed by signal 9. The others were stopped. Advice."
    read_checkpoint(out / "killed" / "checkpoints" / "last.safetensors")
    with pytest.raises(
        SrnnError, match=r"training\.epochs: 2000 there"
    ):  # it is a run, whole and resumable by its own recipe
        train(tiny_recipe("--training.epochs=2"), out / "killed", task=TinyTask(), seed=4, resume=True)

    class Stop(Exception):
        pass

    from srnn.progress import Reporter

    class Stopper(Reporter):
        def epoch(self, record: dict) -> None:
            raise Stop

    before = len((out / "killed" / "metrics.jsonl").read_text().splitlines())
    with pytest.raises(Stop):
        train(
            tiny_recipe("--training.epochs=2000"),
            out / "killed",
            task=TinyTask(),
            seed=4,
            resume=True,
            reporter=Stopper(),
        )
    lines = (out / "killed" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, len(lines) + 1)) and len(lines) >= before


@given(st.integers(1, 200), st.integers(1, 9))
def test_shares_are_the_whole_batch_and_nothing_twice(total: int, size: int) -> None:
    covered: list[int] = []
    lengths = []
    for rank in range(size):
        team = Team.__new__(Team)
        team.rank, team.size = rank, size
        share = team.share(total)
        assert share.part.stop > share.part.start and share.total == total
        if share.counts:
            covered += range(total)[share.part]
            lengths.append(share.part.stop - share.part.start)
    assert covered == list(range(total)) and max(lengths) - min(lengths) <= 1


def test_a_state_is_cut_by_sequences() -> None:
    network = SRNN(3, [4, 5], 2, {"name": "alif", "initial": {"u": "uniform(0, 1)"}}, bidirectional=True)
    whole = network.initial_state(7, torch.Generator().manual_seed(0))
    parts = [each_part(whole, operator.itemgetter(part)) for part in (slice(0, 3), slice(3, 7))]
    for layer, pair in enumerate(zip(*parts, strict=True)):
        assert type(pair[0]) is type(whole[layer])
    x = torch.rand(7, 6, 3)
    joint = torch.cat([network.run(x[:3], parts[0]).output, network.run(x[3:], parts[1]).output])
    torch.testing.assert_close(joint, network.run(x, whole).output)


def test_alone_nothing_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    # A job of several tasks, each of which trains by itself: Fabric would take them for processes of one training.
    for name in ("NTASKS", "JOB_ID", "NODEID", "PROCID", "LOCALID"):
        monkeypatch.setenv(f"SLURM_{name}", "3")
    monkeypatch.setenv("SLURM_JOB_NAME", "sweep")
    assert world_size() == 1
    team = Team("cpu")
    assert team.first and team.share(5) == Share(slice(0, 5), 5)
    assert team.from_first(lambda: 3) == 3
    team.raise_if_broken(RuntimeError("connection closed by peer"), Path("run"))  # none of ours: says nothing
    if not torch.cuda.is_available():
        with pytest.raises(SrnnError, match="does not offer: PyTorch finds none that it can use"):
            Team("cuda")


def test_a_mac_trains_on_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its GPU has no float64, in which the inputs are measured: each training there would end with a traceback."""
    from lightning_fabric.accelerators.mps import MPSAccelerator

    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Team("auto").fabric.device.type == "cpu"


def test_no_coarser_products_are_advised_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fabric does so, of every GPU with tensor cores; whether a neuron spikes hangs on the digits that they lose."""
    from lightning_fabric.accelerators import cuda

    logging.getLogger("lightning_fabric").setLevel(logging.INFO)  # as it sets it at its import
    Team("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    cuda._check_cuda_matmul_precision(torch.device("cuda"))
    assert not caplog.records


def test_what_the_first_is_refused_it_alone_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for it, and would tell of a lost connection after it has ended."""
    told: list[str] = []
    recipe, team = tiny_recipe(), Team("cpu")
    monkeypatch.setattr(team.fabric, "broadcast", lambda text: told.append(text) or told[0])
    (tmp_path / "notes.txt").write_text("none of ours")
    with pytest.raises(SrnnError, match="holds no run to resume"):
        team.open_run(tmp_path, recipe, 0, resume=True)
    team.first = False
    with pytest.raises(SrnnError, match="holds no run to resume"):  # torchrun's
        team.open_run(tmp_path, recipe, 0, resume=True)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "srnn")
    with pytest.raises(SystemExit) as ended:
        team.open_run(tmp_path, recipe, 0, resume=True)
    assert ended.value.code == 0 and told[1:] == ["", ""]


def test_a_lost_connection_is_told_apart_from_other_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    team = Team("cpu")
    team.rank, team.size = 1, 2
    team.raise_if_broken(RuntimeError("The size of tensor a must match"), Path("run"))
    for lost in ("[enforce fail] Gloo", "NCCL error", "Connection reset", "closed by peer"):
        with pytest.raises(SrnnError, match=r"Process 1 of 2 has lost another one.* --out run --resume\."):
            team.raise_if_broken(RuntimeError(lost), Path("run"))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "srnn")  # what started it says so
    with pytest.raises(SystemExit) as ended:
        team.raise_if_broken(RuntimeError("Connection reset"), Path("run"))
    assert ended.value.code == LOST


SEES_A_DEATH = """
file = open({file!r}, "a+")
if rank:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("locked", file=file, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
while not os.path.getsize({file!r}):
    time.sleep(0.01)
fcntl.flock(file, fcntl.LOCK_EX)  # waits for the other's death
sys.exit({lost})
"""


def test_how_a_process_ended_is_said(tmp_path: Path) -> None:
    def end(code: str) -> list[str]:
        return [sys.executable, "-c", f"import fcntl, os, signal, sys, time; rank = int(os.environ['RANK']); {code}"]

    assert launch(end("pass"), 3, 1, "") == 0
    assert launch(end("rank == 0 and sys.exit(2); time.sleep(60)"), 2, 1, "") == 2  # the first has said it itself
    with pytest.raises(SrnnError, match=r"process 1 ended with exit code 2: no data here\."):
        launch(
            end("rank and (print('srnn: no data here.', file=sys.stderr, flush=True), os._exit(2)); time.sleep(60)"),
            2,
            1,
            "",
        )
    with pytest.raises(SrnnError, match="process 0 has lost another one on another machine"):
        launch(end(f"rank == 0 and sys.exit({LOST}); time.sleep(60)"), 2, 1, "")
    with pytest.raises(SrnnError, match="process 1 was killed"):  # not: the first has lost another
        launch(end(SEES_A_DEATH.format(file=str(tmp_path / "lock"), lost=LOST)), 2, 1, "")
    with pytest.raises(SrnnError, match=r"process 0 was killed by signal 9\. The others were stopped\. Go on"):
        launch(end("rank == 0 and os.kill(os.getpid(), signal.SIGKILL); time.sleep(60)"), 2, 1, "Go on.")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [False, True])
def test_a_signal_to_the_launcher_ends_all_unless_it_is_ignored(number: int, ignored: bool, tmp_path: Path) -> None:
    child = f"""
import os, sys, time
open({str(tmp_path)!r} + "/" + os.environ["RANK"], "w").write(str(os.getpid()))
try:
    time.sleep(2 if {ignored} else 60)
except KeyboardInterrupt:
    os.environ["RANK"] == "0" and print("srnn: stopped", file=sys.stderr)
    sys.exit(130)
"""
    parent = f"""
import signal, sys
from srnn.training.distributed import launch
otherwise = signal.default_int_handler if {int(number)} == signal.SIGINT else signal.SIG_DFL
signal.signal({int(number)}, signal.SIG_IGN if {ignored} else otherwise)  # whatever this test runs under ignores
sys.exit(launch([sys.executable, "-c", {child!r}], 2, 1, ""))
"""
    process = subprocess.Popen([sys.executable, "-c", parent], stderr=subprocess.PIPE, text=True)
    files = [tmp_path / "0", tmp_path / "1"]
    while not all(file.is_file() and file.read_text() for file in files):
        assert process.poll() is None
        time.sleep(0.05)
    # torch's agent notes its children once the last has started: a signal before that leaves them running.
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == (0 if ignored else 128 + number)
    assert said == ("srnn: stopped\n" if number == signal.SIGINT and not ignored else "")
    assert time.monotonic() - began < 20
    for file in files:
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)


@pytest.mark.parametrize("variables", [{}, {"MASTER_ADDR": "x"}, {"MASTER_ADDR": "x", "NODE_RANK": "2"},
                                       {"MASTER_ADDR": "x", "NODE_RANK": "-1"}])  # fmt: skip
def test_several_machines_need_an_address(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "NODE_RANK", "SLURM_NODEID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SrnnError, match="NODE_RANK"):
        launch(["false"], 1, 2, "")


def test_where_several_machines_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NODE_RANK", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    monkeypatch.setenv("MASTER_ADDR", "first")
    monkeypatch.setenv("SLURM_NODEID", "1")
    assert distributed._place(2) == (1, "first:29500")
    monkeypatch.setenv("NODE_RANK", "0")
    monkeypatch.setenv("MASTER_PORT", "77")
    assert distributed._place(2) == (0, "first:77")
    assert distributed._place(1)[0] == 0 and distributed._place(1)[1].startswith("127.0.0.1:")


@pytest.mark.parametrize(
    "words", [["--devices", "0"], ["--devices", "1" + 20 * "0"], ["--nodes", "-1"], ["--nodes", "2"]]
)
def test_the_command_refuses(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "digits", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("torchrun", [False, True])
def test_the_command_trains_with_two_processes(torchrun: bool, tmp_path: Path) -> None:
    words = ["-m", "srnn", "train", "digits", "--out", str(tmp_path / "run"), "--json", "--training.epochs=1",
             "--network.hidden=[8,8]", "--network.backend=reference", "--training.device=cpu"]  # fmt: skip
    if torchrun:
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    else:
        command = [*words, "--devices", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["epochs"] == 1
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
