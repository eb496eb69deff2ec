"""The Mackey-Glass series of NeuroBench's chaotic function prediction (Yik et al., The NeuroBench
framework, Nature Communications 16, 2025), integrated here: nothing is downloaded.

    x'(t) = 0.2 x(t - tau) / (1 + x(t - tau)^10) - 0.1 x(t)

There are 14 series, tau = 17 to 30, each with its Lyapunov time (after which a small difference has
grown e-fold) and its constant past. A step is 1/75 of the Lyapunov time. The first ten Lyapunov
times (750 steps) are for training, the ten after them for testing; ``offset`` moves both on. Of
those for training, the last two are for validation.

The target of a step is the sample after it. Sequences are windows of the series; the targets of
their first 45 steps (0.6 Lyapunov times, NeuroBench's warm-up) are left out, since nothing is known
there of what was before. NeuroBench measures how a network goes on when its answers become its
inputs; ``benchmarks/mackey_glass.py`` does so.

The series is chaotic: theirs, from another integrator, is another one after some tens of Lyapunov
times, of the same system.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...files.bounds import Between
from ...files.conversion import CheckedSettings
from ..encoders.speech import Statistics
from ..signals import ScaledPath
from ..targets import Targets
from ..tasks import Task, register
from .base import Split, SplitName, check_split

Series = npt.NDArray[np.float64]
STEPS_A_TIME = 75
"""Steps in a Lyapunov time."""
TRAINING, TESTING = 750, 750
WARM_UP = 45
_VALIDATION = 150
_AN_INTEGER = 20
"""Steps of the integration in a unit of the equation's time."""


class Settings(NamedTuple):
    """What NeuroBench states of a series."""

    lyapunov_time: int
    past: float
    """x before the beginning."""


SERIES = {
    17: Settings(197, 0.7206597),
    18: Settings(138, 0.7744313),
    19: Settings(315, 0.7783468),
    20: Settings(131, 0.9225991),
    21: Settings(191, 0.9479431),
    22: Settings(119, 0.5455960),
    23: Settings(106, 0.8622247),
    24: Settings(97, 0.3259660),
    25: Settings(98, 0.8297825),
    26: Settings(104, 1.0033490),
    27: Settings(112, 0.6491406),
    28: Settings(119, 1.0957495),
    29: Settings(131, 0.9256179),
    30: Settings(139, 0.2713639),
}
"""By tau."""


def _slope(x: float, past: float) -> float:
    return 0.2 * past / (1.0 + past**10) - 0.1 * x


def _between(x: Any, slopes: Any, step: float, part: Any) -> Any:
    """Cubic Hermite interpolation between two values, with their slopes, a ``step`` apart."""
    begin, end = x
    return (
        (1 + 2 * part) * (1 - part) ** 2 * begin
        + part * (1 - part) ** 2 * step * slopes[0]
        + part**2 * (3 - 2 * part) * end
        + part**2 * (part - 1) * step * slopes[1]
    )


@functools.lru_cache(maxsize=32)
def integrated(tau: int, steps: int) -> Series:
    """Samples (steps,) of a series, from its beginning. Do not change what it returns.

    By Runge and Kutta's fourth order, which takes the past between two of its steps by
    interpolation.

    Args:
        tau: the delay of the equation, 17 to 30.
        steps: number of samples, of which ``STEPS_A_TIME`` are one Lyapunov time.
    """
    lyapunov_time, past = SERIES[tau]
    step, delay = 1 / _AN_INTEGER, tau * _AN_INTEGER
    count = int(steps * lyapunov_time / STEPS_A_TIME * _AN_INTEGER) + 2
    x, slopes = [past], [_slope(past, past)]
    for now in range(count):
        then = now - delay
        before = middle = after = past
        if then >= 0:
            before, after = x[then], x[then + 1]
            middle = _between((before, after), slopes[then : then + 2], step, 0.5)
        k1 = _slope(x[now], before)
        k2 = _slope(x[now] + step / 2 * k1, middle)
        k3 = _slope(x[now] + step / 2 * k2, middle)
        k4 = _slope(x[now] + step * k3, after)
        x.append(x[now] + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
        slopes.append(_slope(x[-1], after))
    places = np.arange(steps) * lyapunov_time / STEPS_A_TIME * _AN_INTEGER
    at, every, tangent = places.astype(int), np.array(x), np.array(slopes)
    ends = (every[at], every[at + 1]), (tangent[at], tangent[at + 1])
    return _between(*ends, step, places - at)


@register
@dataclass(frozen=True)
class MackeyGlassTask(CheckedSettings, Task):
    """The next sample of a chaotic series. Needs no download."""

    name = "mackey-glass"
    kind = "per_step"
    class_names = ("x",)
    targets = Targets((None,))

    tau: Annotated[int, Between(min(SERIES), max(SERIES))] = 17
    """The delay of the equation, 17 to 30."""
    offset: Annotated[float, Between(0, 30)] = 0.0
    """Lyapunov times after which training data begin; NeuroBench's runs are half a one apart."""
    window: Annotated[int, Between(WARM_UP + 1, TRAINING - _VALIDATION)] = 150
    """Steps of a training sequence."""
    stride: Annotated[int, Between(1, TRAINING)] = 30
    """From the beginning of one to the next."""

    def signal(self) -> ScaledPath:
        return ScaledPath(1)

    def series(self) -> Series:
        """The samples for training and then for testing, and one more: (1501,)."""
        first = round(self.offset * STEPS_A_TIME)
        steps = first + TRAINING + TESTING + 1
        return integrated(self.tau, steps)[first:]

    def load(self, split: SplitName, data_dir: Path | None = None) -> Split:
        """x (N, T, 1), y (N, T, 1) the sample after each step.

        Args:
            split: train, validation or test.
            data_dir: not used: the series is computed.
        """
        check_split(split)
        series, learnt = self.series(), TRAINING - _VALIDATION
        begins = {
            "train": range(0, learnt - self.window + 1, self.stride),
            "validation": [learnt - WARM_UP],
            "test": [TRAINING - WARM_UP],
        }[split]
        steps = {"train": self.window, "validation": _VALIDATION, "test": TESTING}[split]
        if split != "train":
            steps += WARM_UP
        known = series[:learnt]
        statistics = Statistics(
            *(np.array([number], np.float32) for number in (known.mean(), known.std()))
        )
        x = np.stack([series[begin : begin + steps] for begin in begins])[..., None]
        y = np.stack([series[begin + 1 : begin + steps + 1] for begin in begins])[..., None]
        y = y.astype(np.float32)
        y[:, :WARM_UP] = np.nan
        scaled = ((x - statistics.mean) / statistics.std).astype(np.float32)
        return Split(scaled, y, statistics=statistics).validate("mackey-glass", 1, 1)
