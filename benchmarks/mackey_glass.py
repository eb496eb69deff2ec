"""NeuroBench's chaotic function prediction: how far a network goes on by itself.

    python -m benchmarks.mackey_glass --search     # eight trials of each family
    python -m benchmarks.mackey_glass --measure    # the best of each on all series, three runs each
    python -m benchmarks.mackey_glass --costs      # energy and bytes
    python -m benchmarks.mackey_glass --render     # results/mackey-glass/README.md from these lines

A model learns the sample after each of 750, then reads them once more, and from then on reads its
own answers for 750 steps, which are ten Lyapunov times. The error is NeuroBench's sMAPE, 200 mean
|answer - truth| / (|answer| + |truth|), in percent; 200 is the largest there is. Beside it stands
for how many Lyapunov times the answers stay within 0.4 deviations of the series.

    srnn   the recipe mackey-glass, streamed in Python as on a device
    lstm   the same recipe with torch's LSTM
    linear the linear part of both alone (``srnn.data.linear``)
    esn    an echo state network: a random recurrent layer of tanh units and a linear readout by
           ridge regression (Jaeger 2001), written below

Each family has eight trials of about 4,500 weights, drawn at random from the ranges below. They are
trained, with seed 0, on 750 steps of the series tau 17 from the 22nd Lyapunov time on, where no
reported run comes to. Chosen is the smallest mean sMAPE of two Lyapunov times from five later points. What is
chosen is then trained anew in three runs of each series: as NeuroBench's, they begin half a
Lyapunov time apart, and each has a seed of its own. Every training is a line of
results/mackey-glass/mackey-glass.jsonl; those that are there are not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

import srnn
from srnn.data.datasets.mackey_glass import (
    SERIES,
    STEPS_A_TIME,
    TESTING,
    TRAINING,
    WARM_UP,
    MackeyGlassTask,
)
from srnn.data.linear import Moments, chosen_taps, most_taps
from srnn.progress import Reporter
from srnn.text import markdown_table
from srnn.training.recipes import load_recipe

Array = npt.NDArray[np.float64]
Step = Callable[[float], float]
"""A model in the middle of a series: reads a sample, gives the next one."""
Settings = dict[str, Any]
OUT = Path("results/mackey-glass")
TRIALS, RUNS = 8, 3
SEARCHED = 17
"""The delay of the series that trials are chosen on."""
_SEARCH_AT = 22.0
"""Lyapunov times before that series begins; reported runs end at 21."""
_FITTED = 600
"""Steps of a series that the linear part is fitted to while its taps are chosen."""
_AHEAD, _STARTS = 150, (750, 900, 1050, 1200, 1350)
_MAC = 4.6
"""pJ of a multiplication with an addition, as ``srnn energy`` counts them in float32."""
_OFF = 0.4
"""Deviations of a series from which on an answer is not valid."""
PUBLISHED = {
    "lstm, NeuroBench's example": 14.35,
    "lstm, NeuroBench's paper (not checked)": 13.37,
    "esn, NeuroBench's paper (not checked)": 14.79,
}
"""Mean sMAPE on tau 17 of 30 runs that begin half a Lyapunov time apart. The first is written in
NeuroBench's repository (examples/mackey_glass/lstm_benchmark.py); those of the paper are quoted
without having it at hand."""


HEAD = """# Mackey-Glass

NeuroBench's chaotic function prediction: `python -m benchmarks.mackey_glass --search --measure
--costs --render`, whose text says how. sMAPE, in percent, of 750 steps (ten Lyapunov times) in which
a model reads its own answers; *valid* is for how many Lyapunov times these stay within 0.4 deviations
of the series. The next sample is that of a model which reads the series itself.

Both networks have a linear part, whose next sample they improve on, on each of the 14 series: the
spiking network has an error of 0.45 % where the linear part alone has 0.81, the LSTM 0.33, and the
echo state network 0.45. By itself the spiking network goes on for 0.28 Lyapunov times, three times
as long as the linear part alone, but half as long as the LSTM (0.60), and the echo state network for
1.6. So the spiking network is not the one to choose here for what it says, only for what a step
costs: a tenth of the LSTM's energy by operations, a third with memory traffic.

Over ten Lyapunov times by sMAPE none of the three is better than the linear part alone: once it is
wrong, an answer that has faded to the mean is less so than one that goes on. The echo state network
is the best on tau 17, 18 and 20 and grows without bound on most others; it was chosen on tau 17, as
both networks were. In earlier results, single runs of fewer series, the spiking network had 17.2 on
tau 17 and the LSTM 22.3: runs differ that much.

Intervals are over series, 95 %, by Student's t. NeuroBench's figures are means of 30 runs on its own
solution of the equation; the one of its example is in its repository, those of its paper were not
at hand to be checked."""


def smape(said: Array, true: Array) -> float:
    """NeuroBench's symmetric mean absolute percentage error."""
    error = 200 * float(np.mean(np.abs(said - true) / (np.abs(said) + np.abs(true))))
    return 200.0 if np.isnan(error) else error


def valid_time(said: Array, true: Array) -> float:
    """Lyapunov times before the first answer that is off."""
    off = np.abs(said - true) > _OFF * true.std()
    steps = int(off.argmax()) if off.any() else len(off)
    return steps / STEPS_A_TIME


def goes_on(step: Step, past: Array, steps: int) -> Array:
    """(steps,) what the model says once it reads its own answers, after the samples ``past``."""
    said = 0.0
    for sample in past:
        said = step(float(sample))
    answers = [said]
    while len(answers) < steps:
        answers.append(step(answers[-1]))
    return np.array(answers)


# ---- families -----------------------------------------------------------------------------------


@dataclass
class EchoState:
    """A random recurrent layer of leaky tanh units, whose readout is fitted at once."""

    units: int
    radius: float
    """The largest absolute eigenvalue of the recurrent weights."""
    leak: float
    """The share of a state that a step renews."""
    scale: float
    """Of the input weights."""
    ridge: float
    density: float = 0.1
    seed: int = 0
    state: Array = field(init=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        shape = (self.units, self.units)
        recurrent = rng.uniform(-1, 1, shape) * (rng.random(shape) < self.density)
        self.recurrent = recurrent * self.radius / np.abs(np.linalg.eigvals(recurrent)).max()
        self.input, self.bias = rng.uniform(-self.scale, self.scale, (2, self.units))
        self.readout = np.zeros(self.units + 2)
        self.reset()

    def reset(self) -> None:
        """Back to the beginning of a series."""
        self.state = np.zeros(self.units)

    def read(self, sample: float) -> Array:
        """What the readout sees after a sample: 1, the sample, and the state."""
        drive = self.recurrent @ self.state + self.input * sample + self.bias
        self.state = (1 - self.leak) * self.state + self.leak * np.tanh(drive)
        return np.concatenate([[1.0, sample], self.state])

    def fit(self, series: Array) -> None:
        """Learn the sample after each, but for the first ones."""
        self.reset()
        seen = np.stack([self.read(sample) for sample in series[:-1]])[WARM_UP:]
        inner = seen.T @ seen + self.ridge * np.eye(seen.shape[1])
        self.readout = np.linalg.solve(inner, seen.T @ series[WARM_UP + 1 :])
        self.reset()

    def __call__(self, sample: float) -> float:
        return float(self.readout @ self.read(sample))


def _esn(series: Array, settings: Settings, seed: int, tau: int, offset: float) -> tuple[Any, int]:
    network = EchoState(**settings, seed=seed)
    network.fit(series)

    def begin() -> Step:
        network.reset()
        return network

    return begin, int(network.readout.size + (network.recurrent != 0).sum() + 2 * network.units)


def _trained(
    baseline: str | None, settings: Settings, seed: int, tau: int, offset: float
) -> srnn.Model:
    options = {"task.options.tau": tau, "task.options.offset": offset}
    recipe = load_recipe("mackey-glass", {**options, **settings}, baseline=baseline)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        srnn.train(recipe, run, seed=seed, reporter=Reporter(), examples=False)
        model = srnn.load(run)
        model.network.eval()
    return model


def _network(baseline: str | None) -> Callable[..., tuple[Any, int]]:
    def made(
        series: Array, settings: Settings, seed: int, tau: int, offset: float
    ) -> tuple[Any, int]:
        model = _trained(baseline, settings, seed, tau, offset)
        begin = _streamed(model) if baseline is None else _recurrent(model)
        return begin, sum(part.numel() for part in model.network.parameters())

    return made


def _streamed(model: srnn.Model) -> Callable[[], Step]:
    def begin() -> Step:
        session = model.stream()
        return lambda sample: float(session.push([[sample]]).scores[-1, 0])

    return begin


def _recurrent(model: srnn.Model) -> Callable[[], Step]:
    """A network of torch's cells, which streams do not run."""
    network, statistics, targets = (
        model.network.eval(),
        model.task.signal().statistics,  # type: ignore[attr-defined]
        model.task.targets,
    )
    assert targets is not None

    def begin() -> Step:
        state: Any = None
        past = targets.past(1)

        def step(sample: float) -> float:
            nonlocal state, past
            x = np.array([[(sample - float(statistics.mean[0])) / float(statistics.std[0])]])
            with torch.no_grad():
                result = network.run(torch.from_numpy(x[None]).float(), state)
            state = result.state
            answered = targets.answered(result.output[0].double().numpy(), x, past)
            past = targets.after(x, past)
            return float(targets.restored(answered)[0, 0])

        return step

    return begin


def _linear(
    series: Array, settings: Settings, seed: int, tau: int, offset: float
) -> tuple[Any, int]:
    """The linear part alone, whose taps are chosen as it chooses them."""
    mean, std = series[:_FITTED].mean(), series[:_FITTED].std()
    scaled = ((series - mean) / std)[None, :, None]

    def moments(begin: int, end: int) -> Moments:
        x, y = scaled[:, begin:end], scaled[:, begin + 1 : end + 1]
        return Moments.zero(most_taps(1), 1, 1).plus(x, y, WARM_UP)

    end = len(series) - 1
    taps = chosen_taps(moments(0, _FITTED), moments(_FITTED - WARM_UP, end), 1)
    linear = moments(0, end).fitted(max(taps, 1), 1)

    def begin() -> Step:
        past = linear.past

        def step(sample: float) -> float:
            nonlocal past
            x = np.array([[(sample - mean) / std]])
            said = linear.predicted(x, past)
            past = linear.after(x, past)
            return float(mean + std * said[0, 0])

        return step

    return begin, linear.taps


FAMILIES = {"srnn": _network(None), "lstm": _network("lstm"), "esn": _esn, "linear": _linear}
"""The last has nothing to be searched."""


# ---- trials -------------------------------------------------------------------------------------


def _drawn(family: str, trial: int) -> Settings:
    """The settings of a trial."""
    rng = np.random.default_rng([trial, *family.encode()])
    if family == "esn":
        return {
            "units": 200,
            "radius": float(rng.uniform(0.7, 1.4)),
            "leak": float(rng.uniform(0.3, 1.0)),
            "scale": float(rng.uniform(0.2, 1.5)),
            "ridge": float(10 ** rng.uniform(-10, -4)),
        }
    layers = [[64], [48, 20]]
    if family == "lstm":
        layers = [[32], [20, 20]]
    settings: Settings = {
        "network.hidden": layers[int(rng.integers(len(layers)))],
        "training.optimizer.lr": round(float(10 ** rng.uniform(-2.7, -1.5)), 4),
    }
    if family == "srnn":
        slowest = int(rng.choice([4, 8, 20]))
        neurons: list[Settings] = [
            {"name": "adlif", "tau_mem": f"uniform(1, {slowest})"},
            {"name": "silif"},
            {"name": "brf"},
            {"name": "csilif"},
        ]
        readout = {"name": "integrator", "tau_mem": float(rng.choice([1.0, 1.5, 3.0]))}
        settings |= {
            "network.neuron": neurons[trial % len(neurons)],
            "network.readout": {"name": "integrator", "neuron": readout},
            "network.norm": str(rng.choice(["batch", "none"])),
        }
    return settings


def search() -> Iterator[Settings]:
    """The trials that are not yet among the lines, a line each."""
    known = {(row["family"], row["trial"]) for row in _rows("search")}
    series = MackeyGlassTask(SEARCHED, _SEARCH_AT).series()
    for trial, family in product(range(TRIALS), FAMILIES):
        if family == "linear" or (family, trial) in known:
            continue
        started, settings = time.perf_counter(), _drawn(family, trial)
        make, learnt = FAMILIES[family], series[: TRAINING + 1]
        begin, parameters = make(learnt, settings, 0, SEARCHED, _SEARCH_AT)
        errors = [
            smape(goes_on(begin(), series[:at], _AHEAD), series[at : at + _AHEAD]) for at in _STARTS
        ]
        yield {
            "kind": "search",
            "family": family,
            "trial": trial,
            "settings": settings,
            "smape": round(float(np.mean(errors)), 2),
            "parameters": parameters,
            "seconds": round(time.perf_counter() - started, 1),
        }


def chosen(family: str) -> Settings:
    """The settings of a family's best trial."""
    if family == "linear":
        return {}
    rows = [row for row in _rows("search") if row["family"] == family]
    return min(rows, key=lambda row: row["smape"])["settings"]


def measure(taus: Sequence[int], families: Sequence[str]) -> Iterator[Settings]:
    """The best trial of each family, trained anew on each series, a line each."""
    known = {(row["family"], row["tau"], row["run"]) for row in _rows("measure")}
    for tau, run, family in product(taus, range(RUNS), families):
        if (family, tau, run) in known:
            continue
        started, offset = time.perf_counter(), run / 2
        series = MackeyGlassTask(tau, offset).series()
        learnt, true = series[: TRAINING + 1], series[TRAINING : TRAINING + TESTING]
        begin, parameters = FAMILIES[family](learnt, chosen(family), 1 + run, tau, offset)
        said = goes_on(begin(), series[:TRAINING], TESTING)
        step, next_ones = begin(), []
        for sample in series[: TRAINING + TESTING]:
            next_ones.append(step(float(sample)))
        after = np.array(next_ones)[TRAINING:]
        yield {
            "kind": "measure",
            "family": family,
            "tau": tau,
            "run": run,
            "smape": round(smape(said, true), 2),
            "valid_time": round(valid_time(said, true), 2),
            "smape_next": round(smape(after, series[TRAINING + 1 :]), 3),
            "smape_last": round(smape(series[TRAINING:-1], series[TRAINING + 1 :]), 3),
            "parameters": parameters,
            "seconds": round(time.perf_counter() - started, 1),
        }


def costs() -> Iterator[Settings]:
    """The energy of a step, by operations and with memory, and the bytes of the C, of what is
    trained for the first run of tau 17; a line each. The energy is without the linear part."""
    if _rows("costs"):
        return
    for family, baseline in (("srnn", None), ("lstm", "lstm")):
        model = _trained(baseline, chosen(family), 1, SEARCHED, 0.0)
        found = model.energy(np.asarray(model.task.load("test").x))["models"]
        row: Settings = {"kind": "costs", "family": family}
        for name in ("fp32", "memory"):
            row[f"{name}_nj"] = round(found[name]["energy_pj"]["step"] / 1000, 2)
        for format in ("c", "int8") if baseline is None else ():
            with tempfile.TemporaryDirectory() as folder:
                report = model.export(Path(folder) / "c", format, name="net")
            row[format] = [report["flash_bytes"], report["ram_bytes"]]
        yield row


# ---- lines and page -----------------------------------------------------------------------------


def _rows(kind: str) -> list[dict[str, Any]]:
    file = OUT / "mackey-glass.jsonl"
    lines = file.read_text().splitlines() if file.is_file() else []
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def _write(rows: Iterator[Settings]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for row in rows:
        print(json.dumps(row), flush=True)
        with (OUT / "mackey-glass.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")


def _of_series(family: str, column: str) -> dict[int, float]:
    """The mean over the runs of each series of which all are there."""
    found: dict[int, list[float]] = {}
    for row in _rows("measure"):
        if row["family"] == family:
            found.setdefault(row["tau"], []).append(row[column])
    return {tau: float(np.mean(values)) for tau, values in found.items() if len(values) == RUNS}


def measured() -> list[int]:
    """The series that every family was measured on."""
    return sorted(set.intersection(*(set(_of_series(one, "smape")) for one in FAMILIES)))


def _with_interval(values: Sequence[float]) -> str:
    """A mean over series, with a 95 % interval: Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.2f} ± {half:.2f}"


def _beside_linear(family: str, column: str, taus: Sequence[int]) -> str:
    """Less what the linear part alone has on the same series."""
    if family == "linear":
        return "-"
    own, other = _of_series(family, column), _of_series("linear", column)
    return _with_interval([own[tau] - other[tau] for tau in taus])


def _parameters(family: str) -> int:
    """Of the first run of tau 17."""
    rows = [row for row in _rows("measure") if row["family"] == family]
    return next(row["parameters"] for row in rows if row["tau"] == SEARCHED)


def _results(taus: Sequence[int]) -> list[list[str]]:
    rows = []
    for family in FAMILIES:
        each = {name: _of_series(family, name) for name in ("smape", "valid_time", "smape_next")}
        rows.append(
            [
                family,
                f"{_parameters(family):,}",
                f"{each['smape'][SEARCHED]:.2f}",
                _with_interval([each["smape"][tau] for tau in taus]),
                _beside_linear(family, "smape", taus),
                f"{np.mean([each['valid_time'][tau] for tau in taus]):.2f}",
                _beside_linear(family, "valid_time", taus),
                f"{each['smape_next'][SEARCHED]:.2f}",
                f"{np.mean([each['smape_next'][tau] for tau in taus]):.2f}",
            ]
        )
    rows += [[source, "-", f"{value:.2f}", *["-"] * 6] for source, value in PUBLISHED.items()]
    last = np.mean([row["smape_last"] for row in _rows("measure") if row["tau"] == SEARCHED])
    return [*rows, ["the sample before", "0", *["-"] * 5, f"{last:.2f}", "-"]]


def _trials() -> list[list[str]]:
    """Every trial, the best of a family first."""
    rows = _rows("search")
    families = [*FAMILIES]
    rows.sort(key=lambda row: (families.index(row["family"]), row["smape"]))
    return [
        [row["family"], f"{row['smape']:.2f}", f"{row['parameters']:,}", _in_words(row["settings"])]
        for row in rows
    ]


def _in_words(settings: Settings) -> str:
    """Settings of a trial, briefly."""
    words = []
    for name, value in settings.items():
        if name == "network.readout":
            value = value["neuron"]["tau_mem"]
        if name == "network.neuron":
            value = " ".join(map(str, value.values()))
        if isinstance(value, float):
            value = f"{value:.3g}"
        words.append(f"{name.rpartition('.')[2]} {value}")
    return ", ".join(words)


def _costs() -> list[list[str]]:
    rows = []
    for row in _rows("costs"):
        written = ["-", "-"]
        if "c" in row:
            written = [" + ".join(f"{part:,}" for part in row[name]) for name in ("c", "int8")]
        rows.append([row["family"], f"{row['fp32_nj']:g}", f"{row['memory_nj']:g}", *written])
    for family in ("esn", "linear"):
        rows.append([family, f"{_parameters(family) * _MAC / 1000:.2f}", "-", "-", "-"])
    return rows


def render() -> str:
    """The page."""
    taus = measured()
    over = f"{len(taus)} series"
    titles = [
        "family", "parameters", "sMAPE, 17", f"sMAPE, {over}", "minus linear",
        "valid, Lyapunov times", "minus linear", "next sample, 17",
        f"next sample, {over}",
    ]  # fmt: skip
    each = [
        [str(tau), *(f"{_of_series(family, 'smape')[tau]:.2f}" for family in FAMILIES)]
        for tau in taus
    ]
    seconds = sum(row["seconds"] for kind in ("search", "measure") for row in _rows(kind))
    parts = [
        HEAD,
        "\n".join(markdown_table(titles, _results(taus))),
        f"sMAPE of each series, the mean of {RUNS} runs:",
        "\n".join(markdown_table(["tau", *FAMILIES], each)),
        f"All {TRIALS} trials of each family, by their sMAPE of two Lyapunov times:",
        "\n".join(markdown_table(["family", "sMAPE", "parameters", "settings"], _trials())),
        "A step's energy in nJ (float32, 45 nm; operations alone, and with memory traffic), to which "
        "both networks add that of their linear part; and the bytes of the C with it, flash + RAM:",
        "\n".join(
            markdown_table(["family", "operations", "with memory", "float32 C", "int8 C"], _costs())
        ),
        f"All of it took {seconds / 60:.0f} minutes of one shared core. The seed of every trial is 0; "
        "the runs have seeds 1 to 3, and begin at 0, 0.5 and 1 Lyapunov times.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--search", action="store_true")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--taus", nargs="+", type=int, default=list(SERIES))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--costs", action="store_true")
    parser.add_argument("--render", action="store_true")
    told = parser.parse_args()
    torch.set_num_threads(1)
    if told.search:
        _write(search())
    if told.measure:
        _write(measure(told.taus, told.families))
    if told.costs:
        _write(costs())
    if told.render:
        (OUT / "README.md").write_text(render())


if __name__ == "__main__":
    main()
