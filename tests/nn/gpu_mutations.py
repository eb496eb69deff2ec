"""Changes of the GPU backend's loops that its comparison with the reference must notice, by
Triton's interpreter.

In a process of its own, as ``gpu_against_reference.py`` is. Not for a GPU: it would compile every
changed text, some of which read beyond their arrays.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from srnn.nn.kernels.gpu import layer, loops, plans
from srnn.nn.kernels.problem import LayerProblem
from support.gpu import blocks_of, check, show_unwritten
from support.kernels import cast, make

pytestmark = pytest.mark.skipif(
    not plans.interpreted(), reason="for Triton's interpreter (TRITON_INTERPRET=1)"
)


@pytest.fixture(autouse=True)
def unwritten_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    show_unwritten(monkeypatch)


MUTATIONS = {
    "forward: step 0 reads the spikes of a step before it": ("before, t > 0, "
                                                             "row", "before, t >= 0, row"),
    "products: every tile reads the spikes of the first neurons": ("source + at + k + "
                                                                   "others", "source + at + "
                                                                             "others"),
    "forward: a neuron spikes at another threshold": ("s = EMIT(v)[0]", "s = EMIT(v - 0.3)[0]"),
    "forward: the state still changes after a sequence's end": ("after = where_each(valid, after, "
                                                                "state_now)", "pass"),
    "forward: there are spikes after a sequence's end": ("shown = tl.where(valid, s, 0.0)", "pass"),
    "forward: the current is not saved for the backward pass": ("if KEEP:", "if False:"),
    "forward: delays are one step short": ("emitted + at + around - delay * SIZE", "emitted + at + "
                                                                                   "around - (delay - 1) * SIZE"),
    "forward: spikes without a delay are lost": ("tl.where(delay > 0, earlier, shown)", "earlier"),
    "forward: the last neuron's weights are skipped": ("(rows < SIZE) & (own < "
                                                       "SIZE))", "(rows < SIZE) & (own < SIZE - "
                                                                 "1))"),
    "backward: the last step reads gradients of a step after it": (
        "after,\n                t + 1 < steps,", "after,\n                t < steps,"
    ),
    "backward: states are those after the step": ("(states, at - SIZE + around, "
                                                  "inside)", "(states, at + around, inside)"),
    "backward: delays are one step short": ("around + delay * SIZE", "around + (delay - 1) * SIZE"),
    "backward: delays pass the last step": ("there = inside & (delay > 0) & (t + delay < "
                                            "steps)", "there = inside & (delay > 0)"),
    "backward: the state receives gradients after a sequence's end": ("where_each(valid, g[: n + "
                                                                      "1], g_after)", "g[: n + 1]"),
    "backward: the current receives gradients after a sequence's end": ("tl.where(valid, g[n + 1], "
                                                                        "0.0)", "g[n + 1]"),
    "backward: coefficients receive gradients after a sequence's end": ("tl.where(valid, g[n + 2 + "
                                                                        "i], 0.0)", "g[n + 2 + i]"),
    "backward: a launch drops earlier launches' sums": ("tl.load(g_coefficients[i] + block, "
                                                        "mask=here, other=0.0) +", ""),
    "backward: the last neuron's sums are not stored": ("total, mask=here)", "total, mask=here & "
                                                                             "(block % SIZE < SIZE "
                                                                             "- 1))"),
    "backward: the slope of what is emitted is left out": ("g_v = SLOPE(g_s, v, "
                                                           "PSI(v)[0])[0]", "g_v = g_s"),
    "backward: the gradient of the recorded membrane is lost": ("if g_membrane is not "
                                                                "None:", "if False:"),
    "float32: products of the smaller pieces are left out": ("if i + j < max(PIECES, "
                                                             "len(tiles)):", "if i + j < 1:"),
    "float32: a piece is multiplied twice": ("values = values - piece.to(values.dtype)", "pass"),
}  # fmt: skip
"""What is changed in the text of the loops, and must be noticed. Not noticed by an interpreter,
which runs one program after the other, are changes of barriers: those are for a GPU."""


def mutation_problems() -> list[LayerProblem]:
    shape = {"batch": 17, "steps": 4, "size": 20}
    return [
        make(padded=True, longest=2, **shape),
        make(output="membrane", **shape), make(neuron="relu", padded=True, **shape),
        cast(make(batch=4, steps=12, size=24), torch.float32),
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("mutation", [None, *MUTATIONS])
def test_mutations_of_the_loops_are_noticed(
    mutation: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = Path(loops.__file__).read_text()
    if mutation is not None:
        before, after = MUTATIONS[mutation]
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = tmp_path / "loops.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("mutated_loops", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(layer, "loops", module)
    blocks_of(monkeypatch, 16)
    noticed = ""
    for problem in mutation_problems():
        try:
            check(problem, tolerance=1e-9 if problem.weight_in.dtype == torch.float64 else 2e-5)
        except (AssertionError, RuntimeWarning) as error:
            noticed = str(error).splitlines()[0]
            break
    assert bool(noticed) == (mutation is not None), noticed
