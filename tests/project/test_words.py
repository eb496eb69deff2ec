"""The words of the messages that most people will see: each whole, as it is printed or raised.

Other tests assert what an error is about (``kind`` and ``field``); what it says is stated here only.
``{}`` stands for an empty folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import srnn
from srnn import SrnnError
from srnn.cli.main import main
from srnn.data.recordings import Recording

COMMANDS = {
    "train digit --out {}/r": "There is no recipe 'digit', and no file or folder of data. Did you mean 'digits'?",
    "train digits --batch_size 3": "Unknown option --batch_size. Did you mean '--training.batch_size'?",
    "train digits --training.epoch 3": "digits: unknown key 'training.epoch'. Did you mean 'training.epochs'?",
    "train digits --training.epochs many": (
        "digits: 'training.epochs' must be an integer from 1 to 10,000,000, not 'many'."
    ),
    "train digits --resume": "--resume needs the run folder to resume: --out DIR.",
    "train paper/shd --data-dir {}": (
        "shd_train.h5 was not found under {}: get it with 'srnn data fetch shd' and 'srnn data prepare "
        "shd', or choose another data folder (--data-dir or SRNN_DATA)."
    ),
    "evaluate {}/none": "{}/none was not found: name a run folder, a model's file, or a pretrained network.",
    "evaluate {}": "{} is not a run: it has no recipe.yaml. Name the folder that 'srnn train' wrote.",
    "evaluate digits --split tset": "--split cannot be 'tset'. Did you mean 'test'?",
    "predict ecg-record x.csv": (
        "ecg-record was not found: name a run folder, a model's file, or a pretrained network. Did you "
        "mean 'ecg-records'?"
    ),
    "predict ecg-records {}/none.csv": (
        "{}/none.csv was not found. Name a .wav, .csv, .npy, .npz or WFDB file; srnn stream reads a pipe "
        "as -."
    ),
    "predict": (
        "MODEL is missing: a run folder written by 'srnn train', a model's file, or a pretrained network "
        "('srnn models') (see: srnn predict --help)."
    ),
    "predit ecg-records x.csv": "'srnn' has no command 'predit'. Did you mean 'predict'?",
    "stream ecg-records x.csv --block 0": "'--block' must be an integer from 1 to 2,147,483,647, not 0.",
    "serve ecg-records --host 0.0.0.0": (
        "On 0.0.0.0 others can reach this server: give it a token (--new-token, --token-file FILE), or "
        "use 127.0.0.1."
    ),
    "export c ecg-records --out {} --int9": "Unknown option '--int9'. Did you mean '--inputs'?",
    "data info mnits": "There is no data set 'mnits'. Did you mean 'mnist'?",
    "sweep nosweep": "There is no sweep 'nosweep', and no file. See 'srnn sweep list'.",
    "energy ecg-records --technology 7nm": (
        "There is no technology '7nm', and no such file. There are: horowitz-45nm, horowitz-45nm-dram, "
        "horowitz-45nm-int8."
    ),
}


@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_says(words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.replace("{}", str(tmp_path)).split()) == 2
    printed = capsys.readouterr().err.replace(str(tmp_path), "{}")
    assert printed == f"srnn: {COMMANDS[words]}\n"


X = np.random.default_rng(0).normal(size=(24, 8, 2)).astype("f4")
Y = np.arange(24) % 2
NETWORK = srnn.SRNN(2, [4], 3)


def ecg() -> srnn.Model:
    return srnn.load("ecg-records")


def of_file(content: bytes) -> Callable[[Path], Any]:
    def call(folder: Path) -> Any:
        (folder / "x.csv").write_bytes(content)
        return ecg().predict(folder / "x.csv")

    return call


def of_damage(folder: Path) -> Any:
    (folder / "model.safetensors").write_bytes(b"hello")
    return srnn.load(folder / "model.safetensors")


def of_a_folder_in_use(folder: Path) -> Any:
    (folder / "mine.txt").write_text("x")
    return ecg().export(folder)


def of_equations(_: Path) -> Any:
    @dataclass(frozen=True)
    class Odd(srnn.Neuron):
        name: ClassVar[str] = "odd_for_words"
        taus: ClassVar[tuple[str, ...]] = ()
        threshold: srnn.Init = srnn.Init("constant", 1.0)
        trained: tuple[str, ...] = ()

        @staticmethod
        def step(u: Any, s: Any, current: Any, threshold: Any) -> Any:
            u = torch.sin(u) + current
            return u, u - threshold

        def derive(self, **parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (parameters["threshold"],)

    return srnn.SRNN(2, [3], 2, neuron=Odd())


CALLS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no epochs": (
        lambda _: srnn.fit(X, Y, epochs=0),
        "srnn.fit: 'epochs' must be an integer from 1 to 10,000,000, not 0.",
    ),
    "fewer labels": (lambda _: srnn.fit(X, Y[:3]), "x has 24 sequences, and y has 3 labels."),
    "one class": (
        lambda _: srnn.fit(X, Y * 0),
        "folder has only one class, 0; a network tells classes apart, so give two or more.",
    ),
    "two groups": (
        lambda _: srnn.fit(X, Y, groups=["a", "b"] * 12),
        "The data: 2 groups (speakers, subjects), a, b: too few to hold out 15% for validation and 20% for "
        "testing; at least 3 are needed, or smaller fractions.",
    ),
    "nothing to resume": (
        lambda _: srnn.fit(X, Y, resume=True),
        "resume continues the run in a folder: name it with out.",
    ),
    "labelled anomalies": (
        lambda _: srnn.fit_anomalies(X, y=Y),
        "fit_anomalies takes normal recordings in memory, without labels, and a fraction of them for "
        "validation.",
    ),
    "a folder without classes": (
        lambda folder: srnn.fit(folder),
        "{} holds no folders of sound (.wav, .flac, .sph, .nist) or sensor files (.csv, .npy, .npz), one for "
        "each class. A table with the columns file,label may name the classes instead, or a column 'label' "
        "in each file.",
    ),
    "a damaged model": (
        of_damage,
        "{}/model.safetensors is not a checkpoint of srnn, or it is damaged.",
    ),
    "words in a table": (
        of_file(b"time,ax\n0,hello\n"),
        "{}/x.csv, line 2: '0,hello' is not a row of numbers (column 2 is 'hello'); write decimal points, put "
        "'#' before lines that do not belong to the table, and remove columns of words.",
    ),
    "a time without a unit": (
        of_file(b"timestamp,I,II\n0,1,2\n1,2,3\n"),
        "{}/x.csv, line 1: the first column is called 'timestamp', a time whose unit is not understood; call "
        "it time (in seconds), time_ms, time_us or time_ns, or remove it.",
    ),
    "an empty file": (of_file(b""), "{}/x.csv is empty (0 bytes)."),
    "turned axes": (
        lambda _: ecg().predict(np.zeros((2, 700))),
        "The signal has 700 channels; this network reads 2 leads of ECG at 250 Hz (in mV). Give it as "
        "(samples, channels), x.T.",
    ),
    "another unit": (
        lambda _: ecg().predict(Recording(np.zeros((300, 2)), 250.0, ("I", "II"), ("g", "g"))),
        "The signal: channel I is in g, and this network reads it in mV (it has I, II in g): choose other "
        "channels (channels), or correct the unit.",
    ),
    "a gap in a stream": (
        lambda _: ecg().stream(missing="refuse").push(np.full((4, 2), np.nan)),
        "Sample 0 is not finite in channel 0 (counted from 0); repair or drop it.",
    ),
    "another shape": (
        lambda _: NETWORK(np.zeros((2, 5, 7), "f4")),
        "Expected an input of shape (batch, time, 2), got (2, 5, 7).",
    ),
    "not finite": (
        lambda _: NETWORK.run(np.full((2, 5, 2), np.nan, "f4"), check=True),
        "The input is not finite: sequence 0, step 0, channel 0 is nan.",
    ),
    "no such neuron": (
        lambda _: srnn.SRNN(2, [4], 3, neuron="adlff"),
        "Unknown neuron 'adlff'. Did you mean 'adlif'? Your own have a name once their class is defined: "
        "import its module first.",
    ),
    "other classes": (
        lambda _: srnn.from_network(NETWORK, "ab"),
        "The network has 2 inputs and 3 outputs; the signal gives 2, and classes names 2.",
    ),
    "a stream of both directions": (
        lambda _: srnn.from_network(srnn.SRNN(2, [4], 3, bidirectional=True), "abc").stream(),
        "A stream cannot take this network: layers.0 is bidirectional and needs the whole sequence; train a "
        "network that reads forwards only; ONNX's sequence form takes this one.",
    ),
    "another format": (
        lambda folder: ecg().export(folder / "c", "tflite"),  # type: ignore[arg-type]
        "'format' must be one of c, int8, onnx, nir, web, not 'tflite'.",
    ),
    "another option": (
        lambda folder: ecg().export(folder / "c", widht=3),
        "The export as 'c' has no option 'widht'. Its options are: name, inputs_as, state_bits, std, counts, "
        "layout, learn, overwrite.",
    ),
    "a folder that is in use": (
        of_a_folder_in_use,
        "The output folder {} is not empty; choose another out.",
    ),
    "a keyword of C": (
        lambda folder: ecg().export(folder / "c", name="int"),
        "A library cannot be called 'int', which is a keyword of C, a device of Windows, or a file, target or "
        "header that the library needs; choose another name.",
    ),
    "no such layout": (
        lambda folder: ecg().export(folder / "c", layout="ardiuno"),
        "'layout' must be one of plain, arduino, platformio, zephyr, espidf, web, not 'ardiuno'. Did you mean "
        "'arduino'?",
    ),
    "int8 without ranges": (
        lambda folder: srnn.from_network(srnn.SRNN.paper(2, [4], 3), "abc").export(
            folder / "c", "int8"
        ),
        "model does not say what its inputs are like, which int8 must know; state their largest value with "
        "inputs_as=InputFormat(largest) of srnn.nn.fixedpoint.integer.",
    ),
    "delays that learn": (
        lambda folder: srnn.load("smnist-delays").export(folder / "c", learn="readout"),
        "A network with delays cannot learn in C; export it without learn, or adapt it by bptt "
        "(srnn.training.adapting).",
    ),
    "equations that cannot be recorded": (
        of_equations,
        "The equations of of_equations.<locals>.Odd.step cannot be recorded (sin(): argument 'input' "
        "(position 1) must be Tensor, not Node); they may use + - * /, comparisons, and exp, absolute, "
        "positive_part and unit_step from srnn.nn.arithmetic.",
    ),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore")
def test_a_call_says(name: str, tmp_path: Path) -> None:
    call, message = CALLS[name]
    with pytest.raises(SrnnError) as caught:
        call(tmp_path)
    assert str(caught.value).replace(str(tmp_path), "{}") == message
