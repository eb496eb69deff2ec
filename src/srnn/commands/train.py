"""srnn train: train a recipe and write a run."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from ..errors import SrnnError

HELP = "train a recipe and write a run folder"
DESCRIPTION = """\
Train a recipe; write a run folder with the resolved recipe, metrics, checkpoints and result.

Every setting of the recipe can be given here by its dotted name:
  srnn train digits --training.epochs 5 --network.hidden "[32, 32]" --network.neuron.beta 0
'srnn recipes show NAME' prints a recipe with all its settings. A training that was stopped, even by kill -9,
goes on with the same command and --resume, to the same final weights.

A baseline on the same task, splits and sizes, for comparison:
  srnn train digits --baseline lstm
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="name of a shipped recipe (digits, paper/ecg) or a YAML file")
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="train this baseline on it instead: rnn, gru, lstm, bilstm, relu, lif, feedforward",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/RECIPE-sSEED-DATE)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of everything random (default: 0)")
    parser.add_argument("--data-dir", type=Path, metavar="D", help="folder with the data sets (default: SRNN_DATA)")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard files into the run folder")
    parser.set_defaults(overrides=[])


def run(arguments: argparse.Namespace) -> int:
    from ..recipes import load_recipe
    from ..runs import default_folder

    if arguments.resume and arguments.out is None:
        raise SrnnError("--resume needs the run folder to go on with: --out DIR.")
    if not 0 <= arguments.seed < 2**63:
        raise SrnnError(f"--seed must be between 0 and 2^63, not {arguments.seed}.")
    recipe = load_recipe(arguments.recipe, arguments.overrides, arguments.baseline)
    name = Path(arguments.recipe).with_suffix("").as_posix() + (f"-{arguments.baseline}" if arguments.baseline else "")
    out = arguments.out or default_folder(name, arguments.seed)

    from ..progress import reporter_for
    from ..training import train
    from .show import show_result

    try:
        result = train(
            recipe,
            out,
            seed=arguments.seed,
            data_dir=arguments.data_dir,
            resume=arguments.resume,
            reporter=reporter_for(arguments.json),
            tensorboard=arguments.tensorboard,
        )
    except KeyboardInterrupt:
        words = ["srnn", "train", arguments.recipe, "--out", str(out), "--seed", str(arguments.seed), "--resume"]
        if arguments.baseline is not None:
            words += ["--baseline", arguments.baseline]
        if arguments.data_dir is not None:
            words += ["--data-dir", str(arguments.data_dir)]
        print(f"srnn: stopped; go on with: {shlex.join([*words, *arguments.overrides])}", file=sys.stderr)
        return 130
    if arguments.json:
        print(json.dumps(result))
    else:
        as_baseline = f" as {arguments.baseline}" if arguments.baseline else ""
        show_result(result, f"{arguments.recipe}{as_baseline}, best checkpoint on validation")
    return 0
