"""The published networks once more, in plain numpy, from their description: makes weights and
golden files for tests.

Independent of the library on purpose. Everything is float64; weights are drawn in float32, so that
a file keeps them exactly.
"""

from __future__ import annotations

import numpy as np

Arrays = dict[str, np.ndarray]


def alif(current_in, weight_rec, tau_mem, tau_adp, threshold, beta, u, s, e):
    """(T, B, N) input currents -> membranes, spikes, thresholds."""
    alpha, rho = np.exp(-1 / tau_mem), np.exp(-1 / tau_adp)
    trace = []
    for current in current_in:
        if weight_rec is not None:
            current = current + s @ weight_rec.T
        e = rho * e + (1 - rho) * s
        theta = threshold + beta * e
        u = alpha * u + (1 - alpha) * current - theta * s
        s = (u - theta > 0).astype(float)
        trace.append((u, s, theta))
    return tuple(np.array(part) for part in zip(*trace, strict=True))


def integrator(current_in, tau_mem, u):
    alpha = np.exp(-1 / tau_mem)
    trace = []
    for current in current_in:
        u = alpha * u + (1 - alpha) * current
        trace.append(u)
    return np.array(trace)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def linear(
    rng, weights: Arrays, name: str, inputs: int, outputs: int, gain: float, bias: float = 0.0
) -> None:
    weights[f"{name}.weight"] = (
        rng.normal(size=(outputs, inputs)) * gain / np.sqrt(inputs)
    ).astype("f4")
    weights[f"{name}.bias"] = rng.normal(bias, 0.1, outputs).astype("f4")


def taus(
    rng, weights: Arrays, size: int, tau_mem: str, tau_adp: str | None, mean: float = 150.0
) -> None:
    weights[tau_mem] = rng.normal(20, 3, size).astype("f4")
    if tau_adp is not None:
        weights[tau_adp] = rng.normal(mean, 10, size).astype("f4")


def recorded(golden: Arrays, name: str, mem, spike=None, keep: int = 50) -> None:
    golden[f"mem_{name}"] = mem[:keep]
    if spike is not None:
        golden[f"spike_{name}"] = np.packbits(spike.astype(np.uint8), axis=-1)
        golden[f"spike_{name}_n"] = np.array(spike.shape[-1])


def _dense(weights: Arrays, x, *names: str):
    """x times the first one's weights, plus all biases."""
    return x @ weights[f"{names[0]}.weight"].astype(float).T + sum(
        weights[f"{name}.bias"].astype(float) for name in names
    )


def _recurrent(
    weights: Arrays,
    x,
    dense: str,
    recurrent: str | None,
    tau_mem: str,
    tau_adp: str,
    threshold,
    beta,
    u,
    s,
    e,
):
    names = (dense,) if recurrent is None else (dense, recurrent)
    tau_m, tau_a = weights[tau_mem].astype(float), weights[tau_adp].astype(float)
    rec = None if recurrent is None else weights[f"{recurrent}.weight"].astype(float)
    return alif(_dense(weights, x, *names), rec, tau_m, tau_a, threshold, beta, u, s, e)


def heidelberg(task: str, steps: int, seed: int = 0) -> tuple[Arrays, Arrays]:
    """SHD (87.4), SHD 90.7 and SSC: (weights, golden file)."""
    rng = np.random.default_rng(seed)
    hidden, classes = (400, 35) if task == "ssc" else (128, 20)
    weights: Arrays = {}
    linear(rng, weights, "i_2_h1", 700, hidden, 12.0)
    linear(rng, weights, "h1_2_h1", hidden, hidden, 3.0)
    linear(rng, weights, "h1_2_h2", hidden, hidden, 8.0)
    linear(rng, weights, "h2_2_h2", hidden, hidden, 3.0)
    linear(rng, weights, "h2o", hidden, classes, 8.0)
    taus(rng, weights, hidden, "tau_m_h1", "tau_adp_h1")
    taus(rng, weights, hidden, "tau_m_h2", "tau_adp_h2")
    taus(rng, weights, classes, "tau_m_o", "tau_adp_o")
    x = rng.random((2, steps, 700)) < 0.03
    golden: Arrays = {"x": np.packbits(x, axis=-1), "x_shape": np.array(x.shape)}
    draws = [rng.random((2, size)).astype("f4") for size in (hidden, hidden, classes)]
    if task == "ssc":  # the readout starts at 0, which takes no draw
        draws.pop()
    golden |= {f"rand{index}": draw for index, draw in enumerate(draws)}

    signal = x.transpose(1, 0, 2).astype(float)
    for index, name, dense, rec in (
        (0, "h1", "i_2_h1", "h1_2_h1"),
        (1, "h2", "h1_2_h2", "h2_2_h2"),
    ):
        u = draws[index].astype(float)
        s = np.zeros_like(u) if task == "shd-90.7" else u
        mem, signal, _ = _recurrent(
            weights, signal, dense, rec, f"tau_m_{name}", f"tau_adp_{name}", 0.01, 1.8, u, s, 0.01
        )
        recorded(golden, name, mem, signal)
    start = np.zeros((2, classes)) if task == "ssc" else draws[2].astype(float)
    mem = integrator(_dense(weights, signal, "h2o"), weights["tau_m_o"].astype(float), start)
    recorded(golden, "o", mem)
    if task == "ssc":
        golden["output"] = log_softmax(mem[1:].sum(0) / steps)
    else:
        golden["output"] = np.exp(log_softmax(mem))[11:].sum(0)
    return weights, golden


def mnist(task: str, steps: int, seed: int = 0) -> tuple[Arrays, Arrays]:
    """S-MNIST (window 8) and PS-MNIST (window 4): (weights, golden file)."""
    rng = np.random.default_rng(seed)
    window = 8 if task == "smnist" else 4
    weights: Arrays = {}
    linear(rng, weights, "i2h", window, 64, 1.5)
    linear(rng, weights, "h2h", 64, 64, 2.0)
    linear(rng, weights, "h2d", 64, 256, 6.0)
    linear(rng, weights, "d2d", 256, 256, 2.0)
    linear(rng, weights, "dense1", 256, 256, 8.0)
    linear(rng, weights, "d2o", 256, 10, 4.0, bias=0.5)
    for name, size in (("r1", 64), ("r2", 256), ("d1", 256), ("o", 10)):
        taus(rng, weights, size, f"tau_m_{name}", f"tau_adp_{name}", 200.0)
    x = rng.integers(0, 256, (2, steps, 1)).astype(np.uint8)
    draws = [rng.random((2, size)).astype("f4") for size in (64, 256, 256, 10)]
    golden: Arrays = {"x": x, **{f"rand{index}": draw for index, draw in enumerate(draws)}}

    scale = 1.0 if task == "smnist" else 0.01
    pixels = x[..., 0] / 255.0
    starts = [t if t < steps - window else steps - window for t in range(steps)]
    signal = np.stack([pixels[:, t : t + window] for t in starts])
    layers = (
        ("r1", "i2h", "h2h"),
        ("r2", "h2d", "d2d"),
        ("d1", "dense1", None),
        ("o", "d2o", None),
    )
    u = s = np.zeros(0)
    for draw, (name, dense, rec) in zip(draws, layers, strict=True):
        u = draw.astype(float) * scale
        s = np.zeros_like(u) if (task, name) == ("psmnist", "o") else u
        mem, signal, _ = _recurrent(
            weights, signal, dense, rec, f"tau_m_{name}", f"tau_adp_{name}", 0.01, 1.8, u, s, 0.01
        )
        recorded(golden, name, mem, signal)
    golden["output"] = signal.sum(0) + s if task == "smnist" else signal[1:].sum(0)
    return weights, golden


def gsc(steps: int, nan_unit: int | None = 172, seed: int = 0) -> tuple[Arrays, Arrays]:
    """GSC: (weights, golden file). States start at 0, e at 1.6; one unit may be NaN throughout."""
    rng = np.random.default_rng(seed)
    weights: Arrays = {"thr": np.array([0.05], "f4")}
    linear(rng, weights, "dense_1.dense", 120, 300, 40.0)
    linear(rng, weights, "rnn_1.dense", 300, 300, 40.0)
    linear(rng, weights, "rnn_1.recurrent", 300, 300, 10.0)
    linear(rng, weights, "dense_2.dense", 300, 12, 10.0)
    taus(rng, weights, 300, "dense_1.tau_m", "dense_1.tau_adp")
    taus(rng, weights, 300, "rnn_1.tau_m", "rnn_1.tau_adp")
    taus(rng, weights, 12, "dense_2.tau_m", None)
    if nan_unit is not None:
        for name in (
            "dense_1.dense.weight",
            "dense_1.dense.bias",
            "dense_1.tau_m",
            "dense_1.tau_adp",
        ):
            weights[name][nan_unit] = np.nan
    x = rng.normal(size=(2, 3, steps, 40)).astype("f4")
    golden: Arrays = {"x": x}
    frames = x.transpose(2, 0, 1, 3).reshape(steps, 2, 120)
    signal = np.where(frames > 0.05, 1.0, np.where(frames < -0.05, -1.0, 0.0))
    zero = np.zeros((2, 300))
    for name, rec in (("dense_1", None), ("rnn_1", "rnn_1.recurrent")):
        mem, signal, _ = _recurrent(
            weights,
            signal,
            f"{name}.dense",
            rec,
            f"{name}.tau_m",
            f"{name}.tau_adp",
            1.6,
            0.184,
            zero,
            zero,
            1.6,
        )
        recorded(golden, name, mem, signal)
    mem = integrator(
        _dense(weights, signal, "dense_2.dense"),
        weights["dense_2.tau_m"].astype(float),
        np.zeros((2, 12)),
    )
    recorded(golden, "dense_2", mem)
    golden["output"] = log_softmax(mem.mean(0))
    return weights, golden


def timit(frames: int, seed: int = 0) -> tuple[Arrays, Arrays]:
    """TIMIT: (weights, golden file). Frames are held for 5 steps; one tau_adp is negative."""
    rng = np.random.default_rng(seed)
    weights: Arrays = {}
    for name in ("rnn_fw1", "rnn_bw1"):
        linear(rng, weights, f"{name}.dense", 39, 512, 12.0)
        linear(rng, weights, f"{name}.recurrent", 512, 512, 10.0)
        taus(rng, weights, 512, f"{name}.tau_m", f"{name}.tau_adp", 200.0)
    weights["rnn_fw1.tau_adp"][7] = -55.6
    linear(rng, weights, "dense_mean.dense", 1024, 61, 20.0)
    weights["dense_mean.tau_m"] = rng.normal(3, 0.1, 61).astype("f4")
    x = rng.random((2, frames, 39)).astype("f4")
    draws = [rng.random((2, size)).astype("f4") for size in (512, 512, 61)]
    golden: Arrays = {"x": x, **{f"rand{index}": draw for index, draw in enumerate(draws)}}

    forward = np.stack([x[:, step // 5] for step in range(5 * frames)]).astype(float)
    # Rounds down, as published.
    backward = np.stack([x[:, -step // 5] for step in range(5 * frames)]).astype(float)
    spikes = {}
    for index, (name, signal) in enumerate((("fw", forward), ("bw", backward))):
        u = draws[index].astype(float) * 1.6
        part = f"rnn_{name}1"
        mem, spikes[name], _ = _recurrent(
            weights, signal, f"{part}.dense", f"{part}.recurrent", f"{part}.tau_m", f"{part}.tau_adp",
            1.6, 0.184, u, np.zeros_like(u), 1.6,
        )  # fmt: skip
        recorded(golden, name, mem, spikes[name])
    both = np.concatenate([spikes["fw"], spikes["bw"][::-1]], -1)
    means = both.reshape(frames, 5, 2, 1024).mean(1)
    mem = integrator(
        _dense(weights, means, "dense_mean.dense"),
        weights["dense_mean.tau_m"].astype(float),
        draws[2],
    )
    recorded(golden, "readout", mem)
    golden["output"] = log_softmax(mem)
    return weights, golden


def ecg(steps: int, seed: int = 0) -> tuple[Arrays, Arrays]:
    """ECG: (weights, golden file); spikes are not packed, and the output begins at step 10."""
    rng = np.random.default_rng(seed)
    weights: Arrays = {}
    linear(rng, weights, "i2h", 4, 36, 8.0)
    linear(rng, weights, "h2h", 36, 36, 6.0)
    linear(rng, weights, "h2o", 36, 6, 8.0)
    taus(rng, weights, 36, "tau_m_h", "tau_adp_h")
    taus(rng, weights, 6, "tau_m_o", "tau_adp_o")
    x = rng.integers(-1, 2, (2, steps, 4)).astype(np.int8)
    draws = {name: rng.random((2, size)).astype("f4") for name, size in (("h", 36), ("o", 6))}
    golden: Arrays = {"x": x, **{f"init_uniform_{name}": draw for name, draw in draws.items()}}
    signal, mem = x.transpose(1, 0, 2).astype(float), np.zeros(0)
    for name, dense, rec, beta in (("h", "i2h", "h2h", 0.0), ("o", "h2o", None, 1.8)):
        u = draws[name].astype(float) * 0.1
        mem, signal, _ = _recurrent(
            weights, signal, dense, rec, f"tau_m_{name}", f"tau_adp_{name}", 0.1, beta, u, u, 0.01
        )
        golden |= {f"mem_{name}": mem, f"spike_{name}": signal.astype(np.uint8)}
    golden["logp"] = log_softmax(mem)[10:]
    return weights, golden


def restate(task: str) -> tuple[Arrays, Arrays]:
    """Random weights of a published network in the published layout, and what it does with them on
    a random input."""
    if task in ("shd", "shd-90.7", "ssc"):
        return heidelberg(task, steps=100 if task == "ssc" else 60)
    if task in ("smnist", "psmnist"):
        return mnist(task, steps=60)
    return {"ecg": ecg, "gsc": gsc, "timit": timit}[task](12 if task == "timit" else 60)
