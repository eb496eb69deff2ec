"""What ``srnn stream`` and ``srnn serve`` share: the options of a decoder, and the decoder that
they describe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import SrnnError
from .options import RARE, Form

if TYPE_CHECKING:
    from ..data.tasks import Task
    from ..deploy.streaming import Decoder
    from ..model.exit_policy import ExitPolicy
    from ..model.trained import Trained

_SETTINGS = {
    "mean": "scale",
    "std": "scale",
    "gain": "gain",
    "calibrate": "calibration",
    "exit": "exit",
}
"""What an option sets in a decoder."""


@Parameter(name="*", group=RARE)
@dataclass(frozen=True)
class DecoderOptions:
    """Options of a decoder, besides the run and the input's form.

    Args:
        segment: begin a new sequence every so many seconds (or steps, if the input is not in time);
            0: never (default: a file is one sequence; what may never end is cut to the median
            length of training sequences, if each has one label)
        exit: decide early, by the policy in this file, or by the model's own if no file is named
        mean: ECG: mean of each lead, in the unit of the signal, as 0.1,0.2 (not with scale:
            running)
        std: ECG: standard deviation of each lead
        gain: cochlea: factor on sound of full scale 1 (docs/cochlea.md)
        calibrate: ECG, cochlea: take scale or gain from so many seconds at the beginning (default:
            5)
    """

    segment: float | None = None
    exit: Annotated[str | bool, Parameter(metavar="[FILE]")] = False
    mean: str | None = None
    std: str | None = None
    gain: float | None = None
    calibrate: float | None = None

    def decoder(self, trained: Trained, form: Form, data_dir: Path | None) -> Decoder:
        """The decoder of a network that the options describe.

        Args:
            trained: the network.
            form: what the input is.
            data_dir: where training data are, for a network that lacks their statistics.

        Returns:
            The decoder.

        Raises:
            SrnnError: ``missing`` or ``conflict``: options do not go together, or there is no exit
                policy.
        """
        from ..deploy.streaming import Decoder

        if (self.mean is None) != (self.std is None):
            raise SrnnError(
                "Give --mean and --std together.", "missing", "mean" if self.mean is None else "std"
            )
        for option, given in (("--mean and --std", self.mean), ("--gain", self.gain)):
            if given is not None and self.calibrate is not None:
                raise SrnnError(
                    f"--calibrate takes from the signal what {option} "
                    f"would set; remove {option} or --calibrate.",
                    "conflict",
                    "calibrate",
                )
        scale = None
        if self.mean is not None and self.std is not None:
            scale = numbers("--mean", self.mean), numbers("--std", self.std)
        return Decoder.of(
            trained,
            form=form,
            data_dir=data_dir,
            scale=scale,
            calibration=self.calibrate,
            gain=self.gain,
            segment=self.segment,
            missing="refuse",  # a source fills its gaps, and what a service is sent has to be finite
            policy=self._policy(trained),
        )

    def _policy(self, trained: Trained) -> ExitPolicy | None:
        """The policy that --exit names: a file's, or the model's own."""
        from ..model.exit_policy import ExitPolicy

        if isinstance(self.exit, str):
            return ExitPolicy.load(Path(self.exit))
        if not self.exit:
            return None
        policy = ExitPolicy.of(trained)
        if policy is None:
            raise SrnnError(
                f"{trained.name} has no exit policy: 'srnn evaluate RUN "
                "--full' chooses one on validation, or name a file.",
                "missing",
                "policy",
            )
        return policy

    def of_task(self, task: Task, form: Form) -> tuple[DecoderOptions, list[str]]:
        """The options that can apply to a task's networks.

        Args:
            task: the task.
            form: what the input is.

        Returns:
            The options, and the names of those that were left out.
        """
        possible = set(task.live(form).settings)
        if task.kind == "per_sequence":
            possible.add("exit")
        others = [
            name
            for name, setting in _SETTINGS.items()
            if setting not in possible and getattr(self, name) not in (None, False)
        ]
        left: dict[str, Any] = {name: getattr(DecoderOptions, name) for name in others}
        return replace(self, **left), [f"--{name}" for name in others]


DEFAULT_DECODING = DecoderOptions()


def numbers(option: str, text: str) -> list[float]:
    """The comma-separated numbers of an option.

    Args:
        option: its name, for the message.
        text: its value.

    Returns:
        The numbers.

    Raises:
        SrnnError: ``value``, about the option.
    """
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SrnnError(
            f"{option} takes comma-separated numbers, such as 0.1,0.2, not {text!r}.",
            "value",
            option,
        ) from None
