"""The choice of the GPU backend, and what of it needs no Triton. Its loops:
``gpu_against_reference.py``."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from benchmarks.gpu import parts
from torch._subclasses.fake_tensor import FakeTensorMode

from srnn import SrnnError
from srnn.compiling import CannotCompile
from srnn.data.spikes import Spikes, packed, unpacked
from srnn.nn.kernels import gpu, running
from srnn.nn.kernels.gpu import plans
from srnn.nn.kernels.problem import LayerProblem, LayerResult
from srnn.nn.kernels.running import choose, run_layer
from support.kernels import make
from support.refusing import refuses

ROOT = Path(__file__).parents[2]


def on_a_gpu() -> LayerProblem:
    """A layer whose tensors have the shape, the dtype and the device of ones on a GPU, and no
    values."""

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")

    p = make(batch=2, steps=3, size=4, bias=False)
    return replace(
        p, x=moved(p.x), weight_in=moved(p.weight_in), weight_rec=moved(p.weight_rec),  # type: ignore[arg-type]
        coefficients=tuple(map(moved, p.coefficients)), state=tuple(map(moved, p.state)),
    )  # fmt: skip


def test_auto_takes_the_gpu_for_what_is_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeTensorMode():
        monkeypatch.setattr(
            gpu, "no_triton", lambda: "Triton is not installed (pip install 'srnn[gpu]')"
        )
        assert choose(on_a_gpu()) == (
            "reference",
            "Triton is not installed (pip install 'srnn[gpu]')",
        )
        with refuses("backend", "unsupported"):
            choose(on_a_gpu(), "gpu")
        with refuses("backend", "unsupported"):
            choose(on_a_gpu(), "cpu")
        monkeypatch.setattr(gpu, "why_not", lambda problem: "")
        assert choose(on_a_gpu()) == ("gpu", "the fastest that can run it")
        assert choose(on_a_gpu(), "gpu") == ("gpu", "as asked for")
    assert choose(make(batch=1, steps=1, size=1))[0] == "cpu"


def test_what_is_on_the_cpu_is_not_for_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with refuses("backend", "unsupported"):
        run_layer(make(batch=1, steps=1, size=1), "gpu")


def test_what_is_on_two_gpus_is_not_for_a_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would read memory of another one."""
    monkeypatch.setattr(gpu, "no_triton", lambda: "")
    with FakeTensorMode():
        p = on_a_gpu()
        elsewhere = tuple(
            torch.empty(part.shape, dtype=part.dtype, device="cuda:1") for part in p.state
        )
        with pytest.raises(SrnnError, match="on cuda:1, its weights on cuda:0"):
            choose(replace(p, state=elsewhere), "gpu")


def test_a_gpu_that_does_not_tell_its_shared_memory_has_the_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PyTorch for ROCm does not: "auto" ended there in an AttributeError."""
    monkeypatch.setattr(gpu, "no_triton", lambda: "")
    told = SimpleNamespace(major=9, minor=4)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: (told.major, told.minor)
    )
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: told)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with FakeTensorMode():
        assert choose(on_a_gpu()) == ("gpu", "the fastest that can run it")
    assert plans.shared_memory(torch.device("cuda")) == 64 << 10


def test_auto_falls_back_with_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(problem: LayerProblem) -> LayerResult:
        raise CannotCompile("Triton cannot compile the neuron 'alif' with 'linear' (no C compiler)")

    monkeypatch.setattr(gpu, "why_not", lambda problem: "")
    monkeypatch.setattr(running, "BACKENDS", {**running.BACKENDS, "gpu": broken})
    monkeypatch.setattr(
        running.reference, "run_layer", lambda problem: LayerResult(problem.x, ())
    )  # it has no values
    running.warn_slow.cache_clear()
    with FakeTensorMode():
        with pytest.warns(
            RuntimeWarning, match="slow reference backend: Triton cannot compile.*no C compiler"
        ):
            assert run_layer(on_a_gpu()).output.is_cuda
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run_layer(on_a_gpu())
        with pytest.raises(CannotCompile):
            run_layer(on_a_gpu(), "gpu")


def test_an_old_triton_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "find_spec", lambda name: name)
    for version, reason in (("3.2.0", "Triton 3.2.0 is too old (3.5.1 or newer is "
                                      "needed)"), ("3.5.1", ""),
                            ("3.5.0+git3c47", "Triton 3.5.0+git3c47 is too old (3.5.1 or newer is "
                                              "needed)"),
                            ("3.10.0+git1a2b", "")):  # fmt: skip
        gpu.no_triton.cache_clear()
        monkeypatch.setitem(sys.modules, "triton", SimpleNamespace(__version__=version))
        assert gpu.no_triton() == reason
    gpu.no_triton.cache_clear()


def test_a_triton_that_cannot_be_imported_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of that name is a package without a version; its libraries may be of another
    machine."""
    monkeypatch.setattr(gpu, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "triton", SimpleNamespace())
    gpu.no_triton.cache_clear()
    try:
        assert "Triton cannot be imported" in gpu.no_triton()
        assert gpu.info()["triton"].startswith("Triton cannot be imported")
    finally:
        gpu.no_triton.cache_clear()


def test_gpus_whose_driver_is_too_old_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_old(place: int) -> str:
        raise RuntimeError("The NVIDIA driver on your system is too old")

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", too_old)
    assert gpu.info()["gpus"] == "none"


def test_torchs_newer_settings_leave_products_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside ``torch.backends.cuda.matmul.fp32_precision`` torch refuses to say what the older
    setting is."""

    def refuse() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    assert plans.Products.of(torch.float32) == plans.Products(torch.bfloat16, 3, 2)


@pytest.mark.parametrize(
    ("size", "kilobytes", "columns"),
    [(1, 227, 16), (36, 227, 64), (64, 99, 64), (128, 227, 128), (128, 99, 64), (256, 227, 64), (400, 227, 64), (400, 163, 32),
     (1000, 227, 32), (1000, 99, None)],
)  # fmt: skip
def test_blocks_of_neurons_fit_shared_memory(
    size: int, kilobytes: int, columns: int | None
) -> None:
    plan = plans.choose_plan(size, True, plans.Products(torch.bfloat16, 3, 2), kilobytes << 10)
    assert (plan and plan.columns) == columns


@pytest.mark.parametrize("size", [1, 6, 16, 17, 64, 65])
def test_at_least_as_many_spikes_are_multiplied_at_once_as_triton_lays_out(size: int) -> None:
    """Bytes four side by side in each of four threads, twice; of fewer numbers its products may be
    wrong (Triton's #11691)."""
    plan = plans.choose_plan(size, True, plans.Products(torch.bfloat16, 3, 2), 227 << 10)
    assert plan is not None and plan.depth >= 4 * 4 * 2


@pytest.mark.parametrize(
    ("registers", "shared", "warps", "programs"),
    [
        (128, 172 << 10, 4, 132),
        (104, 102 << 10, 8, 264),
        (255, 1 << 10, 8, 132),
        (32, 0, 1, 132 * 64),
    ],
)  # by shared memory, by shared memory, by registers (256 of 256 threads), by threads
def test_programs_that_wait_for_each_other_must_all_run_at_once(
    registers: int, shared: int, warps: int, programs: int
) -> None:
    h100 = SimpleNamespace(multi_processor_count=132, regs_per_multiprocessor=1 << 16,
                           shared_memory_per_multiprocessor=228 << 10, max_threads_per_multi_processor=2048)  # fmt: skip
    assert plans.at_once(registers, shared, warps, h100) == programs
    plans.require_room(programs, programs)
    with refuses("", "resource"):
        plans.require_room(programs + 1, programs)


def test_programs_wait_for_each_other_only_where_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert not plans.persistent()
    monkeypatch.setenv("SRNN_GPU_PERSISTENT", "1")
    assert plans.persistent()
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert not plans.persistent()


@pytest.mark.parametrize("size", [1, 63, 64, 130])
def test_bits_are_packed_on_their_own_device_as_by_numpy(size: int) -> None:
    x = torch.rand(3, 5, size, generator=torch.Generator().manual_seed(0)) < 0.4
    for part in (x, x[:0], x[:, :0]):
        words = Spikes.from_dense(part.float()).words
        assert torch.equal(packed(part), words)
        assert torch.equal(unpacked(words, size).bool(), part)


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A module in a process of its own, from the root of the checkout."""
    given = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),
        **environment,
    }
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)


def test_without_a_gpu_its_benchmark_says_so_in_one_line() -> None:
    done = start("benchmarks.gpu", TRITON_INTERPRET="0")
    if done.returncode == 2:  # else there is one
        assert done.stdout == "" and done.stderr.count("\n") == 1
        assert "No GPU" in done.stderr or "Triton is not installed" in done.stderr


def part(tmp_path: Path, name: str, text: str, seconds: float = 60) -> dict[str, Any]:
    """Outcome of a part of the benchmark on a GPU whose process runs this text; ``keep`` keeps
    something of it."""
    begin = (
        "from pathlib import Path\nfrom benchmarks.gpu.parts import keep\nout = "
        f"Path({str(tmp_path)!r})\n"
    )
    return parts.run(tmp_path, name, [sys.executable, "-c", begin + text], seconds, cwd=ROOT)


def test_a_part_of_its_benchmark_that_hangs_or_crashes_costs_itself_alone(tmp_path: Path) -> None:
    found = [
        part(tmp_path, "a", "keep(out, 'a', {'ok': True, 'first': 1})"),
        part(
            tmp_path,
            "b",
            "import os\nkeep(out, 'b', {'first': 2})\nprint('CUDA error', flush=True)\nos.abort()",
        ),
        part(tmp_path, "c", "import subprocess\nsubprocess.run(['sleep', '60'])", seconds=0.5),
        part(
            tmp_path, "d", "keep(out, 'd', {'ok': False, 'said': 'nothing'})\nraise SystemExit(1)"
        ),
    ]
    assert [outcome["ok"] for outcome in found] == [True, False, False, False]
    assert (
        found[1]["first"] == 2
        and "exit code -6" in found[1]["why"]
        and "CUDA error" in found[1]["said"]
    )
    assert found[2]["why"] == "did not end in 0.5 seconds"
    assert found[3]["said"] == "nothing" and "why" not in found[3]
    assert list(parts.read(tmp_path).values()) == found
    again = part(
        tmp_path, "a", "import a_module_that_is_not_there"
    )  # ends with 1, as a part does that is not as it should be
    assert (
        again["ok"] is False
        and "first" not in again
        and "a_module_that_is_not_there" in again["said"]
    )


needs_triton = pytest.mark.skipif(
    find_spec("triton") is None, reason="Triton is not installed (pip install 'srnn[gpu]')"
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@needs_triton
@pytest.mark.parametrize("what", ["compile", "precision", "run"])
def test_its_benchmarks_run(what: str, tmp_path: Path) -> None:
    """Every neuron compiled for sm_90 within the ceilings; the table of precision; what is done on
    a GPU, rehearsed."""
    interpret = "0" if what == "compile" else "1"
    done = start(
        "benchmarks.gpu", what, "--quick", "--out", str(tmp_path), TRITON_INTERPRET=interpret
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


FLOAT64 = """
import torch
from benchmarks.gpu.compiled import TARGETS, example, launches
for launch in launches(example(size=20, dtype=torch.float64), TARGETS["sm_90"]):
    print(launch.compile("sm_90").asm["ttgir"].count("kWidth = 1}"), launch.name)
"""


@pytest.mark.slow
@needs_triton
def test_float64_numbers_are_multiplied_one_by_one() -> None:
    """Four at once, as bytes come, no Triton before 3.9 compiles: the tests of this backend would
    not run on a GPU."""
    given = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path),
        "TRITON_INTERPRET": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", FLOAT64],
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.split()[0] != "0" for line in done.stdout.splitlines()] == [True, True]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@needs_triton
def test_by_tritons_interpreter() -> None:
    """All of ``gpu_against_reference.py`` and its mutations, where Triton interprets the loops on
    the CPU."""
    tests = ("tests/nn/gpu_against_reference.py", "tests/nn/gpu_mutations.py")
    done = start(
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *tests,
        "-m",
        "slow or not slow",
        TRITON_INTERPRET="1",
    )
    assert done.returncode == 0, done.stdout[-3000:]
