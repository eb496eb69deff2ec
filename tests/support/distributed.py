"""What several processes train to the weights of one: imported by the tests and by the processes
that they start."""

from __future__ import annotations

from srnn.training.recipes import as_baseline
from support.tiny import TinyStepTask, TinyTask, tiny_recipe

# A large eps: Adam divides by the size of a gradient, and of one that is 0 but for rounding it
# would make a full step.
COMMON = ("--training.epochs=2", "--training.optimizer.eps=1e-3")
STEPS = ("--loss.name=nll", "--loss.start=2", "--training.batch_size=59")
"""60 sequences in batches of 59: in the last batch one of two processes has none."""

NORM = ("--network.hidden=[5,4]", "--network.norm=[{gamma: 2, detach: false}, batch]")


def cases() -> dict:
    """What is trained by one process and by two: (recipe, task)."""
    rate = ("--loss.rate.weight=1", "--loss.rate.target=0.1", "--loss.rate.upper=0.2")
    return {
        "rate": (tiny_recipe(*COMMON, *rate, "--training.batch_size=59"), TinyTask(padded=True)),
        "mean": (
            tiny_recipe(
                *COMMON, *STEPS, "--loss.unlabelled=mask", "--training.class_weights=balanced"
            ),
            TinyStepTask(padded=True),
        ),
        "sum": (
            tiny_recipe(*COMMON, *STEPS, "--loss.unlabelled=as_class", "--loss.reduction=sum"),
            TinyStepTask(),
        ),
        "both-ends": (
            tiny_recipe(
                *COMMON,
                "--network.bidirectional=true",
                "--network.hidden=[5,4]",
                "--training.dropout=0.2",
            ),
            TinyTask(padded=True),
        ),
        "norm": (
            tiny_recipe(*COMMON, *NORM, "--training.batch_size=59", "--training.average=0.9"),
            TinyTask(padded=True),
        ),
        "lstm": (as_baseline(tiny_recipe(*COMMON), "lstm"), TinyTask()),
    }
