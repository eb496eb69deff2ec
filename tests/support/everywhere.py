"""The ways out of a model that are no Python with torch: a C program with its float32 and its int8
library, its pages, and a process without torch. Each says all that it can of a recording.

The program calls the functions of which NAME_push is made, and compares what that says itself.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srnn.deploy.c.arrays import DTYPES
from srnn.deploy.c.encoder import CrossingPlan
from srnn.deploy.c.plan import Plan, make_plan
from srnn.deploy.export.model import export_c, export_web, with_exit
from srnn.nn.fixedpoint.alarm import IntegerAlarm
from srnn.nn.fixedpoint.decision import (
    IntegerLinear,
    integer_confidences,
    integer_scales,
    integer_scores,
    integer_stands,
    integer_values,
)
from srnn.nn.fixedpoint.device import device_network
from srnn.nn.fixedpoint.integer import IntegerNetwork, quantise
from srnn.nn.loss_config import DecisionRule
from support.compiled import FLAGS, compile_c
from support.pages_in_node import run_in_page
from support.random_models import PER_UNIT, Case
from support.without_torch import FORBIDDING

_LIBRARY = """\
#include "NET/NET.h"

static NET_model NET_whole, NET_other;
static int NET_said;

static void NET_say(const NET_input *input)
{
    ANSWER_TYPE answer[NET_NUM_CLASSES] = {0}, confidence = 0;
    double score = 0;
    int32_t label = 0, stands = 0, alarm = 0;

    NET_answer(&NET_whole, input);
    NET_said = 1;
SAID
    fwrite(input, sizeof *input, NET_INPUTS, stdout);
    fwrite(NET_whole.scores, sizeof NET_whole.scores, 1, stdout);
    fwrite(answer, sizeof answer, 1, stdout);
    fwrite(&confidence, sizeof confidence, 1, stdout);
    fwrite(&score, sizeof score, 1, stdout);
    fwrite(&label, sizeof label, 1, stdout);
    fwrite(&stands, sizeof stands, 1, stdout);
    fwrite(&alarm, sizeof alarm, 1, stdout);
}

static void NET_run(void)
{
    SAMPLE sample[NET_CHANNELS];
    THRESHOLDS

    memset(&NET_other, 0x55, sizeof NET_other); /* whatever it was */
    NET_begin(&NET_whole MORE);
    NET_begin(&NET_other MORE);
    while (fread(sample, sizeof sample, 1, stdin) == 1) {
        NET_said = 0;
        PUSH
        if (NET_push(&NET_other, sample) != NET_said)
            exit(3);
        if (NET_said && (memcmp(NET_other.scores, NET_whole.scores, sizeof NET_whole.scores) DIFFERS))
            exit(4);
    }
    END
}

"""
_HEADERS = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
_MAIN = """\
int main(int argc, char **argv)
{
    if (argc == 2 && *argv[1] == 'p')
        plain_run();
    else
        small_run();
    return fflush(stdout) != 0;
}
"""
_READY = "while (NET_encode(&NET_whole.encoder, NET_whole.input)) NET_say(NET_whole.input);"


def _library(plan: Plan, decision: DecisionRule) -> str:
    """The part of the program that runs a library."""
    said = ["label = NET_whole.label;"]
    differs = "|| strcmp(NET_label(&NET_other), NET_CLASSES[NET_whole.label])"
    if decision.loss.rule.value:
        differs = "|| memcmp(NET_other.values, NET_whole.values, sizeof NET_whole.values)"
        said = ["for (int i = 0; i < NET_NUM_CLASSES; i++)", "    answer[i] = NET_whole.values[i];"]
    if decision.alarm is not None:
        said += ["score = (double)NET_whole.decision.score;", "alarm = NET_whole.decision.alarm;"]
    assert plan.decision is not None
    if plan.decision.has_confidence:
        said += ["confidence = NET_confidence(&NET_whole.decision);"]
    if plan.decision.stands:
        said += ["stands = NET_whole.stands;"]
        differs += " || NET_other.stands != NET_whole.stands"
    encoder, push, end, more, thresholds = plan.encoder, "NET_say(sample);", "", "", ""
    if plan.samples.statistics is not None:
        push = "if (NET_take(&NET_whole, sample)) NET_say(NET_whole.input);"
    if encoder is not None:
        push = f"NET_encoder_push(&NET_whole.encoder, sample);\n        {_READY}"
        if encoder.ends:
            end = f"NET_encoder_end(&NET_whole.encoder);\n    {_READY}"
        if isinstance(encoder, CrossingPlan) and not encoder.running:
            thresholds = "static const SAMPLE up[] = NET_UP, down[] = NET_DOWN;"
            more = ", up, down"
    text = _LIBRARY.replace("SAID", "\n".join(f"    {line}" for line in said))
    text = text.replace("DIFFERS", differs)
    text = text.replace("PUSH", push).replace("END", end).replace(" MORE", more)
    text = text.replace("THRESHOLDS", thresholds).replace("SAMPLE", plan.signal.sample)
    return (
        text.replace("ANSWER_TYPE", plan.number)
        .replace("NET_NUM", f"{plan.name.upper()}_NUM")
        .replace("NET_CLASSES", f"{plan.name.upper()}_CLASSES")
        .replace("NET_INPUTS", f"{plan.name.upper()}_INPUTS")
        .replace("NET_CHANNELS", f"{plan.name.upper()}_CHANNELS")
        .replace("NET_UP", f"{plan.name.upper()}_UP")
        .replace("NET_DOWN", f"{plan.name.upper()}_DOWN")
        .replace("NET", plan.name)
    )


@dataclass
class Devices:
    """The compiled program."""

    path: Path
    plans: dict[str, Plan]

    def __call__(self, library: str, samples: np.ndarray) -> Any:
        """Samples (T, channels) as a library takes them -> what it says after each step."""
        plan = self.plans[library]
        raw = np.ascontiguousarray(samples, DTYPES[plan.signal.sample])
        assert (raw == samples).all(), "a sample does not fit its C type"
        command = [self.path, library]
        done = subprocess.run(command, input=raw.tobytes(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        number, net = DTYPES[plan.number], plan.network
        assert plan.decision is not None
        record = [
            ("input", DTYPES[plan.input], net.inputs),
            ("output", number, net.outputs),
            ("answer", number, len(plan.decision.rule.classes)),
            ("confidence", number),
            ("score", "f8"),
            ("label", "i4"),
            ("stands", "i4"),
            ("alarm", "i4"),
        ]
        return np.frombuffer(done.stdout, np.dtype(record))


def devices(case: Case, folder: Path, compiler: str, *flags: str) -> Devices:
    """Export both libraries and compile the program."""
    given, decision, text, plans = case.given, with_exit(case.model), _HEADERS, {}
    for name, format in (("plain", "float32"), ("small", "int8")):
        std, options = given.std, {}
        if format == "int8":
            options = {"state_bits": case.state_bits}
        if format == "int8" and std is not None:  # in the unit of the samples
            std = tuple(one * PER_UNIT for one in std)
        export_c(case.model, folder / name, format, name=name, std=std, **options)  # type: ignore[arg-type]
        net = device_network(case.model.spiking("exported"), _encoder(case, std))
        if format == "int8":
            net = quantise(net, given.inputs_as, case.model.state_format(case.state_bits))
        plans[name] = make_plan(net, name, decision)
        text += _library(plans[name], decision)
    (folder / "driver.c").write_text(text + _MAIN)
    sources = [folder / "driver.c", *(folder / name / f"{name}.c" for name in plans)]
    kept = [flag for flag in (*FLAGS, *flags) if flag not in ("-O2", "-g")]
    compile_c([compiler, *kept], sources, folder / "driver")
    return Devices(folder / "driver", plans)


def _encoder(case: Case, std: tuple[float, ...] | None) -> Any:
    path = case.model.task.signal()
    return path if std is None else path.with_std(std)  # type: ignore[attr-defined]


@dataclass
class Answers:
    """What the integer model says after each step."""

    output: np.ndarray
    answer: np.ndarray | None = None
    """Of values."""
    score: np.ndarray | None = None
    """Of an alarm."""
    label: np.ndarray | None = None
    share: np.ndarray | None = None
    stands: np.ndarray | None = None


def integer_answers(net: IntegerNetwork, decision: DecisionRule, x: np.ndarray) -> Answers:
    """Of inputs x (T, inputs), integers."""
    loss, rule, bits = decision.loss, decision.loss.rule, net.output_bits
    found = Answers(net.run(x[None].astype(int)).output[0])
    scores = integer_scores(found.output, bits, loss)
    if rule.value:
        scales = integer_scales(decision.targets, bits, rule)
        said = None
        if decision.targets is not None:
            linear = IntegerLinear.of(decision.targets, net.inputs_as.bits, scales)
            said = linear and linear.predicted(x.astype(int))
        found.answer = integer_values(scores, scales, said) if scales else scores
        if decision.alarm is not None:
            assert decision.targets is not None
            alarm = IntegerAlarm.of(decision.alarm, decision.targets, net.inputs_as.bits, scales)
            found.score = alarm.scores(x.astype(int), found.answer)
        return found
    found.label = scores.argmax(-1)
    shares = integer_confidences(scores, bits, loss)
    found.share = shares[np.arange(len(x)), found.label]
    if decision.until is not None:
        found.stands = integer_stands(scores, bits, loss, decision.until)
    return found


def pages(case: Case, folder: Path, numbers: Any) -> list[dict[str, Any]]:
    """What the model's page says of each recording."""
    page = folder / f"{numbers}.html"
    export_web(case.model, page, numbers, std=case.given.std)
    told = []
    for number, x in enumerate(case.xs):
        samples = folder / f"{number}.f32"
        samples.write_bytes(np.ascontiguousarray(x, "<f4").tobytes())
        told.append(run_in_page(page, samples))
    return told


_SERVING = """
import numpy as np
import srnn

for line in sys.stdin:
    file, *files = line.rstrip("\\n").split("\\t")
    model, found = srnn.load(file), {}
    for number, name in enumerate(files):
        x = np.load(name)
        found[f"whole{number}"] = model.predict(x).scores
        session = model.stream()
        parts = [session.push(part).scores for part in np.array_split(x, 3)]
        found[f"parts{number}"] = np.concatenate([*parts, session.finish().scores])
    np.savez(file + ".npz", **found)
    assert "torch" not in sys.modules
    print("done", flush=True)
"""


class WithoutTorch:
    """A process that cannot import torch, and reads models."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", FORBIDDING + _SERVING]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, case: Case, folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each recording the scores whole, and in parts."""
        file = folder / "model.safetensors"
        case.model.save(file)
        names = [str(file)]
        for number, x in enumerate(case.xs):
            np.save(folder / f"{number}.npy", x)
            names.append(str(folder / f"{number}.npy"))
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write("\t".join(names) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "done\n", "the process without torch failed"
        with np.load(f"{file}.npz") as found:
            return [(found[f"whole{n}"], found[f"parts{n}"]) for n in range(len(case.xs))]

    def close(self) -> None:
        self._process.communicate(timeout=60)
