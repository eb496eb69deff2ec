"""An LSTM of a spiking network's size, as one would write it for a device, and as ONNX: what
``device.py`` times beside it.

Its weights are random: the time of a dense network does not depend on what they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray


def weights(inputs: int, hidden: list[int], outputs: int) -> list[tuple[Array, Array, Array]]:
    """(from below (4H, I), recurrent (4H, H), bias (4H,)) of each layer; the readout last, its
    recurrent weights empty."""
    rng = np.random.default_rng(0)
    found, below = [], inputs
    for size in hidden:
        scale = size**-0.5
        shapes = (4 * size, below), (4 * size, size), (4 * size,)
        found.append(
            tuple(rng.uniform(-scale, scale, shape).astype(np.float32) for shape in shapes)
        )
        below = size
    scale = below**-0.5
    dense = rng.uniform(-scale, scale, (outputs, below)).astype(np.float32)
    found.append((dense, np.zeros((outputs, 0), np.float32), np.zeros(outputs, np.float32)))
    return found


def c_source(inputs: int, hidden: list[int], outputs: int) -> dict[str, str]:
    """lstm.h and lstm.c, with the interface of an exported network."""
    layers = weights(inputs, hidden, outputs)
    state = "\n".join(f"    float h{i}[{size}], c{i}[{size}];" for i, size in enumerate(hidden))
    header = f"""\
typedef float lstm_input;
typedef float lstm_score;
typedef struct {{
{state}
}} lstm_state;
void lstm_init(lstm_state *state);
void lstm_step(lstm_state *state, const lstm_input *input, lstm_score *scores);
"""
    arrays, functions, calls, below = [], [], [], "input"
    for i, (size, (own_in, own_rec, bias)) in enumerate(zip(hidden, layers, strict=False)):
        senders = own_in.shape[1]
        arrays += [
            _array(f"in{i}", own_in.T),
            _array(f"rec{i}", own_rec.T),
            _array(f"bias{i}", bias),
        ]
        functions.append(f"""\
static void layer{i}(lstm_state *state, const float *input)
{{
    float gates[{4 * size}];
    int i, j;

    for (i = 0; i < {4 * size}; i++)
        gates[i] = bias{i}[i];
    for (j = 0; j < {senders}; j++)
        for (i = 0; i < {4 * size}; i++)
            gates[i] += in{i}[j * {4 * size} + i] * input[j];
    for (j = 0; j < {size}; j++)
        for (i = 0; i < {4 * size}; i++)
            gates[i] += rec{i}[j * {4 * size} + i] * state->h{i}[j];
    for (i = 0; i < {size}; i++) {{
        float c = sigmoid(gates[{size} + i]) * state->c{i}[i] + sigmoid(gates[i]) * tanhf(gates[{2 * size} + i]);
        state->c{i}[i] = c;
        state->h{i}[i] = sigmoid(gates[{3 * size} + i]) * tanhf(c);
    }}
}}
""")
        calls.append(f"    layer{i}(state, {below});")
        below = f"state->h{i}"
    dense, _, bias = layers[-1]
    arrays += [_array("out", dense.T), _array("out_bias", bias)]
    source = f"""\
#include "lstm.h"

#include <math.h>
#include <string.h>

{"".join(arrays)}
static float sigmoid(float x)
{{
    return 1.0f / (1.0f + expf(-x));
}}

{"".join(functions)}
void lstm_init(lstm_state *state)
{{
    memset(state, 0, sizeof *state);
}}

void lstm_step(lstm_state *state, const lstm_input *input, lstm_score *scores)
{{
    int i, j;

{chr(10).join(calls)}
    for (i = 0; i < {outputs}; i++)
        scores[i] = out_bias[i];
    for (j = 0; j < {dense.shape[1]}; j++)
        for (i = 0; i < {outputs}; i++)
            scores[i] += out[j * {outputs} + i] * {below}[j];
}}
"""
    return {"lstm.h": header, "lstm.c": source}


def _array(name: str, values: Array) -> str:
    numbers = ", ".join(f"{value:.9g}f" if "." in f"{value:.9g}" or "e" in f"{value:.9g}" else f"{value:.1f}f"
                        for value in values.ravel().tolist())  # fmt: skip
    return f"static const float {name}[{values.size}] = {{{numbers}}};\n"


def onnx_model(inputs: int, hidden: list[int], outputs: int) -> Any:
    """One step with explicit state: x (1, inputs), h0, c0, ... (1, 1, H) -> y (1, outputs),
    h0.next, c0.next, ..."""
    from onnx import TensorProto, checker, helper, numpy_helper

    def value(name: str, *shape: int) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    layers = weights(inputs, hidden, outputs)
    constants, nodes = (
        {"axis": np.zeros(1, np.int64)},
        [helper.make_node("Unsqueeze", ["x", "axis"], ["x0"])],
    )
    given, made, below = [value("x", 1, inputs)], [value("y", 1, outputs)], "x0"
    for i, (size, (own_in, own_rec, bias)) in enumerate(zip(hidden, layers, strict=False)):
        doubled = np.concatenate([bias, np.zeros_like(bias)])
        constants |= {f"W{i}": own_in[None], f"R{i}": own_rec[None], f"B{i}": doubled[None]}
        names = [below, f"W{i}", f"R{i}", f"B{i}", "", f"h{i}", f"c{i}"]
        nodes.append(
            helper.make_node("LSTM", names, ["", f"h{i}.next", f"c{i}.next"], hidden_size=size)
        )
        given += [value(f"h{i}", 1, 1, size), value(f"c{i}", 1, 1, size)]
        made += [value(f"h{i}.next", 1, 1, size), value(f"c{i}.next", 1, 1, size)]
        below = f"h{i}.next"
    dense, _, bias = layers[-1]
    constants |= {"dense": dense, "dense_bias": bias}
    nodes.append(helper.make_node("Squeeze", [below, "axis"], ["last"]))
    nodes.append(helper.make_node("Gemm", ["last", "dense", "dense_bias"], ["y"], transB=1))
    initialisers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "lstm", given, made, initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    return model
