"""Layouts of exported C: what each tool looks for, and that its example compiles and prints the
class that the network says."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
import yaml

from srnn import SRNN
from srnn.cli.export_c import export_c as export_c_command
from srnn.cli.main import main
from srnn.data.encoders import LevelCrossing
from srnn.data.encoders.speech import Statistics
from srnn.data.signals import CrossingPath, ScaledPath
from srnn.deploy.c import export_c
from srnn.deploy.c.layouts import LAYOUTS, Layout
from srnn.nn.fixedpoint.integer import InputFormat
from srnn.nn.loss_config import DecisionRule, LossConfig
from support.compiled import FLAGS, WARNINGS, ran

SLOW = pytest.mark.slow
NET = SRNN.paper(3, [6], 4, generator=torch.Generator().manual_seed(0))
CLASSES = ("50 %", 'the "b"', "c", "d")
STUBS = {
    # Each prints what the platform prints, once, and ends where a platform would wait.
    "Arduino.h": """\
#include <cstdio>
#include <cstdlib>
struct { void begin(long) {} void println(const char *text) { puts(text); } void println(int n) { printf("%d\\n", n); } } Serial;
static void delay(unsigned long) { exit(0); }
void setup();
void loop();
int main() { setup(); loop(); }
""",
    "zephyr/kernel.h": "#include <stdio.h>\n#include <stdlib.h>\n#define printk printf\n#define "
    "k_msleep(ms) exit(0)\n",
    # A tick has 10 ms, as ESP-IDF sets it; a delay of 0 ticks would starve the idle task, which its
    # watchdog reports.
    "freertos/FreeRTOS.h": "#include <stdlib.h>\n#define pdMS_TO_TICKS(ms) ((ms) / 10)\n",
    "freertos/task.h": "#define vTaskDelay(ticks) exit((ticks) < 1)\nvoid app_main(void);\nint "
    "main(void) { app_main(); }\n",
}
EXAMPLES: dict[Layout, str] = {
    "arduino": "examples/net/net.ino", "platformio": "examples/net/src/main.c", "zephyr": "samples/net/src/main.c",
    "espidf": "examples/net/main/main.c",
}  # fmt: skip


def exported(folder: Path, layout: Layout, decision: bool = True, **options: Any) -> Path:
    rule = DecisionRule(LossConfig("ce_mean"), CLASSES) if decision else None
    about, out = 'of "all": 100 % # {x}', folder / layout
    export_c(NET, out, "net", about=about, decision=rule, layout=layout, **options)
    return out


def printed_by(folder: Path, layout: Layout, tmp_path: Path, *more: str) -> str:
    """What the example of a library prints."""
    compiler = "g++" if layout == "arduino" else "gcc"
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} on this machine")
    for name, text in STUBS.items():
        (tmp_path / "stubs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "stubs" / name).write_text(text)
    include = [f"-I{folder / 'src'}", "-isystem", str(tmp_path / "stubs")]
    source = [str(folder / EXAMPLES[layout])]
    warnings = list(WARNINGS)
    if layout == "arduino":
        source = ["-include", "Arduino.h", "-x", "c++", *source]
        warnings = [flag for flag in WARNINGS if "prototypes" not in flag]
    elif layout == "espidf":
        warnings.remove("-Wmissing-prototypes")  # the platform has no prototype of app_main
    library = str(folder / "src" / "net.c")
    ran("gcc", *FLAGS, *include, "-c", library, "-o", "net.o", cwd=tmp_path)
    ran(compiler, *warnings, *more, *include, "-c", *source, "-o", "example.o", cwd=tmp_path)
    ran(compiler, "net.o", "example.o", "-o", "example", "-lm", cwd=tmp_path)
    return ran(tmp_path / "example").decode()


def said_by(plain: Path, rows: str, *arguments: str) -> list[str]:
    """Lines of the program of a plain export."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc on this machine")
    ran("gcc", *FLAGS, "net_main.c", "net.c", "-o", "reference", "-lm", cwd=plain)
    return ran(plain / "reference", *arguments, given=rows.encode()).decode().splitlines()


@pytest.mark.parametrize("layout, decision, format, scale", [
    ("platformio", True, "int8", False), ("zephyr", False, "float32", False), ("arduino", True, "int8", True),
    pytest.param("arduino", True, "float32", False, marks=SLOW),
    pytest.param("espidf", True, "float32", False, marks=SLOW),
    ("espidf", True, "float32", True),
])  # fmt: skip
def test_example_compiles_and_prints_the_class(
    layout: Layout, decision: bool, format: Any, scale: bool, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"format": format}
    if scale:  # the example's sensor is in the unit of the training data, as the program's input is
        mean, std = np.array([[0.5, -0.25, 0.1], [0.4, 0.75, 0.125]], np.float32)
        options["encoder"] = ScaledPath(3, statistics=Statistics(mean, std))
        if format == "int8":
            options |= {"inputs_as": InputFormat(8.0, whole=False), "counts": [2**16]}
    plain, folder = (exported(tmp_path, one, decision, **options) for one in ("plain", layout))
    for name in ("net.c", "net.h", "net_weights.h"):
        assert (folder / "src" / name).read_bytes() == (plain / name).read_bytes()
    printed = printed_by(folder, layout, tmp_path)
    rows = ["1,0,0\n", "0,0,1\n", "0,1,0\n"] * 34
    said = said_by(plain, "".join(rows[:100]))
    if decision:
        assert printed == said[-1].split("\t")[1] + "\n"
    else:
        assert int(printed) == np.array(said[-1].split(","), float).argmax()


@pytest.mark.parametrize("layout, format, scale", [
    ("arduino", "int8", "running"), ("zephyr", "float32", "told"),
    pytest.param("platformio", "float32", "open", marks=SLOW),
    pytest.param("espidf", "float32", "running", marks=SLOW),
])  # fmt: skip
def test_the_example_of_a_network_that_encodes_gives_it_the_signal(
    layout: Layout, format: Any, scale: str, tmp_path: Path
) -> None:
    """A network that labels steps keeps its state from one printed class to the next."""
    path = CrossingPath(LevelCrossing("send_on_delta", 1.2, 1.2), channels=2, smoothing=7)
    path = replace(path, rate=250.0, horizon=5.0) if scale == "running" else path
    path = path.with_std((400.0, 300.0)) if scale == "told" else path
    net = SRNN.paper(4, [12], 4, generator=torch.Generator().manual_seed(1))
    rule = DecisionRule(LossConfig("nll"), CLASSES)
    for one in ("plain", layout):
        export_c(net, tmp_path / one, "net", format, encoder=path, decision=rule, layout=one)  # type: ignore[arg-type]
    printed = printed_by(tmp_path / layout, layout, tmp_path)
    rows = "".join(f"{t % 40 * 500 - 9750},{(t + 1) % 40 * 500 - 9750}\n" for t in range(100))
    stated = {"running": (), "told": ("400", "300"), "open": [str(500 / 1.2)] * 2}[scale]
    said = said_by(tmp_path / "plain", rows, "--encode", *stated, "--every")
    assert printed == said[96].split("\t")[1] + "\n"  # the last three steps wait for samples
    assert len({line.split("\t")[1] for line in said}) > 1, "it shows nothing"
    text = (tmp_path / layout / EXAMPLES[layout]).read_text()
    assert "(1000)" not in text, "of a signal that does not end no second is slept through"
    assert "    if (!begun)\n        begin();\n    begun = 1;\n" in text
    assert text.count("net_begin(&model") == text.count("        begin();") == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_file_speaks_of_one_that_is_not_there(layout: Layout, tmp_path: Path) -> None:
    """The header said that NAME_main.c shows how channels are scaled, which only one layout has."""
    path = ScaledPath(3, statistics=Statistics(np.zeros(3, np.float32), np.ones(3, np.float32)))
    options: Any = {"format": "int8", "inputs_as": InputFormat(8.0, whole=False)}
    folder = exported(tmp_path, layout, encoder=path, **options)
    there = {path.name for path in folder.rglob("*")}
    for path in folder.rglob("net*.[ch]"):
        assert set(re.findall(r"\bnet\w*\.[ch]\b", path.read_text())) <= there, path


@pytest.mark.parametrize("layout", ("platformio", "zephyr", "espidf"))
def test_an_example_fits_a_small_stack(layout: Layout, tmp_path: Path) -> None:
    """The main task of ESP-IDF has 3,584 bytes, Zephyr's 1,024: 700 inputs in float32 are 2,800."""
    export_c(SRNN.paper(700, [6], 4), tmp_path / "wide", "net", layout=layout)
    assert printed_by(tmp_path / "wide", layout, tmp_path, "-Wstack-usage=512")


# https://arduino.github.io/arduino-cli/latest/library-specification/: these are required.
REQUIRED = {
    "name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures",
}  # fmt: skip


def test_what_the_tools_look_for(tmp_path: Path) -> None:
    arduino, platformio, zephyr, espidf = (
        exported(tmp_path, layout) for layout in ("arduino", "platformio", "zephyr", "espidf")
    )
    lines = (arduino / "library.properties").read_text().splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    assert set(properties) >= REQUIRED and all(properties.values())
    assert properties["name"] == "net" and re.fullmatch(r"\d+\.\d+\.\d+", properties["version"])
    assert (arduino / "src" / properties["includes"]).is_file()

    library = json.loads((platformio / "library.json").read_text())
    assert library["name"] == "net" and library["build"]["srcDir"] == "src"
    assert "-ffp-contract=off" in library["build"]["flags"]
    assert "symlink://../.." in (platformio / "examples/net/platformio.ini").read_text()

    def read(path: Path) -> Any:
        return yaml.safe_load(path.read_text())

    build, sample = read(zephyr / "zephyr/module.yml")["build"], zephyr / "samples/net"
    assert (zephyr / build["cmake"] / "CMakeLists.txt").is_file()
    assert (zephyr / build["kconfig"]).is_file()
    symbol = re.findall(r"^config (\w+)$", (zephyr / "Kconfig").read_text(), re.MULTILINE)
    assert symbol == ["SRNN_NET"]
    assert (sample / "prj.conf").read_text() == "CONFIG_SRNN_NET=y\n"
    assert "if(CONFIG_SRNN_NET)" in (zephyr / "CMakeLists.txt").read_text()
    assert read(sample / "sample.yaml")["sample"]["name"] == "net"

    component, example = read(espidf / "idf_component.yml"), espidf / "examples/net/main"
    assert component["description"] == 'net: of "all": 100 % # {x}, float32'
    assert component["dependencies"]["idf"]
    depends = read(example / "idf_component.yml")["dependencies"]["net"]
    assert (example / depends["override_path"]).resolve() == espidf.resolve()
    for cmake in (zephyr, espidf):
        sources = re.findall(r"src/\w+\.c", (cmake / "CMakeLists.txt").read_text())
        assert sources == ["src/net.c"] and (cmake / sources[0]).is_file()


def test_a_name_that_is_no_text_to_yaml_is_one(tmp_path: Path) -> None:
    def read(path: str) -> Any:
        return yaml.safe_load((tmp_path / path).read_text())

    for layout in ("zephyr", "espidf"):
        export_c(NET, tmp_path / layout, "no", layout=layout)  # type: ignore[arg-type]
    sample = read("zephyr/samples/no/sample.yaml")
    assert read("zephyr/zephyr/module.yml")["name"] == sample["sample"]["name"] == "no"
    assert sample["tests"]["sample.no"]["tags"] == "no"
    assert [*read("espidf/examples/no/main/idf_component.yml")["dependencies"]] == ["no"]


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choices = get_args(get_type_hints(export_c_command)["layout"])
    assert choices == tuple(LAYOUTS) == get_args(Layout)
    out = tmp_path / "my out"
    words = ["--out", str(out), "--layout", "zephyr", "--name", "heart"]
    assert main(["export", "c", "ecg-records", *words]) == 0
    assert f"west build -b BOARD '{out}'/samples/heart" in capsys.readouterr().out
    words = ["--out", str(tmp_path / "ecg"), "--name", "heart"]
    assert main(["export", "c", "ecg-records", *words]) == 0
    assert f"{tmp_path / 'ecg'}/heart --encode < input.csv\n" in capsys.readouterr().out
