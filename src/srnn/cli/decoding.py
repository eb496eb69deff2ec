"""What ``srnn stream`` and ``srnn serve`` share: the options of a decoder, and the decoder that they describe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import SrnnError

if TYPE_CHECKING:
    from ..data.tasks import Task
    from ..deploy.streaming import Decoder
    from ..measure.analysis.policy import ExitPolicy
    from ..training.trained import Trained

_SETTINGS = {"mean": "scale", "std": "scale", "gain": "gain", "calibrate": "calibration", "exit": "exit"}
"""What an option sets in a decoder."""


def add_decoder_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that ``load_decoder`` reads, besides the run and the input's form."""
    parser.add_argument(
        "--segment", type=float, metavar="S",
        help="begin a new sequence every S seconds (or steps, if the input is not in time); 0: never (default: the "
        "median length of training sequences, if each has one label)",
    )  # fmt: skip
    parser.add_argument(
        "--exit",
        nargs="?",
        const="",
        metavar="FILE",
        help="decide early, by this policy (default: the model's own)",
    )
    parser.add_argument(
        "--mean", metavar="M,M", help="ECG: mean of each lead, in the unit of the signal (not with scale: running)"
    )
    parser.add_argument("--std", metavar="S,S", help="ECG: standard deviation of each lead")
    parser.add_argument(
        "--gain", type=float, metavar="G", help="cochlea: factor on sound of full scale 1 (docs/cochlea.md)"
    )
    parser.add_argument(
        "--calibrate", type=float, metavar="S",
        help="ECG, cochlea: take scale or gain from the first S seconds (default: 5)",
    )  # fmt: skip


def load_decoder(arguments: argparse.Namespace, trained: Trained) -> Decoder:
    """The decoder of a network that the options describe."""
    from ..deploy.streaming import Decoder

    if (arguments.mean is None) != (arguments.std is None):
        raise SrnnError("Give --mean and --std together.")
    for option, given in (("--mean and --std", arguments.mean), ("--gain", arguments.gain)):
        if given is not None and arguments.calibrate is not None:
            raise SrnnError(
                f"--calibrate takes from the signal what {option} would set; remove {option} or --calibrate."
            )
    scale = None
    if arguments.mean is not None:
        scale = numbers("--mean", arguments.mean), numbers("--std", arguments.std)
    return Decoder.of(
        trained, form=arguments.form, data_dir=arguments.data_dir, scale=scale, calibration=arguments.calibrate,
        gain=arguments.gain, segment=arguments.segment, policy=_policy(arguments.exit, trained),
    )  # fmt: skip


def _policy(exit: str | None, trained: Trained) -> ExitPolicy | None:
    """The policy that --exit names: a file's, or ("") the model's own."""
    from ..measure.analysis.policy import ExitPolicy

    if exit is None:
        return None
    if exit:
        return ExitPolicy.load(Path(exit))
    if trained.policy is None:
        raise SrnnError(
            f"{trained.name} has no exit policy: 'srnn evaluate RUN --full' chooses one on validation, or name a file."
        )
    return ExitPolicy.from_dict(dict(trained.policy), f"The exit policy of {trained.name}")


def without_others(arguments: argparse.Namespace, task: Task) -> tuple[argparse.Namespace, list[str]]:
    """The arguments without options that cannot apply to a task's networks, and the names of those that were left out."""
    possible = task.live(arguments.form).settings | ({"exit"} if task.kind == "per_sequence" else set())
    left, others = argparse.Namespace(**vars(arguments)), []
    for name, setting in _SETTINGS.items():
        if setting not in possible and getattr(arguments, name) is not None:
            setattr(left, name, None)
            others.append(f"--{name}")
    return left, others


def numbers(option: str, text: str) -> list[float]:
    """The comma-separated numbers of an option. SrnnError, which names the option, for anything else."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SrnnError(f"{option} takes comma-separated numbers, such as 0.1,0.2, not {text!r}.") from None
