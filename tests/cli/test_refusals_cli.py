"""Words of a command that are refused: by kind and field. How a mistake is printed is tested in
test_parsing.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from srnn.errors import Kind, command_line
from support.commands import parse
from support.refusing import Refusal, refusals, refuses


def srnn(words: str) -> Callable[[Path], object]:
    """Calls ``srnn WORDS``, where ``{}`` stands for a new empty folder."""

    def call(folder: Path) -> object:
        with command_line():
            return parse([word.replace("{}", str(folder)) for word in words.split()]).run()

    return call


TRAIN = "train digits --out {}/run"
REFUSALS = [
    # Names of commands, and of their parts.
    Refusal("trian", "name", srnn("trian"), "'train'"),
    Refusal("evalute", "name", srnn("evalute x --json"), "'evaluate'"),
    Refusal("frobnicate", "name", srnn("frobnicate"), "There are: adapt, compress, data, "),
    Refusal("onxx", "name", srnn("export onxx x"), "'onnx'"),
    Refusal("rust", "name", srnn("export rust m"), "There are: c, nir, onnx, web"),
    Refusal("fecth", "name", srnn("data fecth shd"), "'fetch'"),
    Refusal("command", "missing", srnn("import"), "srnn import nir"),
    Refusal("command", "missing", srnn("--json info")),
    # Arguments.
    Refusal("RECIPE", "missing", srnn("train")),
    Refusal("MODEL", "missing", srnn("evaluate --full")),
    Refusal("SOURCE", "missing", srnn("stream m")),
    Refusal("NAME", "missing", srnn("data info")),
    Refusal("y", "name", srnn("stream m x y")),
    Refusal("digits", "name", srnn("recipes list digits")),
    Refusal("mnist", "name", srnn("data list mnist")),
    Refusal("data_set", "name", srnn("data info mnits"), "'mnist'"),
    Refusal("recipe", "name", srnn("train digit --out {}/run"), "'digits'"),
    Refusal("recipe", "name", srnn("train resonate/ecg-brf --out {}/run")),
    Refusal("{}", "missing", srnn("evaluate {}")),
    # Options.
    Refusal("sede", "name", srnn(f"{TRAIN} --sede 3"), "'--seed'"),
    Refusal("no_full", "name", srnn("evaluate m --no-full"), "'--full'"),
    Refusal("-x", "name", srnn("info -x")),
    Refusal("force", "name", srnn("data verify mnist --force")),
    Refusal("seed", "value", srnn(f"{TRAIN} --seed -1")),
    Refusal("seed", "value", srnn("evaluate m --seed five")),
    Refusal("seed", "value", srnn("evaluate m --seed 1.5")),
    Refusal("seed", "conflict", srnn("evaluate m --seed 1 --seed 2")),
    Refusal("seed", "missing", srnn("evaluate m --seed")),
    Refusal("full", "value", srnn("evaluate m --full=3")),
    Refusal("split", "value", srnn("evaluate x --split tets"), "'test'"),
    Refusal("sparsity", "value", srnn("compress m --sparsity a")),
    Refusal("state_bits", "value", srnn("compress m --state-bits 12")),
    Refusal("input", "value", srnn("stream m x.csv --input sound")),
    # Settings of a recipe.
    Refusal("batch_size", "name", srnn(f"{TRAIN} --batch_size 3"), "'--training.batch_size'"),
    Refusal("training.epoch", "name", srnn(f"{TRAIN} --training.epoch 3"), "'training.epochs'"),
    Refusal("training.epochs", "value", srnn(f"{TRAIN} --training.epochs three")),
    Refusal("training.epochs", "value", srnn("train digits --epochs three")),
    Refusal("training.device", "value", srnn("train digits --device tpu")),
    Refusal("training.device", "value", srnn(f"{TRAIN} --training.device mps")),
    Refusal("training.epochs", "name", srnn("info --training.epochs 3")),
    Refusal("task.options.rule", "name", srnn("evaluate {} --task.options.rule difference")),
    Refusal("task.options.rule", "missing", srnn("train paper/ecg --task.options.rule")),
    # Options that do not go together, or belong to another form of the command.
    Refusal("out", "missing", srnn("train digits --resume")),
    Refusal("full", "conflict", srnn("evaluate m --no-exit")),
    Refusal("no_exit", "conflict", srnn("evaluate m --full --no-exit --exit-loss 1")),
    Refusal("live", "conflict", srnn("evaluate m --live --full")),
    Refusal("noise", "value", srnn("evaluate m --noise 3")),
    Refusal("noise", "value", srnn("evaluate m --live --noise 300")),
    Refusal("false_accepts", "value", srnn("evaluate m --live --false-accepts -1")),
    Refusal("full", "conflict", srnn("evaluate a b --full")),
    Refusal("models", "value", srnn("evaluate a a")),
    Refusal("csv", "conflict", srnn("predict m x --csv --json")),
    Refusal("feedback", "conflict", srnn("adapt m --out o --feedback random")),
    Refusal("limit", "value", srnn("adapt m --out o --limit 0")),
    Refusal("data", "conflict", srnn("evaluate m --rate 100")),
    Refusal("out", "missing", srnn("compress m --overwrite")),
    Refusal("sparsity", "conflict", srnn("compress m --gradual 0.5")),
    Refusal("what", "conflict", srnn("compress m --what dead --epochs 3 --out o")),
    Refusal("sparsity", "missing", srnn("compress m --what weights --out o")),
    Refusal("what", "conflict", srnn("compress m --what neurons --sparsity 0.5 --scope layer")),
    Refusal("samples", "conflict", srnn("report a b --samples 3 --out x.html")),
    Refusal("no_exit", "conflict", srnn("report a --title x --no-exit")),
    Refusal("port", "value", srnn("serve m --port 99999")),
    Refusal("token_file", "conflict", srnn("serve m --token-file t --new-token")),
    Refusal("models", "value", srnn("serve a=ecg-records a=ecg")),
    Refusal("models", "value", srnn("serve a/b=ecg-records")),
    Refusal("inputs", "value", srnn("export c ecg-records --out {}/o --inputs many")),
    Refusal("out", "conflict", srnn("import nir x.nir --overwrite")),
    Refusal("job", "value", srnn("sweep digits-surrogates --job x")),
    Refusal("workers", "value", srnn("sweep digits-surrogates --workers 0")),
    Refusal("{}/out", "missing", srnn("sweep digits-surrogates --out {}/out --report")),
    Refusal("name", "missing", srnn("models --example x")),
    Refusal("example", "value", srnn("models ecg-records --example {}/x.txt")),
    Refusal("timit", "unsupported", srnn("data fetch timit")),
    # The energy of recipes.
    Refusal("{}", "missing", srnn("energy {}")),
    Refusal("recipe", "name", srnn("energy digitz")),
    Refusal("baseline", "name", srnn("energy digits --baselines lstn")),
    Refusal("paper/ecg-code", "conflict", srnn("energy digits paper/ecg-code")),
    Refusal("input_rate", "conflict", srnn("energy digits --input-rate 0.1")),
    Refusal("rates", "value", srnn("energy digits --rates 2")),
    Refusal("rates", "value", srnn("energy paper/ecg-code --rates 0.3, --input-rate 0.1")),
    Refusal("rates", "value", srnn("energy digits --rates 0.1,0.1,0.1,0.1"), "hidden layer"),
    Refusal("rates", "conflict", srnn("energy paper/ecg-lstm --rates 0.1")),
    Refusal("input_rate", "value", srnn("energy digits --rates 0.1 --input-rate x")),
    Refusal("data", "conflict", srnn("energy digits --rates 0.1 --data {}")),
    Refusal("data", "conflict", srnn("energy paper/ecg-code --data {}")),
    Refusal("technology", "name", srnn("energy digits --technology abacus")),
    # What belongs to another kind of source.
    Refusal("block", "value", srnn("stream m x.csv --block 0")),
    Refusal("block", "value", srnn("stream m - --block 99999999999999999999")),
    Refusal("format", "conflict", srnn("stream m x.csv --format int16")),
    Refusal("device", "conflict", srnn("stream m x.csv --device 3")),
    Refusal("channels", "conflict", srnn("stream m - --format int16 --channels a")),
    Refusal("rate", "conflict", srnn("stream m mic --rate 3")),
    Refusal("real_time", "conflict", srnn("stream m - --real-time")),
    Refusal("state", "conflict", srnn("stream m x.csv --words --state s")),
    Refusal("{}/nowhere/s", "file", srnn("stream m x.csv --state {}/nowhere/s")),
    Refusal("{}", "file", srnn("stream m x.csv --state {}")),
    Refusal("/dev/full", "file", srnn("stream m x.csv --state /dev/full")),
]


@refusals(REFUSALS)
def test_refusals(refusal: Refusal, tmp_path: Path) -> None:
    refusal.check(tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("words", "field", "kind"),
    [
        ("--mean 1", "std", "missing"),
        ("--mean 1 --std x", "std", "value"),
        ("--mean 1 --std 1 --calibrate 3", "calibrate", "conflict"),
        ("--gain 1 --calibrate 3", "calibrate", "conflict"),
        ("--real-time", "real_time", "conflict"),
        ("--exit", "policy", "missing"),
    ],
)
def test_options_of_a_decoder_are_refused(
    run: str, words: str, field: str, kind: Kind, tmp_path: Path
) -> None:
    with refuses(field, kind):
        srnn(f"stream {run} x.csv {words}")(tmp_path)
