"""One C program that decides by a float32 and an int8 library of the same network, and says all
that they say."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srnn import SRNN
from srnn.deploy.c import export_c
from srnn.nn.loss_config import DecisionRule
from support.compiled import FLAGS, SANITIZED, compile_c

_DRIVER = """\
#include "plain/plain.h"
#include "small/small.h"
#include <stdio.h>

static plain_state state;
static plain_decision decision;
static small_state states;
static small_decision decisions;

int main(void)
{
    uint8_t given[PLAIN_INPUTS + 1];
    int i;

    while (fread(given, sizeof given, 1, stdin) == 1) {
        float x[PLAIN_INPUTS], output[PLAIN_OUTPUTS], values[PLAIN_OUTPUTS], confidence = 0.0f;
        int8_t inputs[PLAIN_INPUTS];
        int32_t outputs[PLAIN_OUTPUTS], integers[PLAIN_OUTPUTS], share = 0, told[4] = {0, 0, 0, 0};

        if (given[0]) {
            plain_init(&state);
            plain_decision_init(&decision);
            small_init(&states);
            small_decision_init(&decisions);
        }
        for (i = 0; i < PLAIN_INPUTS; i++) {
            x[i] = given[i + 1];
            inputs[i] = (int8_t)given[i + 1];
        }
        plain_step(&state, x, output);
        small_step(&states, inputs, outputs);
        for (i = 0; i < PLAIN_OUTPUTS; i++) {
            values[i] = 0.0f;
            integers[i] = 0;
        }
DECIDE        fwrite(output, sizeof output, 1, stdout);
        fwrite(outputs, sizeof outputs, 1, stdout);
        fwrite(values, sizeof values, 1, stdout);
        fwrite(integers, sizeof integers, 1, stdout);
        fwrite(&confidence, sizeof confidence, 1, stdout);
        fwrite(&share, sizeof share, 1, stdout);
        fwrite(told, sizeof told, 1, stdout);
    }
    return 0;
}
"""
_CLASSES = """\
        told[0] = plain_decide(&decision, output);
        told[1] = small_decide(&decisions, outputs);
        confidence = plain_confidence(&decision);
        share = small_confidence(&decisions);
"""
_STANDS = """\
        told[2] = plain_stands(&decision);
        told[3] = small_stands(&decisions);
"""
_VALUES = """\
        plain_decide(&decision, output, values);
        small_decide(&decisions, outputs, integers);
"""


@dataclass
class Devices:
    """The compiled program."""

    path: Path
    record: np.dtype[Any]

    def __call__(self, recording: np.ndarray) -> Any:
        """A recording (T, inputs) of zeros and ones -> what both libraries say after each step."""
        begins = np.zeros((len(recording), 1))
        begins[:1] = 1
        given = np.hstack([begins, recording]).astype(np.uint8)
        done = subprocess.run([self.path], input=given.tobytes(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return np.frombuffer(done.stdout, self.record)


def devices(net: SRNN, decision: DecisionRule, folder: Path, compiler: str) -> Devices:
    """Export both libraries and compile the program."""
    export_c(net, folder / "plain", "plain", "float32", decision=decision)
    export_c(net, folder / "small", "small", "int8", decision=decision)
    decide = _CLASSES
    if decision.until is not None:
        decide += _STANDS
    if decision.loss.rule.value:
        decide = _VALUES
    driver = folder / "driver.c"
    driver.write_text(_DRIVER.replace("DECIDE", decide))
    sources = [driver, *(folder / name / f"{name}.c" for name in ("plain", "small"))]
    flags = [flag for flag in (*FLAGS, *SANITIZED) if flag not in ("-O2", "-g")]
    path = folder / "driver"
    compile_c([compiler, *flags], sources, path)
    many = net.outputs
    record = np.dtype(
        [
            ("output", "f4", many),
            ("outputs", "i4", many),
            ("values", "f4", many),
            ("integers", "i4", many),
            ("confidence", "f4"),
            ("share", "i4"),
            ("label", "i4"),
            ("small_label", "i4"),
            ("stands", "i4"),
            ("small_stands", "i4"),
        ]
    )
    return Devices(path, record)
