"""Where an exported network's files lie, and what stands beside them, so that a tool for devices takes the folder as a library.

The C is the same in all. The example runs the network on a made-up sensor and prints the class of each sequence.
"""

from __future__ import annotations

import json
from typing import Literal

from ...._version import __version__
from ....errors import SrnnError
from .encoder import CrossingPlan
from .plan import Plan
from .reading import converter, takes_raw
from .sound import SoundPlan

Layout = Literal["plain", "arduino", "platformio", "zephyr", "espidf"]
LAYOUTS: dict[Layout, str] = {
    "plain": "make -C {out} && {out}/{name}{encode} < input.csv",
    "arduino": "copy {out} to libraries/{name} in your sketchbook; then File > Examples > {name}",
    "platformio": "pio run -d {out}/examples/{name} -t exec",
    "zephyr": "west build -b BOARD {out}/samples/{name}",
    "espidf": "idf.py -C {out}/examples/{name} build",
}
"""How each layout is tried; ``encode``: the option with which a program takes a signal."""
_METHOD = "https://doi.org/10.1038/s42256-021-00397-w"
"""The paper that describes the networks: an Arduino library must have an address."""


def arranged(layout: Layout, plan: Plan, about: str, files: dict[str, str]) -> dict[str, str]:
    """The files of a library in a layout, by their paths.

    Args:
        about: one line that says what network this is, in printable ASCII.
        files: of the layout "plain".
    """
    if layout == "plain":
        return files
    if plan.decision is not None and plan.decision.how.value:
        raise SrnnError("The examples of a layout print a class, which a network with values lacks; use layout plain.")
    name = plan.name
    library = {f"src/{name}{end}": files[f"{name}{end}"] for end in (".h", ".c", "_weights.h")}
    own = {"arduino": _arduino, "platformio": _platformio, "zephyr": _zephyr, "espidf": _espidf}[layout](plan, about)
    return library | {f"{name}.json": files[f"{name}.json"]} | own


_SENSOR = """\
/* Stands in for a sensor: the value of a channel at a {what}.
 * Read your own here; wait until it is due, if nothing else keeps time. */
static {ctype} sensor(int {of}, int channel)
{{
    return ({ctype})({number});
}}
"""
_SIGNAL = """\
        for (i = 0; i < {upper}_CHANNELS; i++)
            sample[i] = sensor(t, i);
        {name}_encoder_push(&encoder, sample);
        while ({name}_encode(&encoder, input)) {{
            {step}
{choose}        }}
"""
_STEPS = """\
        for (i = 0; i < {upper}_INPUTS; i++)
            input[i] = {value};
        {step}
{choose}"""
_TOLD = """\
/* Thresholds of each channel: {name}.h says how they derive from its standard deviation. {whose} */
static const {ctype} up[{upper}_CHANNELS] = {up}, down[{upper}_CHANNELS] = {down};
"""


def _sensor(plan: Plan) -> tuple[str, str]:
    """C that stands in for the sensor, in the unit of the signal that the network was trained on; and the value of an input."""
    name, upper, spike = plan.name, plan.name.upper(), "(step + channel) % 3 == 0"
    if plan.encoder is not None:
        sensor = _SENSOR.format(
            what="sample", of="sample", ctype=plan.encoder.sample, number="(sample + channel) % 40 * 500 - 9750"
        )
        if not isinstance(plan.encoder, CrossingPlan) or plan.encoder.running:
            return sensor, ""
        known = plan.encoder.encoder.std is not None
        own = f"{{{', '.join(['500'] * plan.encoder.channels)}}}"
        up, down = (f"{upper}_UP", f"{upper}_DOWN") if known else (own, own)
        whose = "For the deviations that were stated." if known else "Measure that, and put your own here."
        told = _TOLD.format(name=name, upper=upper, ctype=plan.encoder.sample, up=up, down=down, whose=whose)
        return f"{sensor}\n{told}", ""
    if plan.scale is None or not takes_raw(plan):
        what = f"step, as {name}.h describes the input"
        return _SENSOR.format(what=what, of="step", ctype=f"{name}_input", number=spike), "sensor(t, i)"
    what = "step, in the unit of the training data"
    sensor = _SENSOR.format(what=what, of="step", ctype="float", number=spike)
    constants = f"static const float means[] = {upper}_MEAN, deviations[] = {upper}_STD;\n"
    value = "(sensor(t, i) - means[i]) / deviations[i]"
    if plan.input_bits:
        constants, value = f"{constants}\n{converter(plan).rstrip()}\n", f"converted((double)({value}))"
    return f"{sensor}\n{constants}", value


def _endless(plan: Plan) -> bool:
    """Whether every step has a class, so that no sequence begins or ends."""
    return plan.decision is not None and plan.decision.rule.per_step


def _pause(plan: Plan) -> int:
    """Milliseconds that an example waits between two classes: no sample of a signal that does not end may be missed."""
    return 1 if _endless(plan) else 1000


def _example(plan: Plan, about: str, includes: str, main: str) -> str:
    """The example: a sequence through the network, and what a platform does with its class."""
    name, upper, encoder = plan.name, plan.name.upper(), plan.encoder
    decides = plan.decision is not None
    endless = _endless(plan)
    declaration, initialisation, arguments = plan.learnt
    choose = f"        label = {name}_decide(&decision, scores);\n"
    if not decides:
        choose = f"""\
        for (label = 0, i = 1; i < {upper}_OUTPUTS; i++)
            label = scores[i] > scores[label] ? i : label;
"""
    step = f"{name}_step(&state, {arguments}input, scores);"
    sensor, value = _sensor(plan)
    length, feed = "#define STEPS 100 /* of a sequence */", _STEPS
    if endless:
        length = "#define STEPS 100 /* from one class that is printed to the next */"
    if encoder is not None:
        choose = "".join(f"    {line}\n" for line in choose.splitlines())
        feed = _SIGNAL
    if isinstance(encoder, SoundPlan):
        length = f"#define STEPS {upper}_RATE /* samples: one second */"
    told = ", up, down" if isinstance(encoder, CrossingPlan) and not encoder.running else ""
    begin = f"""\
    {name}_init(&state);
{f"    {name}_encoder_init(&encoder{told});{chr(10)}" if encoder else ""}\
{initialisation}{f"    {name}_decision_init(&decision);{chr(10)}" if decides else ""}"""
    if endless:
        lines = "".join(f"    {line}\n" for line in begin.splitlines())
        begin = f"    if (!begun) {{\n{lines}        begun = 1;\n    }}\n"
    what = (
        "a signal that does not end, and prints its class now and then"
        if endless
        else "sequence after sequence, and prints the class of each"
    )
    return f"""\
/* Runs the network {name}{" on" if endless else ","} {what}.
 * {about} */
{includes}
#include "{name}.h"

{length}

static {name}_state state;
{f"static {name}_encoder encoder;{chr(10)}" if encoder else ""}\
{declaration}{f"static {name}_decision decision;{chr(10)}" if decides else ""}\

{sensor}
static int classify(void)
{{
{f"    static int begun;{chr(10)}" if endless else ""}\
{f"    static {encoder.sample} sample[{upper}_CHANNELS];{chr(10)}" if encoder else ""}\
    static {name}_input input[{upper}_INPUTS]; /* static: a task's stack may be small */
    static {name}_score scores[{upper}_OUTPUTS];
    int t, i, label = 0;

{begin}\
    for (t = 0; t < STEPS; t++) {{
{feed.format(name=name, upper=upper, step=step, choose=choose, value=value)}    }}
    return label;
}}

{main}"""


def _class(plan: Plan) -> str:
    """The class in C, for a function that prints a line of text, or of a number with "%d"."""
    return f"{plan.name.upper()}_CLASSES[classify()]" if plan.decision is not None else "classify()"


def _printing(plan: Plan, function: str) -> str:
    return f'{function}("%{"s" if plan.decision is not None else "d"}\\n", {_class(plan)});'


def _exact(plan: Plan) -> list[str]:
    """Compiler options with which float32 gives the same bits everywhere: no multiplication is fused with an addition."""
    return [] if plan.integer else ["-ffp-contract=off"]


def _arduino(plan: Plan, about: str) -> dict[str, str]:
    """By the Arduino library specification 1.5."""
    name = plan.name
    main = f"""\
void setup()
{{
    Serial.begin(115200);
}}

void loop()
{{
    Serial.println({_class(plan)});
    delay({_pause(plan)});
}}
"""
    properties = {
        "name": name, "version": __version__, "author": "generated by srnn", "maintainer": "generated by srnn",
        "sentence": about, "paragraph": "A spiking neural network: no allocation, no dependencies, all state in one struct.",
        "category": "Data Processing", "url": _METHOD, "architectures": "*", "includes": f"{name}.h",
    }  # fmt: skip
    return {
        "library.properties": "".join(f"{key}={value}\n" for key, value in properties.items()),
        f"examples/{name}/{name}.ino": _example(plan, about, "", main),
    }


def _platformio(plan: Plan, about: str) -> dict[str, str]:
    name = plan.name
    main = f"int main(void)\n{{\n    {_printing(plan, 'printf')}\n    return 0;\n}}\n"
    library = {
        "name": name, "version": __version__, "description": about, "keywords": ["spiking neural network"],
        "headers": [f"{name}.h"], "frameworks": "*", "platforms": "*",
        "build": {"srcDir": "src", "flags": [*_exact(plan), *(["-lm"] if plan.uses_math else [])]},
    }  # fmt: skip
    return {
        "library.json": json.dumps(library, indent=2) + "\n",
        f"examples/{name}/platformio.ini": (
            f"; For this machine. For a board state its platform, board and framework, and give main.c what the framework\n"
            f"; calls (for Arduino setup() and loop(): --layout arduino writes such an example).\n[env:native]\n"
            f"platform = native\nlib_deps = symlink://../..\n{'build_flags = -lm' if plan.uses_math else ''}\n"
        ),
        f"examples/{name}/src/main.c": _example(plan, about, "#include <stdio.h>\n", main),
    }


def _zephyr(plan: Plan, about: str) -> dict[str, str]:
    name, symbol = plan.name, f"SRNN_{plan.name.upper()}"
    main = f"""\
int main(void)
{{
    for (;;) {{
        {_printing(plan, "printk")}
        k_msleep({_pause(plan)});
    }}
    return 0;
}}
"""
    exact = "".join(f"  zephyr_library_compile_options({option})\n" for option in _exact(plan))
    return {
        # In quotes, for to YAML a name such as "no" or "null" is none.
        "zephyr/module.yml": f'name: "{name}"\nbuild:\n  cmake: .\n  kconfig: Kconfig\n',
        "CMakeLists.txt": (
            f"if(CONFIG_{symbol})\n  zephyr_include_directories(src)\n  zephyr_library_named({name})\n"
            f"  zephyr_library_sources(src/{name}.c)\n{exact}endif()\n"
        ),
        "Kconfig": f'config {symbol}\n\tbool "Spiking neural network {name}"\n\thelp\n\t  {about}\n',
        f"samples/{name}/CMakeLists.txt": (
            "cmake_minimum_required(VERSION 3.20.0)\nlist(APPEND ZEPHYR_EXTRA_MODULES ${CMAKE_CURRENT_SOURCE_DIR}/../..)\n"
            f"find_package(Zephyr REQUIRED HINTS $ENV{{ZEPHYR_BASE}})\nproject({name}_sample)\n"
            "target_sources(app PRIVATE src/main.c)\n"
        ),
        f"samples/{name}/prj.conf": f"CONFIG_{symbol}=y\n",
        f"samples/{name}/sample.yaml": (
            f'sample:\n  name: "{name}"\ntests:\n  sample.{name}:\n    build_only: true\n    tags: "{name}"\n'
        ),
        f"samples/{name}/src/main.c": _example(plan, about, "#include <zephyr/kernel.h>\n", main),
    }


def _espidf(plan: Plan, about: str) -> dict[str, str]:
    name = plan.name
    # A tick, by default 10 ms, is the shortest pause that lets the idle task run, which the watchdog watches.
    pause = "1 /* tick: the idle task must run */" if _endless(plan) else f"pdMS_TO_TICKS({_pause(plan)})"
    main = f"""\
void app_main(void)
{{
    for (;;) {{
        {_printing(plan, "printf")}
        vTaskDelay({pause});
    }}
}}
"""
    includes = "#include <stdio.h>\n\n#include <freertos/FreeRTOS.h>\n#include <freertos/task.h>\n"
    exact = "".join(f"target_compile_options(${{COMPONENT_LIB}} PRIVATE {option})\n" for option in _exact(plan))
    project = "include($ENV{IDF_PATH}/tools/cmake/project.cmake)"
    return {
        "idf_component.yml": (
            f'version: "{__version__}"\ndescription: {json.dumps(about)}\ndependencies:\n  idf: ">=4.4"\n'
        ),
        "CMakeLists.txt": f'idf_component_register(SRCS "src/{name}.c" INCLUDE_DIRS "src")\n{exact}',
        f"examples/{name}/CMakeLists.txt": f"cmake_minimum_required(VERSION 3.16)\n{project}\nproject({name}_example)\n",
        f"examples/{name}/main/CMakeLists.txt": 'idf_component_register(SRCS "main.c" INCLUDE_DIRS ".")\n',
        f"examples/{name}/main/idf_component.yml": (
            f'dependencies:\n  "{name}":\n    version: "*"\n    override_path: "../../.."\n'
        ),
        f"examples/{name}/main/main.c": _example(plan, about, includes, main),
    }
