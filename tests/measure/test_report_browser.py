"""The pages in a real browser: no error, the slider moves, the numbers are those of the JSON,
nothing is cut on a phone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip(
    "websockets", reason="websockets, by which the browser is driven, is not installed"
)

from srnn.data.datasets.digits import DigitsTask
from srnn.deploy.live import page
from srnn.measure.page import comparison_content, report_content, write_page
from support.browser import Browser
from support.drawn import CONTRAST, FRAMES, OVERLAPS, SPANS, WIDTHS, opened
from support.reporting import unpack
from support.runs import DIGITS, ECG, few_sequences, make_run

KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Home": 36, "End": 35, "Tab": 9}
PLAY = "document.querySelector('.controls .main').textContent"
SHOWN = (
    "Object.fromEntries([...document.querySelectorAll('.tile')].map(e => "
    "[...e.children].map(one => one.textContent)))"
)
CONTROLS = "button, select, input, svg.plot, canvas:not([aria-hidden])"
NAMED = "e => e.getAttribute('aria-label') || e.textContent.trim() || e.closest('label')"
RELU = ("--network.neuron={name: relu, tau_mem: 3}", "--training.class_weights=balanced")
OTHER = (
    "--network.neuron.beta=0.1",
    "--network.readout.neuron.time_constants=log",
    "--training.lr_scale={layers.*.tau_*: 2}",
    "--training.class_weights=balanced",
)

SCALES = np.float32(10.0) ** np.arange(-3, 5)
GESTURES = tuple(f"gesture number {i}" for i in range(10))


@pytest.fixture(scope="module")
def pages(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, tuple[Path, dict[str, Any]]]]:
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        few_sequences(patch)
        ecg = make_run(folder / "ecg", *ECG)
        contents = {
            "ecg": report_content(ecg, samples=3),
            "digits": report_content(make_run(folder / "digits", *DIGITS), samples=4),
            "relu": report_content(make_run(folder / "relu", *DIGITS, *RELU), samples=1),
            # Another seed, so that the environments differ whether or not both runs start within
            # one second.
            "both": comparison_content(
                [ecg, make_run(folder / "other-with-a-longer-name", *ECG, *OTHER, seed=4)]
            ),
        }
        # Channels of very different sizes, and long names.
        whole = DigitsTask.load
        patch.setattr(
            DigitsTask, "load", lambda *given: replace(whole(*given), x=whole(*given).x * SCALES)
        )
        patch.setattr(DigitsTask, "class_names", GESTURES)
        contents["scaled"] = report_content(make_run(folder / "scaled", *DIGITS), samples=1)
        patch.setattr(
            DigitsTask,
            "load",
            lambda *given: replace(whole(*given), x=whole(*given).x[:, 7:8] * SCALES),
        )
        contents["short"] = report_content(make_run(folder / "short", *DIGITS), samples=1)
    made = {}
    for name, content in contents.items():
        write_page(content, folder / f"{name}.html")
        made[name] = (folder / f"{name}.html", content)
    yield made


def press(browser: Browser, key: str) -> None:
    for kind in ("rawKeyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key]
        )


@pytest.mark.parametrize("name", ["ecg", "digits"])
def test_the_numbers_are_those_of_the_json(name: str, browser: Browser, pages: dict) -> None:
    page, content = pages[name]
    opened(browser, page)
    assert browser.value("JSON.parse(document.getElementById('data').textContent)") == content
    shown = browser.value(SHOWN)
    assert shown["accuracy"] == f"{100 * content['evaluation']['accuracy']:.2f} %"
    assert shown["parameters"] == f"{content['evaluation']['parameters']:,}"
    step = (
        "[...document.querySelectorAll('#energy caption')].find(e => e.textContent === 'Energy "
        "per step')"
    )
    cells = browser.value(
        f"[...{step}.closest('table').querySelectorAll('tbody tr')[1].cells].map(e => "
        "e.textContent)"
    )
    for model, cell in zip(("paper", "fp32", "neurobench", "memory"), cells[1:], strict=True):
        number, unit = cell.split()
        factor = {"pJ": 1.0, "nJ": 1e3, "µJ": 1e6}[unit]
        expected = content["energy"]["networks"][1]["models"][model]["energy_pj"]["step"]
        assert float(number.replace(",", "")) * factor == pytest.approx(expected, rel=0.006)
    assert browser.errors == []


@pytest.mark.parametrize("name", ["ecg", "digits"])
def test_the_slider_moves_through_a_sample(name: str, browser: Browser, pages: dict) -> None:
    page, content = pages[name]
    opened(browser, page)
    steps = content["samples"]["sequences"][0]["shown"]
    browser.value("document.getElementById('step').focus()")
    assert browser.text("#clock").startswith(f"step {steps} of {steps}")
    press(browser, "ArrowLeft")
    assert browser.text("#clock").startswith(f"step {steps - 1} of {steps}")
    pictures = "[...document.querySelectorAll('.track canvas')].map(c => c.toDataURL())"
    late = browser.value(pictures)
    press(browser, "Home")
    assert browser.text("#clock").startswith(f"step 1 of {steps}")
    early = browser.value(pictures)
    # The last is the axis.
    assert len(late) >= 6 and all(a != b for a, b in zip(early[:-1], late[:-1], strict=True))
    classes = content["task"]["class_names"]
    shown = browser.value("document.getElementById('step').getAttribute('aria-valuetext')")
    assert browser.text("#verdict") in classes
    assert shown.startswith("step 1, ")
    browser.value("document.querySelectorAll('input[name=sample]')[1].click()")
    assert browser.text("#clock").startswith(f"step {steps} of {steps}")
    assert browser.errors == []


def test_a_long_name_is_wrapped(browser: Browser, pages: dict) -> None:
    opened(browser, pages["digits"][0])
    browser.value("document.querySelector('.chips span').textContent = 'a'.repeat(300)")
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")


def test_play_runs_to_the_end_and_stops(browser: Browser, pages: dict) -> None:
    opened(browser, pages["digits"][0])
    browser.value("document.querySelector('.controls .main').click()")
    assert browser.value(PLAY) == "Pause"
    browser.wait(
        f"{PLAY} === 'Play' && document.getElementById('clock').textContent.startsWith('step 16 of "
        "16')"
    )
    assert browser.errors == []


def test_values_can_be_read_by_keyboard(browser: Browser, pages: dict) -> None:
    opened(browser, pages["ecg"][0])
    browser.value("document.querySelector('#training svg').focus()")
    press(browser, "ArrowRight")
    assert "epoch 1" in browser.text("#training .tip")
    press(browser, "End")
    tip = browser.text("#training .tip")
    assert "epoch 3" in tip and "90.00 %" in tip
    names = browser.value(f"[...document.querySelectorAll({CONTROLS!r})].every({NAMED})")
    assert names is True and browser.errors == []


def test_no_two_ticks_of_an_axis_say_the_same(browser: Browser, pages: dict) -> None:
    """Three digits do not tell them apart."""
    opened(browser, pages["digits"][0])
    browser.value(
        """document.body.append(plot({title: "narrow", x: {label: "x"}, y: {label: "y", text: share}, series: [
            {name: "one", x: [4254, 4255], y: [0.9012, 0.9031], colour: "red"}]}))"""
    )
    browser.value(FRAMES)
    shown = browser.each("body > figure text")
    assert {"90.15 %", "90.20 %", "4,254.2", "4,254.4"} <= set(shown)
    assert len(set(shown)) == len(shown)
    assert (
        browser.value("extent(Array.from({length: 200000}, (_, i) => i ? i : null)).join()")
        == "1,199999"
    )
    assert browser.errors == []


@pytest.mark.parametrize("name", ["ecg", "digits", "both"])
def test_light_dark_and_a_phone(name: str, browser: Browser, pages: dict) -> None:
    page, _ = pages[name]
    for dark in (True, False):
        browser.dark(dark)
        opened(browser, page, width=360)
        assert browser.value("document.documentElement.dataset.theme") == (
            "dark" if dark else "light"
        )
        assert browser.value("document.documentElement.scrollWidth") <= 360
        assert browser.value("document.querySelectorAll('svg.plot').length") >= 3
    browser.value("document.getElementById('theme').click()")
    assert browser.value("document.documentElement.dataset.theme") == "dark"
    browser.value("document.getElementById('theme').click(); localStorage.clear()")
    assert browser.errors == []


@pytest.mark.parametrize("width", [360, 390])
def test_what_differs_can_be_read_on_a_phone(width: int, browser: Browser, pages: dict) -> None:
    """The table itself: every value, and beside it the name of its run, within the screen without
    scrolling."""
    page, content = pages["both"]
    opened(browser, page, width)
    regions = browser.each("#differences .scroll", "[e.scrollWidth, e.clientWidth]")
    assert len(regions) == 2 and all(inner <= outer for inner, outer in regions)
    cells = "[...document.querySelectorAll('#differences td')]"
    boxes = browser.value(
        f"{cells}.map(e => e.getBoundingClientRect()).map(r => [r.left, r.right, r.height])"
    )
    values = sum(
        len(row["values"]) for block in ("recipes", "environments") for row in content[block]
    )
    assert len(boxes) == values
    assert all(0 <= left < right <= width and height > 10 for left, right, height in boxes)
    labels = browser.value(f"{cells}.map(e => getComputedStyle(e, '::before').content)")
    names = [run["name"] for run in content["runs"]]
    assert labels[: len(names)] == [json.dumps(name) for name in names]
    # Of the measures at least the first run's stand beside their names.
    right = browser.value("document.querySelector('#measures td').getBoundingClientRect().right")
    assert right <= width and browser.errors == []
    opened(browser, page)
    assert (
        browser.value(
            "getComputedStyle(document.querySelector('#differences td'), '::before').content"
        )
        == "none"
    )


def test_analog_neurons_are_not_said_to_spike(browser: Browser, pages: dict) -> None:
    opened(browser, pages["relu"][0])
    for part in (".tiles", "#activity", "#training"):
        text = browser.value(f"document.querySelector('{part}').textContent")
        assert (
            "fir" not in text.lower().replace("first", "")
            and "spikes" not in text
            and "not 0" in text
        ), part
    opened(browser, pages["digits"][0])
    assert "spikes per neuron and step" in browser.text(".tiles")
    assert browser.errors == []


def test_health_shows_each_layer_and_what_was_restored(browser: Browser, pages: dict) -> None:
    opened(browser, pages["digits"][0])
    browser.value("document.querySelectorAll('#health svg')[2].focus()")
    press(browser, "End")
    tip = browser.value("document.querySelectorAll('#health .tip')[2].textContent")
    assert "epoch 3" in tip and tip.count("1,000") == 2  # of the layer and of the readout
    text = browser.text("#health")
    assert "restored once" in text
    assert "epoch 2, batch 4layers.0 is silent: restored from the last checkpoint" in text
    assert "0.5 times the learning rate; " in text and "0.9 times its recurrent weights" in text
    assert "Layer 1, saturated" in text and browser.errors == []
    aligned = browser.each("#health th, #health td", "getComputedStyle(e).textAlign")
    assert set(aligned) == {"left"}  # a column of words, its head, too


def test_labelled_steps_come_first(browser: Browser, pages: dict) -> None:
    for name, place in (("ecg", "#anytime"), ("both", "#curves")):
        page, _ = pages[name]
        opened(browser, page)
        titles = browser.each(f"{place} figcaption")
        labelled = [title.startswith("Accuracy over time, labelled steps") for title in titles]
        first = labelled.index(True)
        assert titles[first + 1].startswith("Accuracy over time, all steps")
        assert "count as P" in titles[first + 1]
    opened(browser, pages["ecg"][0])
    decided = browser.text("#change_times")
    assert "Time to decision" in decided and "0.95" in decided and browser.errors == []
    tracks = browser.each(".track h3")
    assert "True classof 19 steps (76 ms) before" in tracks


def test_balanced_accuracy_is_drawn_where_a_training_reports_it(
    browser: Browser, pages: dict
) -> None:
    places = (("relu", "#training", 1), ("digits", "#training", 0), ("both", "#curves", 1))
    for name, place, shown in places:
        opened(browser, pages[name][0])
        titles = browser.each(f"{place} figcaption")
        drawn = [title for title in titles if title.startswith("Balanced accuracy")]
        assert len(drawn) == shown and browser.errors == [], name


def test_a_comparison_marks_the_best(browser: Browser, pages: dict) -> None:
    page, content = pages["both"]
    opened(browser, page)
    assert browser.value("JSON.parse(document.getElementById('data').textContent)") == content
    rates = [run["measures"]["sops_per_step"] for run in content["runs"]]
    row = (
        "[...document.querySelectorAll('#measures tr')].find(e => "
        "e.textContent.startsWith('synaptic operations'))"
    )
    marked = browser.value(f"[...{row}.querySelectorAll('td')].map(e => e.className === 'best')")
    assert marked == [rate == min(rates) and rates[0] != rates[1] for rate in rates]
    assert "network.neuron.beta" in browser.text("#differences")
    assert browser.errors == []


def test_how_sure_accuracies_are(browser: Browser, pages: dict) -> None:
    page, content = pages["ecg"]
    opened(browser, page)
    found = content["evaluation"]["groups"]
    interval = " to ".join(f"{100 * end:.2f} %" for end in found["interval"])
    assert f"over {found['count']} groups: {interval}" in browser.text("#groups")
    name = f"accuracy, labelled steps, 95% confidence interval over {found['count']} groups"
    assert browser.value(SHOWN)[name] == interval
    opened(browser, pages["digits"][0])
    assert "over 22 sequences" in browser.text("#groups") and browser.errors == []
    page, content = pages["both"]
    opened(browser, page)
    gain = content["runs"][1]["above_first"]
    mean, low, high = (f"{100 * one:+.2f}" for one in (gain["accuracy"], *gain["interval"]))
    shown = browser.text("#measures")
    assert f"{mean} points compared with ecg (95% confidence interval {low} to {high}" in shown
    assert browser.errors == []


def test_analog_channels_are_lines_each_on_its_own_scale(browser: Browser, pages: dict) -> None:
    page, content = pages["scaled"]
    opened(browser, page)
    given = content["samples"]["sequences"][0]["input"]
    levels = [unpack(channel) for channel in given["values"]]
    assert given["kind"] == "lines" and len(levels) == 8 and all(len(one) == 16 for one in levels)
    tracks = (
        "[...document.querySelectorAll('.track')].filter(e => e.textContent.startsWith('Input'))"
    )
    titles = browser.value(
        f"{tracks}.map(e => [e.querySelector('h3').firstChild.textContent, "
        "e.querySelector('small').textContent])"
    )
    assert [title for title, _ in titles] == [f"Input: channel {i + 1}" for i in range(8)]
    spans = browser.value(f"{SPANS}({tracks}.map(e => e.querySelector('canvas')))")
    wide = [float(one.max() - one.min()) > 0 for one in levels]
    assert sum(wide) >= 5
    assert all((span > 0.7) == varies for span, varies in zip(spans, wide, strict=True))
    for (_, shown), one in zip(titles, levels, strict=True):
        low, high = (float(word.replace(",", "")) for word in shown.split(" to "))
        assert low == pytest.approx(one.min(), rel=0.006)
        assert high == pytest.approx(one.max(), rel=0.006)
    assert browser.errors == []


def test_a_sequence_of_one_step_has_lines(browser: Browser, pages: dict) -> None:
    opened(browser, pages["short"][0])
    press(browser, "End")  # nothing is veiled
    lines = (
        "[...document.querySelectorAll('.track')].filter(e => "
        "/^(Input|Membrane|Probability)/.test(e.textContent))"
    )
    drawn = f"{WIDTHS}({lines}.map(e => e.querySelector('canvas')))"
    widths = browser.value(drawn)
    assert len(widths) > 9 and min(widths) > 0.9


@pytest.mark.parametrize("dark", [True, False])
def test_a_page_says_what_its_colours_mean(dark: bool, browser: Browser, pages: dict) -> None:
    browser.dark(dark)
    for name, words in (
        ("ecg", {"up", "down", "P", "PQ", "QR", "RS", "ST", "TP"}),
        ("digits", set("0123456789")),
    ):
        opened(browser, pages[name][0])
        assert words <= set(browser.each(".key"))
        tracks = browser.value(
            "[...document.querySelectorAll('.track')].map(e => e.textContent).join()"
        )
        assert "(dark)" not in tracks and "(light)" not in tracks and "alif neurons" in tracks
        style = "getComputedStyle({}).{}"
        card = "getComputedStyle(document.querySelector('section')).backgroundColor"
        keys = "[...document.querySelectorAll('.key')]"
        text, mark = style.format("e", "color"), style.format("e.firstChild", "backgroundColor")
        assert browser.value(f"Math.min(...{keys}.map(e => {CONTRAST}({text}, {card})))") >= 4.5
        assert browser.value(f"Math.min(...{keys}.map(e => {CONTRAST}({mark}, {card})))") >= 1.5
    opened(browser, pages["relu"][0])
    layer = browser.value(
        "[...document.querySelectorAll('.track')].find(e => e.textContent.startsWith('Layer "
        "1')).textContent"
    )
    assert "relu units; faint 0, strong " in layer and browser.errors == []


@pytest.mark.parametrize("dark", [True, False])
def test_a_class_has_one_colour_on_both_pages(
    dark: bool, browser: Browser, pages: dict, tmp_path: Path
) -> None:
    browser.dark(dark)
    opened(browser, pages["ecg"][0])
    colour = "getComputedStyle(e).backgroundColor"
    bars = browser.value(f"[...document.querySelectorAll('.confidences i')].map(e => {colour})")
    names = "['P', 'PQ', 'QR', 'RS', 'ST', 'TP']"
    keys = browser.value(
        f"{names}.map(n => [...document.querySelectorAll('.key')].find(e => e.textContent === "
        f"n).firstChild).map(e => {colour})"
    )
    verdict = browser.value(f"(e => {colour})(document.querySelector('#verdict i'))")
    shown = browser.text("#verdict")
    assert keys == bars and len(set(keys)) == 6
    assert verdict == keys[["P", "PQ", "QR", "RS", "ST", "TP"].index(shown)]
    palette = browser.value("Array.from({ length: 10 }, (_, i) => colourOf('--c' + i))")
    assert browser.errors == []
    (tmp_path / "live.html").write_text(page("socket"))
    browser.open((tmp_path / "live.html").as_uri())
    browser.wait("document.title === 'srnn live' && typeof clear === 'function'")
    assert browser.value("colours()") == palette
    browser.value("model = { classes: ['P', 'PQ', 'QR', 'RS', 'ST', 'TP'] }; clear()")
    assert browser.value(f"[...document.querySelectorAll('#bars i')].map(e => {colour})") == keys
    # Its input, too: each channel on its own scale; of one that varies a thousandth as much as much
    # is seen.
    browser.value(
        "HEIGHTS.input = 120; traces('input', Array.from({ length: 50 }, (_, t) => [1000 * "
        "Math.sin(t), Math.sin(t)]), 50, true)"
    )
    found = """(c => [0, 1].map(half => {
      const h = c.height / 2, d = c.getContext("2d").getImageData(150, half * h, c.width - 150, h).data, rows = [];
      for (let i = 3; i < d.length; i += 4) if (d[i]) rows.push(Math.floor(i / 4 / (c.width - 150)));
      return (Math.max(...rows) - Math.min(...rows)) / h;
    }))(document.getElementById('input'))"""
    assert min(browser.value(found)) > 0.7
    assert "own scale" in browser.text("#input-note")


@pytest.mark.parametrize("width", [360, 1100])
@pytest.mark.parametrize("name", ["ecg", "digits", "scaled", "both"])
def test_no_label_stands_on_another(name: str, width: int, browser: Browser, pages: dict) -> None:
    opened(browser, pages[name][0], width)
    assert browser.value(OVERLAPS) == []
    captions = browser.each("caption > *", "e.getBoundingClientRect().right")
    assert (
        all(right <= width for right in captions)
        and (captions or name == "both")
        and browser.errors == []
    )


@pytest.mark.parametrize("name", ["ecg", "digits", "both"])
def test_every_column_has_a_head_and_no_heading_ends_a_printed_page(
    name: str, browser: Browser, pages: dict
) -> None:
    opened(browser, pages[name][0])
    heads = browser.each("thead th", "e.textContent.trim()")
    assert heads and all(heads)
    browser.call("Emulation.setEmulatedMedia", media="print")
    kept = browser.each("h2, .lead, figcaption, caption", "getComputedStyle(e).breakAfter")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert kept and set(kept) == {"avoid"} and browser.errors == []


def test_energies_are_points(browser: Browser, pages: dict) -> None:
    """A bar has no length over a logarithmic axis, which has no 0."""
    page, content = pages["digits"]
    opened(browser, page)
    assert browser.value("document.querySelectorAll('#energy rect').length") == 0
    shown = browser.each("#energy circle", "e.nextSibling.textContent")
    models = [
        one["models"][m]
        for one in content["energy"]["networks"]
        for m in ("paper", "fp32", "neurobench", "memory")
    ]
    steps = json.dumps([one["energy_pj"]["step"] for one in models])
    assert shown == browser.value(f"{steps}.map(energy)") and len(shown) == 8
    assert browser.errors == []
