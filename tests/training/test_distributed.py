"""Two processes train to the weights of one; a killed one is started again, and the weights are the
same bits."""

from __future__ import annotations

import itertools
import json
import logging
import operator
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srnn import SRNN, SrnnError
from srnn.cli.main import main
from srnn.model.checkpoints import read_checkpoint
from srnn.nn.network.inputs import each_part
from srnn.training.distributed import BatchShard, ProcessGroup, world_size
from srnn.training.loop import train
from support.distributed import cases
from support.refusing import refuses
from support.tiny import tiny_recipe

HERE = str(Path(__file__).parents[1])

SCRIPT = """
import os, signal, sys, threading, time
from pathlib import Path
sys.path.insert(0, {here!r})
from support.distributed import cases
from support.tiny import TinyTask, tiny_recipe
from srnn.training.loop import train

out, attempt = Path({out!r}), int(os.environ["TORCHELASTIC_RESTART_COUNT"])
for name, (recipe, task) in cases().items():
    train(recipe, out / name, task=task, seed=4, resume=True)

def die():
    metrics = out / "killed" / "metrics.jsonl"
    while not metrics.is_file() or metrics.read_bytes().count(b"\\n") < 2 + 4 * attempt:
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGKILL)

recipe = tiny_recipe("--training.epochs=16", "--training.checkpoint_every=2")
train(recipe, out / "undisturbed", task=TinyTask(), seed=4, resume=True)
if [1, 0, None][attempt] == int(os.environ["RANK"]):
    threading.Thread(target=die, daemon=True).start()
train(recipe, out / "killed", task=TinyTask(), seed=4, resume=True)
"""
"""First its second process is killed, then its first, after which nobody is."""


def torchrun(*words: str) -> subprocess.CompletedProcess[str]:
    """Two processes here; see docs/distributed.md for what the variable is needed."""
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        *words,
    ]
    variables = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Runs of two processes, of which one was killed twice in the last run; and what was said."""
    out = tmp_path_factory.mktemp("together")
    script = out / "script.py"
    script.write_text(SCRIPT.format(here=HERE, out=str(out)))
    done = torchrun("--max-restarts", "2", str(script))
    assert done.returncode == 0, done.stderr
    return out, done.stderr


@pytest.mark.robust
@pytest.mark.parametrize("name", list(cases()))
def test_two_processes_give_the_weights_of_one(
    name: str, together: tuple[Path, str], tmp_path: Path
) -> None:
    recipe, task = cases()[name]
    result = train(recipe, tmp_path / "alone", task=task, seed=4)
    run = together[0] / name
    alone, joint = (
        read_checkpoint(f / "checkpoints" / "last.safetensors").tensors
        for f in (tmp_path / "alone", run)
    )
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


@pytest.mark.robust
def test_a_killed_process_is_started_again_and_the_bits_are_those_of_an_undisturbed_run(
    together: tuple[Path, str],
) -> None:
    out, said = together
    assert said.count("exitcode: -9") == 2
    runs = out / "killed", out / "undisturbed"
    for file in ("checkpoints/last.safetensors", "model.safetensors"):
        killed, undisturbed = (read_checkpoint(run / file).tensors for run in runs)
        assert killed.keys() == undisturbed.keys()
        assert all(torch.equal(killed[key], undisturbed[key]) for key in killed)
    records = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in runs
    ]
    for record in itertools.chain(*records):
        del record["seconds"], record["samples_per_s"]
    assert records[0] == records[1] and len(records[0]) == 16


@given(st.integers(1, 200), st.integers(1, 9))
def test_shares_are_the_whole_batch_and_nothing_twice(total: int, size: int) -> None:
    covered: list[int] = []
    lengths = []
    for rank in range(size):
        processes = ProcessGroup.__new__(ProcessGroup)
        processes.rank, processes.size = rank, size
        share = processes.shard(total)
        assert share.part.stop > share.part.start and share.total == total
        if share.counts:
            covered += range(total)[share.part]
            lengths.append(share.part.stop - share.part.start)
    assert covered == list(range(total)) and max(lengths) - min(lengths) <= 1


def test_a_state_is_cut_by_sequences() -> None:
    network = SRNN(
        3,
        [4, 5],
        2,
        {"name": "alif", "initial": {"u": "uniform(0, 1)"}},
        bidirectional=True,
        norm="none",
    )
    whole = network.initial_state(7, torch.Generator().manual_seed(0))
    parts = [each_part(whole, operator.itemgetter(part)) for part in (slice(0, 3), slice(3, 7))]
    for layer, pair in enumerate(zip(*parts, strict=True)):
        assert type(pair[0]) is type(whole[layer])
    x = torch.rand(7, 6, 3)
    joint = torch.cat([network.run(x[:3], parts[0]).output, network.run(x[3:], parts[1]).output])
    torch.testing.assert_close(joint, network.run(x, whole).output)


def test_alone_nothing_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    # A job of several tasks, each of which trains by itself: Fabric would take them for processes
    # of one training.
    for name in ("NTASKS", "JOB_ID", "NODEID", "PROCID", "LOCALID"):
        monkeypatch.setenv(f"SLURM_{name}", "3")
    monkeypatch.setenv("SLURM_JOB_NAME", "sweep")
    assert world_size() == 1
    processes = ProcessGroup("cpu")
    assert processes.first and processes.shard(5) == BatchShard(slice(0, 5), 5)
    assert processes.from_first(lambda: 3) == 3
    processes.raise_if_broken(
        RuntimeError("connection closed by peer"), Path("run")
    )  # none of ours: says nothing
    if not torch.cuda.is_available():
        with pytest.raises(SrnnError, match="does not offer: PyTorch finds none that it can use"):
            ProcessGroup("cuda")


def test_a_mac_trains_on_its_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its GPU has no float64, in which the inputs are measured: each training there would end with
    a traceback."""
    from lightning_fabric.accelerators.mps import MPSAccelerator

    monkeypatch.setattr(MPSAccelerator, "is_available", staticmethod(lambda: True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert ProcessGroup("auto").fabric.device.type == "cpu"


def test_no_coarser_products_are_advised_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Fabric does so, of every GPU with tensor cores; whether a neuron spikes hangs on the digits
    that they lose."""
    from lightning_fabric.accelerators import cuda
    from lightning_utilities.core import rank_zero

    logging.getLogger("lightning_fabric").setLevel(logging.INFO)  # as it sets it at its import
    # Lightning, which another test may have imported, puts its own logger in this one's place.
    logger = logging.getLogger("lightning_fabric.utilities.rank_zero")
    monkeypatch.setattr(rank_zero, "log", logger)
    ProcessGroup("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    cuda._check_cuda_matmul_precision(torch.device("cuda"))
    assert not caplog.records


def test_what_the_first_is_refused_it_alone_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others wait for it, and would report a lost connection after it has ended."""
    sent: list[bool] = []
    recipe, processes = tiny_recipe(), ProcessGroup("cpu")
    monkeypatch.setattr(processes.fabric, "broadcast", lambda one: sent.append(one) or sent[0])
    (tmp_path / "notes.txt").write_text("none of ours")
    with refuses(tmp_path, "missing"):
        processes.open_run(tmp_path, recipe, 0, resume=True)
    processes.first = False
    with pytest.raises(SystemExit) as ended:
        processes.open_run(tmp_path, recipe, 0, resume=True)
    assert ended.value.code == 2 and sent == [True, False]


def test_a_lost_connection_is_told_apart_from_other_errors() -> None:
    processes = ProcessGroup("cpu")
    processes.rank, processes.size = 1, 2
    processes.raise_if_broken(RuntimeError("The size of tensor a must match"), Path("run"))
    for lost in ("[enforce fail] Gloo", "NCCL error", "Connection reset", "closed by peer"):
        with pytest.raises(
            SrnnError,
            match=r"Process 1 of 2 has lost another one.* out='run', resume=True continues",
        ):
            processes.raise_if_broken(RuntimeError(lost), Path("run"))


def test_the_command_needs_a_folder_that_all_processes_can_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "torchrun's")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "digits"]) == 2
    assert (
        capsys.readouterr().err
        == "srnn: Processes that train together need one folder that all of them can access: --out "
        "DIR.\n"
    )


@pytest.mark.slow
def test_the_command_trains_with_two_processes_and_tells_a_mistake_once(tmp_path: Path) -> None:
    words = ["-m", "srnn", "train", "digits", "--out", str(tmp_path / "run"), "--json", "--training.epochs=1",
             "--network.hidden=[8,8]", "--network.backend=reference", "--training.device=cpu"]  # fmt: skip
    done = torchrun(*words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 1
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 1
    refused = torchrun(*words, "--resume", "--seed", "2")
    said = [line for line in refused.stderr.splitlines() if line.startswith("srnn: ")]
    assert said == [
        f"srnn: {tmp_path / 'run'} was started with seed 0, not 2; resume it with --seed 0."
    ]
