"""Compiled loops on disk belong to what a neuron and a surrogate compute, wherever their authors
keep its parts."""

from __future__ import annotations

import importlib
import marshal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("numba")
from srnn import compiling
from srnn.nn.kernels.cpu import coincidences, stream
from srnn.nn.kernels.cpu.compiler import backward_loop, compile_loop, forward_loop
from srnn.nn.kernels.cpu.rows import SOURCE_DIGEST
from srnn.nn.network import SRNN
from srnn.nn.neurons import ALIF, Integrator
from srnn.nn.neurons.base import DEFINED
from srnn.nn.surrogates import DEFINED as SURROGATES_DEFINED
from srnn.nn.surrogates import MultiGaussian

NUMBERS = "LEAK, WIDTH = 0.5, 1.0\n\ndef leaked(u):\n    return LEAK * u\n"
NEURON = """
from dataclasses import dataclass
from typing import Any, ClassVar

import their_numbers
from srnn.nn.neurons import LIF
from srnn.nn.surrogates import Surrogate

OFFSET = 0.0

def step(u, s, current, leak, gain, threshold, reset):
    u = their_numbers.leaked(u * (1.0 - s)) + current + OFFSET
    return u, u - threshold

@dataclass(frozen=True)
class Theirs(LIF):
    name: ClassVar[str] = "theirs"
    step = step

@dataclass(frozen=True)
class Box(Surrogate):
    name: ClassVar[str] = "box_of_theirs"
    derivative: ClassVar[Any] = staticmethod(lambda v: 1.0 * (abs(v) <= their_numbers.WIDTH) * (1.0 + 0.0 * v))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Modules of somebody's, as a new process reads them after each edit: (before, after) pairs of
    text."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def edited(*edits: tuple[str, str]) -> ModuleType:
        for name, text in (("their_numbers", NUMBERS), ("their_neuron", NEURON)):
            for before, after in edits:
                text = text.replace(before, after)
            (tmp_path / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("their_neuron")

    yield edited
    for name in ("their_numbers", "their_neuron"):
        sys.modules.pop(name, None)
    DEFINED.pop("theirs", None)
    SURROGATES_DEFINED.pop("box_of_theirs", None)


def names(module: ModuleType) -> dict[str, str]:
    """By loop, the name of what is kept of it."""
    codegen, neuron = SimpleNamespace(magic_tuple=tuple), module.Theirs
    loops: dict[str, Any] = {
        "forward": forward_loop(neuron),
        "backward": backward_loop(neuron, MultiGaussian),
        "backward with their surrogate": backward_loop(neuron, module.Box),
        "advance": compile_loop(stream.make_advance((neuron, Integrator), False)),
    }
    return {name: loop._cache.name("(float32,)", codegen) for name, loop in loops.items()}


def test_a_loop_is_found_again_and_another_after_any_edit_that_counts(
    module: Callable[..., ModuleType],
) -> None:
    once = names(module())
    assert (
        names(module())
        == once
        == names(module(("import dataclass", "import dataclass  # unlike before")))
    )
    for edit in [
        ("LEAK, WIDTH = 0.5", "LEAK, WIDTH = 0.9"),
        ("LEAK * u", "u * LEAK"),
        ("OFFSET = 0.0", "OFFSET = 0.25"),
    ]:
        assert not set(names(module(edit)).values()) & set(once.values())
    wider = names(module(("WIDTH = 0.5, 1.0", "WIDTH = 0.5, 2.0")))
    assert [name for name in once if wider[name] != once[name]] == ["backward with their surrogate"]


def test_counts_of_spikes_belong_to_the_sources_that_they_are_compiled_of() -> None:
    """Their loop calls functions of ``rows.py``, of which the digest of its own file tells
    nothing."""
    assert coincidences.compile_loop(coincidences._count)._cache._depends_on[0] == SOURCE_DIGEST


@pytest.mark.slow
def test_after_an_edit_the_compiled_loop_computes_what_the_author_says_now(
    module: Callable[..., ModuleType],
) -> None:
    x, sums = torch.rand(2, 20, 3, generator=torch.Generator().manual_seed(0)), set()
    for leak in ("0.5", "0.9"):
        neuron = module(("0.5", leak)).Theirs(threshold=1.0)
        outputs = []
        for backend in ("reference", "cpu"):
            torch.manual_seed(0)
            network = SRNN(3, [4], 2, neuron=neuron, backend=backend, norm="none")
            with torch.no_grad():
                outputs.append(network(x)[0])
        assert torch.allclose(*outputs, atol=1e-6)
        sums.add(float(outputs[1].sum()))
    assert len(sums) == 2


def test_a_module_that_is_read_from_its_pyc_has_the_loops_of_one_that_was_compiled() -> None:
    """Else the second process would find nothing of what the first has kept. Pickles of what a
    loop's closure holds do differ."""
    from numba.core.serialize import dumps

    codegen, pickles, kept = SimpleNamespace(magic_tuple=tuple), set(), set()
    fresh = compile(Path(stream.__file__).read_text(), stream.__file__, "exec")
    for code in (fresh, marshal.loads(marshal.dumps(fresh))):
        made = {name: getattr(stream, name) for name in ("__name__", "__package__", "__file__")}
        exec(code, made)
        loop = made["make_advance"]([ALIF, Integrator], False)
        pickles.add(dumps(tuple(cell.cell_contents for cell in loop.__closure__)))
        kept.add(compiling._DiskCache(loop, "").name("(float32,)", codegen))
    assert len(pickles) == 2 and len(kept) == 1
