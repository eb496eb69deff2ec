"""ONNX: a trained network for onnxruntime and other readers of the format.

Two forms, both with the state as explicit inputs and outputs; nothing is hidden in the model:

    step       x (batch, inputs),       <layer>.<variable> (batch, size), ...  ->  y (batch, outputs),       <...>.next, ...
    sequence   x (batch, time, inputs), <layer>.<variable> (batch, size), ...  ->  y (batch, time, outputs), <...>.next, ...

With its decision rule, a model also has ``scores`` after ``y``, the largest of which gives the
class: of the step (nll), else of the sequence, (batch, outputs). In the step form they are those of
the sequence so far, and what they are computed from is state, too: decision.total (batch, outputs)
and decision.steps (batch, 1), both zeros before a sequence.

``batch`` and ``time`` are free. A layer's name is the module's ("layers.0", "readout",
"layers.0.forward_layer"), a variable's the neuron's ("u", "e", "s"); with delays there are
"arriving" and "incoming", (batch, steps, presynaptic), as in ``nn/delays.py``. In the sequence form
each layer is one product for the whole input and one ``Scan`` over time. Substeps are inside. A
bidirectional network has a sequence form only.

The equations are the neurons' own ``step`` (see ``onnx_graph.py``), in the network's precision.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from ..._version import __version__
from ...errors import SrnnError, need
from ...files import reading, write_atomically
from ...files.conversion import check
from ...nn.equations import Algebra, equations
from ...nn.loss_config import DecisionRule
from ...nn.network import SRNN, BidirectionalLayer, FrozenLayer, FrozenNetwork, freeze
from .onnx_graph import Array, Graph, Value, arrive, first_step, later_steps, send, state_shapes

if TYPE_CHECKING:
    from onnx import ModelProto

Form = Literal["step", "sequence"]

OPSET = 17
_SHAPES: tuple[list[str | int], ...] = (["batch", "outputs"], [1, 1], ["batch", "outputs"])
"""Of the total, the number of steps and what a step counts, in a decision's loop over time."""
IR_VERSION = 8
"""A version from 2022: readers need not be newer."""


def to_model(
    net: SRNN,
    form: Form = "step",
    *,
    name: str = "srnn",
    decision: DecisionRule | None = None,
    step_ms: float | None = None,
    metadata: Mapping[str, str] | None = None,
) -> ModelProto:
    """The network as an ONNX model, checked.

    Args:
        net: float32 or float64; its weights are copied.
        form: "step" or "sequence", see above.
        name: of the model, for example the recipe's.
        decision: how outputs become a class; the model then has ``scores``, and loss and class
            names in its metadata.
        step_ms: duration of a step, for the metadata, which also holds the initial state's
            distributions ("initial_state", JSON).
        metadata: more texts.

    Raises:
        SrnnError: the extra ``onnx`` is missing (package), or the network has no such form
            (unsupported).
    """
    onnx = need("onnx", "An ONNX model", "onnx")
    check("form", form, Form)
    frozen = freeze(net, "ONNX's step form" if form == "step" else "ONNX")
    graph = Graph(form, np.dtype(frozen.dtype))
    if decision is not None:
        decision.check(frozen.outputs)
    (_step_form if form == "step" else _sequence_form)(frozen, graph, decision)
    model = onnx.helper.make_model(
        graph.proto(),
        producer_name="srnn",
        producer_version=__version__,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        doc_string=f"{name}, {form} form, exported by srnn {__version__}",
    )
    layers = {key: layer.neuron.name for key, layer in frozen.directions.items()}
    initial = {
        f"{k}.{name}": str(how)
        for k, layer in frozen.directions.items()
        for name, how in layer.neuron.initial
    }
    texts = {
        "name": name,
        "form": form,
        "class_names": json.dumps([] if decision is None else decision.classes),
        **({} if decision is None else {"loss": json.dumps(asdict(decision.loss))}),
        "step_ms": json.dumps(step_ms),
        "neurons": json.dumps(layers),
        "initial_state": json.dumps(initial),
        "substeps": json.dumps(frozen.substeps),
    }
    onnx.helper.set_model_props(model, {**texts, **dict(metadata or {})})
    onnx.checker.check_model(model, full_check=True)
    return model


def save(model: ModelProto, path: Path | str) -> None:
    """Write a model atomically.

    Args:
        model: the model.
        path: the file, in a folder that exists.

    Raises:
        SrnnError: the file cannot be written.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise SrnnError(
            f"Cannot write {path}: there is no folder {path.parent}.", "missing", path.parent
        )
    write_atomically(path, model.SerializeToString(), named=True)


def state_arrays(net: SRNN, state: Sequence[Any]) -> dict[str, Array]:
    """A network's state as the model's inputs by name.

    Args:
        net: the network that was exported.
        state: as ``net.run`` and ``net.initial_state`` give it.
    """
    singles: list[Any] = []
    for layer, entry in zip([*net.layers, net.readout], state, strict=True):
        if isinstance(layer, BidirectionalLayer):
            singles += entry
        else:
            singles += [entry]
    return {
        f"{key}.{variable}": np.ascontiguousarray(value.detach().cpu().numpy())
        for (key, layer), values in zip(net.freeze().directions.items(), singles, strict=True)
        for variable, value in zip(
            (*layer.neuron.State._fields, *layer.delays), values, strict=True
        )
        if value.ndim < 3 or value.shape[1]  # with delays of no step nothing is under way
    }


def decision_arrays(model: ModelProto, batch: int) -> dict[str, Array]:
    """The decision's state before a sequence, zeros, as the model's inputs by name.

    Args:
        model: the exported model; one without ``scores`` has no such state.
        batch: sequences that run together.
    """
    from onnx.helper import tensor_dtype_to_np_dtype

    kinds = {
        item.name: item.type.tensor_type
        for item in model.graph.input
        if item.name.startswith("decision.")
    }
    return {
        name: np.zeros(
            (batch, kind.shape.dim[1].dim_value), tensor_dtype_to_np_dtype(kind.elem_type)
        )
        for name, kind in kinds.items()
    }


def start(model: ModelProto) -> Any:
    """An onnxruntime session of one thread. SrnnError without the extra ``onnx``."""
    onnxruntime = need("onnxruntime", "Running an ONNX model", "onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, ["CPUExecutionProvider"]
    )


def advance(session: Any, x: Array, state: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """Run a session once.

    Args:
        session: of an exported model (``start``).
        x: (batch, inputs) in the step form, (batch, time, inputs) in the sequence form.
        state: the model's other inputs by name.

    Returns:
        y, and the state afterwards by the same names.
    """
    y, *after = session.run(["y", *(f"{name}.next" for name in state)], {"x": x, **state})
    return y, dict(zip(state, after, strict=True))


@torch.no_grad()
def greatest_difference(
    model: ModelProto, net: SRNN, x: torch.Tensor, generator: torch.Generator | None = None
) -> float:
    """Maximal absolute difference between an exported model's output and the network's own.

    Args:
        model: the exported model.
        net: the network.
        x: sequences (B, T, inputs).
        generator: draws the initial state; None: torch's own.

    Raises:
        SrnnError: onnxruntime cannot run the model, or is missing (package).
    """
    initial = net.initial_state(len(x), generator)
    expected = net.run(x, initial).output.numpy()
    # onnxruntime has errors of its own, for lack of memory too.
    with reading("The exported model", "one that onnxruntime can run"):
        session = start(model)
        state = {**state_arrays(net, initial), **decision_arrays(model, len(x))}
        if len(session.get_inputs()[0].shape) == 3:
            actual = advance(session, x.numpy(), state)[0]
        else:
            actual = np.empty_like(expected)
            for t in range(x.shape[1]):
                actual[:, t], state = advance(session, np.ascontiguousarray(x[:, t].numpy()), state)
    return float(np.abs(actual - expected).max(initial=0))


# ---- building ---------------------------------------------------------------------------------------------------------------


def _step_form(net: FrozenNetwork, graph: Graph, decision: DecisionRule | None) -> None:
    """Layer by layer, each over all substeps, as the network itself runs them."""
    inputs = graph.input("x", ["batch", net.inputs])
    below, after = [_encode(net, inputs)] * net.substeps, list[list[Value]]()
    before = [_state_inputs(graph, layer.name, layer) for layer in net.layers]
    for layer, state in zip(net.layers, before, strict=True):
        if layer is net.layers[-1] and len(below) > 1:
            below = [graph.one("Sum", *below) / float(len(below))]
        currents, outputs = dict[str, Value](), list[Value]()
        for value in below:
            arrived, state = arrive(graph, layer, value, state)
            if arrived.name not in currents:
                currents[arrived.name] = _project(graph, layer.name, layer, arrived)
            output, state = _advance(graph, layer.name, layer, currents[arrived.name], state)
            outputs.append(output)
        below = outputs
        after.append(state)
    (y,) = below
    graph.output("y", y, ["batch", net.outputs])
    if decision is None:
        totals = {}
    else:
        totals = _running_scores(graph, decision, inputs, y, net.outputs)
    _state_outputs(graph, net, after)
    for name, (value, shape) in totals.items():
        graph.output(f"{name}.next", value, shape)


def _sequence_form(net: FrozenNetwork, graph: Graph, decision: DecisionRule | None) -> None:
    """One product for the whole input and one Scan over time for each layer, or for each direction
    of a layer."""
    inputs = graph.input("x", ["batch", "time", net.inputs])
    x = _encode(net, inputs)
    before = {key: _state_inputs(graph, key, layer) for key, layer in net.directions.items()}
    after: dict[str, list[Value]] = {}
    for layer in net.layers:
        if layer is net.layers[-1] and net.substeps > 1:
            x = graph.one("Reshape", x, np.array([0, -1, net.substeps, layer.inputs]))
            x = graph.one("ReduceMean", x, axes=[2], keepdims=0)
        outputs = []
        for key, one in layer.directions.items():
            backwards, delayed = one is layer.backward, "incoming" in state_shapes(one)
            if delayed:
                current = x
            else:
                current = _project(graph, key, one, x)
            if delayed:
                size = one.inputs
            else:
                size = one.size
            if layer is net.layers[0] and net.substeps > 1:  # every step several times in a row
                held = graph.one("Unsqueeze", current, np.array([2]))
                held = graph.one("Concat", *[held] * net.substeps, axis=2)
                current = graph.one("Reshape", held, np.array([0, -1, size]))
            if backwards and layer.late:
                # So that, read from its end, the first step comes first and the last second.
                first = graph.one("Slice", current, np.array([0]), np.array([1]), np.array([1]))
                current = graph.one("Concat", later_steps(graph, current), first, axis=1)
            output, after[key] = _scan(graph, key, one, current, before[key], backwards)
            outputs.append(output)
        if len(outputs) == 1:
            (x,) = outputs
        elif layer.merge == "mean":
            x = 0.5 * (outputs[0] + outputs[1])
        else:
            x = graph.one("Concat", *outputs, axis=2)
    graph.output("y", x, ["batch", "time", net.outputs])
    if decision is not None:
        if decision.per_step:
            shape = ["batch", "time", net.outputs]
        else:
            shape = ["batch", net.outputs]
        # What the linear part says (batch, time, values) of the sequences.
        said, weights = None, _linear_weights(decision)
        if weights is not None:
            kernel = graph.constant(weights[::-1].transpose(2, 1, 0), "decision.taps")
            over_time = graph.one("Transpose", inputs, perm=[0, 2, 1])
            said = graph.one("Conv", over_time, kernel, pads=[len(weights) - 1, 0])
            said = graph.one("Transpose", said, perm=[0, 2, 1])
        scores = _in_units(graph, decision, _scores(graph, decision, x), said)
        graph.output("scores", scores, shape)
    _state_outputs(graph, net, [after[key] for key in net.directions])


def _scores(graph: Graph, decision: DecisionRule, y: Value) -> Value:
    """``Loss.scores`` of the output y (batch, time, outputs) of whole sequences of one length."""
    rule = decision.loss.rule
    (counted,) = rule.counted_record.run(_OverClasses(), [y])
    if rule.per_step:
        return counted

    last = graph.one("Sub", graph.one("Shape", y, start=1, end=2), np.array([1]))
    start = last
    if rule.keeps:
        start = graph.one("Min", last, np.array([decision.loss.start]))
    if not rule.keeps or rule.adds:
        steps = graph.one("Slice", counted, start, np.array([2**62]), np.array([1]))
        total = graph.one("ReduceSum", steps, np.array([1]), keepdims=0)
    else:
        # Of all that the steps count, (batch, time, outputs), in a loop over time.
        body, names = Graph("decision.body", graph.dtype, graph), ("total", "steps", "counted")
        before, number, now = (
            body.input(f"decision/{name}", shape)
            for name, shape in zip(names, _SHAPES, strict=True)
        )
        after = _total_after(body, decision, before, number, now)
        body.output("decision/total.after", after, _SHAPES[0])
        body.output("decision/steps.after", number + 1.0, _SHAPES[1])
        # The first step ignores what was before it.
        nothing = graph.one("Gather", counted, np.array(0), axis=1)
        total = graph.add(
            "Scan",
            [nothing, np.zeros((1, 1)), counted],
            ["decision/total.final", "decision/steps.final"],
            body=body.proto(),
            num_scan_inputs=1,
            scan_input_axes=[1],
        )[0]
    if not rule.mean:
        return total
    count = graph.one("Add", graph.one("Sub", last, start), np.array([1]))
    return total / graph.one("CastLike", count, total)


def _linear_weights(decision: DecisionRule) -> Array | None:
    """(taps, inputs, values) of the linear part of values; None: there is none."""
    if decision.targets is None or decision.targets.linear is None:
        return None
    return np.array(decision.targets.linear.weights)


def _in_units(
    graph: Graph, decision: DecisionRule, scores: Value, said: Value | None = None
) -> Value:
    """Scores (..., values) in the targets' units, if they are of values. ``said``: their linear
    part."""
    if decision.targets is None:
        return scores
    mean, std = decision.targets.scale
    if said is not None:
        scores = scores * graph.constant(decision.targets.residual_scale, "decision.rest") + said
    scaled = scores * graph.constant(std, "decision.std")
    return scaled + graph.constant(mean, "decision.mean")


def _total_after(
    graph: Graph, decision: DecisionRule, total: Value, steps: Value, y: Value
) -> Value:
    """The total after so many ``steps`` (batch, 1) and one more, which counts y (batch,
    outputs)."""
    (joined,) = decision.loss.rule.joined_record.run(_OverClasses(), [total, y])
    alone = float(decision.loss.start)
    # A step up to ``start`` stands alone.
    return graph.one("Where", graph.one("Greater", steps, alone), joined, y)


def _running_scores(
    graph: Graph, decision: DecisionRule, inputs: Value, x: Value, outputs: int
) -> dict[str, tuple[Value, list[str | int]]]:
    """Output the scores of the sequence so far, after a step of the inputs (batch, inputs) whose
    output is x (batch, outputs).

    Returns the state that they need: by name, its next value and shape. It comes after that of the
    layers, as its inputs do.
    """
    rule, start = decision.loss.rule, float(decision.loss.start)
    (y,) = rule.counted_record.run(_OverClasses(), [x])
    if not rule.keeps:
        # What the linear part says (batch, values) of the step, from it and the newest before it.
        weights = _linear_weights(decision)
        if weights is None:
            graph.output("scores", _in_units(graph, decision, y), ["batch", outputs])
            return {}
        shape: list[str | int] = ["batch", weights.shape[0] * weights.shape[1]]
        past = graph.input("decision.past", shape)  # the newest step first
        kept = graph.one("Slice", past, np.array([0]), np.array([-weights.shape[1]]), np.array([1]))
        seen = graph.one("Concat", inputs, kept, axis=1)
        taps = graph.constant(weights.reshape(-1, weights.shape[2]), "decision.taps")
        said = graph.one("MatMul", seen, taps)
        graph.output("scores", _in_units(graph, decision, y, said), ["batch", outputs])
        return {"decision.past": (seen, shape)}

    total, steps = (
        graph.input("decision.total", ["batch", outputs]),
        graph.input("decision.steps", ["batch", 1]),
    )
    total = _total_after(graph, decision, total, steps, y)
    scores = total
    if rule.mean:
        scores = total / graph.one("Max", steps - start + 1.0, 1.0)
    graph.output("scores", _in_units(graph, decision, scores), ["batch", outputs])
    return {
        "decision.total": (total, ["batch", outputs]),
        "decision.steps": (steps + 1.0, ["batch", 1]),
    }


class _OverClasses(Algebra):
    """What a rule's words over the classes, the last axis, are in ONNX."""

    def apply(self, operation: str, *operands: Any) -> Any:
        if operation == "softmax":
            return operands[0].graph.one("Softmax", operands[0], axis=-1)
        if operation == "total_of":
            return operands[0].graph.one("ReduceSum", operands[0], np.array([-1]), keepdims=1)
        return super().apply(operation, *operands)


def _project(graph: Graph, key: str, layer: FrozenLayer, x: Value) -> Value:
    """The current that the input x (..., inputs) makes: x W_in^T + bias."""
    current = graph.one("MatMul", x, graph.constant(layer.weight_in.T, f"{key}.weight_in"))
    if not layer.has_bias:
        return current
    return current + graph.constant(layer.bias, f"{key}.bias")


def _advance(
    graph: Graph, key: str, layer: FrozenLayer, current: Value, state: list[Value]
) -> tuple[Value, list[Value]]:
    """One step of a layer, as in ``kernels.reference``: (its output, new state)."""
    neuron, count = layer.neuron, len(layer.neuron.State._fields)
    own, pending = (
        state[:count],
        dict(zip([*state_shapes(layer)][count:], state[count:], strict=True)),
    )
    if layer.weight_rec is not None:
        weight = graph.constant(layer.weight_rec.T, f"{key}.weight_rec")
        if "arriving" in pending:
            arrives = first_step(graph, pending["arriving"])
        else:
            arrives = own[-1]
        current = current + graph.one("MatMul", arrives, weight)
    *new, v = equations(type(neuron)).run(Algebra(), [*own, current, *layer.coefficients.values()])
    s = neuron.emit(v)
    if "arriving" in pending:
        delays = layer.delays["arriving"]
        kept = None
        if delays.max():
            kept = later_steps(graph, pending["arriving"])
        pending["arriving"] = send(graph, kept, delays, s)
    return (new[0] if layer.output == "membrane" else s), [*new, s, *pending.values()]


def _scan(
    graph: Graph, key: str, layer: FrozenLayer, current: Value, state: list[Value], backwards: bool
) -> tuple[Value, list[Value]]:
    """A layer over the time axis of current (batch, time, size), or of its input where that is
    delayed: (its output, final state)."""
    body = Graph(f"{key}.body", graph.dtype, graph)
    variables, shape = state_shapes(layer), ["batch", layer.size]
    inside = [body.input(f"{key}.{variable}.before", own) for variable, own in variables.items()]
    if "incoming" in variables:
        x = body.input(f"{key}/x", ["batch", layer.inputs])
        arrived, inside = arrive(body, layer, x, inside)
        now = _project(body, key, layer, arrived)
    else:
        now = body.input(f"{key}/current", shape)
    output, after = _advance(body, key, layer, now, inside)
    for (variable, own), value in zip(variables.items(), after, strict=True):
        body.output(f"{key}.{variable}.after", value, own)
    body.output(f"{key}/output", output, shape)
    names, direction = [f"{key}.{variable}.final" for variable in variables], [int(backwards)]
    *final, outputs = graph.add(
        "Scan",
        [*state, current],
        [*names, f"{key}/outputs"],
        body=body.proto(),
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[1],
        scan_input_directions=direction,
        scan_output_directions=direction,
    )
    return outputs, final


def _encode(net: FrozenNetwork, x: Value) -> Value:
    """The input after the network's trained encoder, if it has one: -1, 0 and 1."""
    if net.threshold is None:
        return x
    return (x > net.threshold) - (x < -net.threshold)


def _state_inputs(graph: Graph, key: str, layer: FrozenLayer) -> list[Value]:
    return [
        graph.input(f"{key}.{variable}", shape) for variable, shape in state_shapes(layer).items()
    ]


def _state_outputs(graph: Graph, net: FrozenNetwork, after: list[list[Value]]) -> None:
    for (key, layer), values in zip(net.directions.items(), after, strict=True):
        for (variable, shape), value in zip(state_shapes(layer).items(), values, strict=True):
            graph.output(f"{key}.{variable}.next", value, shape)
