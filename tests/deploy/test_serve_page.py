"""The live page in a real browser: a recording, a microphone, a lost server, light and dark, a
phone, the keyboard."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

import srnn
from srnn.data.datasets.spoken_digits import SpokenDigitsTask
from srnn.data.encoders import Statistics
from srnn.data.signals import ScaledPath
from srnn.data.signals.drift import seen_in
from srnn.deploy.live import page
from srnn.deploy.serve.app import Playable
from srnn.deploy.streaming import Decoder
from srnn.model.exit_policy import ExitPolicy
from support.browser import Browser, find_browser
from support.runs import DIGITS, RECORDS, SPOKEN, make_run
from support.serving import PIXELS, Service, serving

pytestmark = pytest.mark.slow
TOKEN = "a-token-that-nobody-guesses"
BROWSER = find_browser()
BEATS = np.stack(
    [np.exp(-(((np.arange(5000) / 250) % 1 - 0.5) ** 2) / 0.001), np.sin(np.arange(5000) / 40)], 1
)
BEATS += np.random.default_rng(0).normal(
    scale=0.02, size=BEATS.shape
)  # without noise a lead is flat or off
READY = (
    "typeof model === 'object' && model && document.querySelector('#source')?.options.length > 1"
)
COUNT = "(view ? view.count : 0)"
INK = """(id => { const c = document.getElementById(id), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
          let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n; })"""

RIGHT = INK.replace(
    "getImageData(0, 0, c.width, c.height)",
    "getImageData(c.width / 2 + 2, 0, c.width / 2, c.height)",
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Decoder]:
    folder, patch = tmp_path_factory.mktemp("runs"), pytest.MonkeyPatch()
    make_run(folder / "ecg", *RECORDS)
    make_run(folder / "words", *SPOKEN)
    ones = Statistics(np.full(120, -5, np.float32), np.full(120, 3, np.float32))
    patch.setattr(SpokenDigitsTask, "statistics", lambda self, data_dir: ones)
    try:
        return {
            "ecg": Decoder.of(folder / "ecg", scale=([0.1, 0], [0.3, 0.7])),
            "words": Decoder.of(folder / "words"),
        }
    finally:
        patch.undo()


@pytest.fixture
def service(models: dict[str, Decoder]) -> Iterator[Service]:
    recording = Playable("beats <b>", BEATS.astype(np.float32), ("ecg",))
    with serving(models, TOKEN, recordings=[recording]) as running:
        yield running


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if BROWSER is None:
        pytest.skip("no Chromium is installed: the live page is not tested in a browser")
    flags = (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        "--autoplay-policy=no-user-gesture-required",
    )
    with Browser(BROWSER, tmp_path, *flags) as running:
        yield running


def test_a_recording_is_drawn_as_it_runs(
    service: Service, browser: Browser, tmp_path: Path
) -> None:
    browser.size(1000, 1100)
    browser.open(f"{service.url}/?token={TOKEN}")
    browser.wait(READY)
    assert browser.value("location.search") == ""
    assert "beats <b>" in browser.value("document.body.innerText")
    for canvas in (
        "spikes",
        "membranes",
        "answers",
    ):  # the paper of the input is there from the start
        assert browser.value(f"{INK}('{canvas}')") == 0
    browser.key(" ")
    browser.wait(f"{COUNT} > 400")
    for canvas in ("input", "spikes", "membranes", "answers"):
        browser.wait(f"{INK}('{canvas}') > 100")
    label = browser.value("document.querySelector('#label').textContent")
    assert label in ("P", "PQ", "QR", "RS", "ST", "TP")
    shown = browser.value(
        "[...document.querySelectorAll('#bars b')].map(b => parseInt(b.textContent))"
    )
    assert len(shown) == 6 and 95 <= sum(shown) <= 105
    light = browser.value("getComputedStyle(document.body).backgroundColor")
    browser.dark(True)
    dark = browser.value("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    browser.key("t")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == light
    browser.size(360, 740, mobile=True)
    browser.wait(
        "document.documentElement.scrollWidth <= innerWidth && "
        "document.querySelector('#input').width <= 360"
    )
    browser.picture(tmp_path / "phone.png")
    assert (tmp_path / "phone.png").stat().st_size > 5000
    browser.key(" ")
    browser.wait("document.querySelector('#status').textContent === 'stopped'")
    before = browser.value(COUNT)
    browser.key("r")
    assert before > 400 and browser.value(COUNT) == 0
    assert browser.value(
        "performance.getEntriesByType('resource').every(e => e.name.startsWith(location.origin))"
    )
    assert browser.errors == []


@pytest.mark.parametrize("seconds", [3, 7])
def test_what_is_unlike_training_is_shown_as_not_sure(
    browser: Browser, tmp_path: Path, seconds: int
) -> None:
    """Of a recording that the server plays, and of a file: a class with 95 % stood there."""
    like = [np.random.default_rng(number).normal([0, 9.81], 2.0, (300, 2)) for number in range(20)]
    std = np.full(2, 2, np.float32)
    statistics = Statistics(
        np.array([0, 9.81], np.float32), std, seen_in(like, std, ("m/s2", "m/s2"))
    )
    path = ScaledPath(2, 50, statistics, names=("ax", "ay"), units=("m/s2", "m/s2"))
    model = srnn.from_network(srnn.SRNN.paper(2, [8], 2), ("still", "moving"), signal=path)
    good = np.random.default_rng(99).normal([0, 9.81], 2.0, (50 * seconds, 2)).astype(np.float32)
    np.savetxt(
        tmp_path / "g.csv", good / 9.81, "%.5f", ",", header="ax (m/s2),ay (m/s2)", comments=""
    )
    played = [
        Playable(name, x, ("sensor",))
        for name, x in (("good", good), ("in g", good / np.float32(9.81)))
    ]
    with serving({"sensor": Decoder.of(model)}, recordings=played) as service:
        browser.open(service.url)
        browser.wait(READY)
        for number, unsure in ((0, False), (1, True)):
            browser.value(
                f"(document.querySelector('#source').value = 'recording {number}', toggle(), 0)"
            )
            browser.wait(
                "!running && document.querySelector('#status').textContent.startsWith('the signal "
                "ended')"
            )
            label = browser.value("document.querySelector('#label').textContent")
            status = browser.value("document.querySelector('#status').textContent")
            assert (label in ("still", "moving")) is not unsure
            assert label.startswith("not sure (") is unsure
            assert ("as in g instead of m/s2" in status) is unsure
        browser.value("($('source').value = 'file', $('own').hidden = false, 0)")
        text = (tmp_path / "g.csv").read_text()
        chosen = f"all.items.add(new File([{text!r}], 'g.csv')); $('file').files = all.files"
        browser.value(
            f"(() => {{ const all = new DataTransfer(); {chosen}; toggle(); return 0; }})()"
        )
        browser.wait("document.querySelector('#label').textContent.startsWith('not sure (')")
        assert browser.value(COUNT) < 100, "at once"
        assert browser.errors == []


def test_an_example_that_the_run_keeps_plays_at_once(
    models: dict[str, Decoder], browser: Browser, tmp_path: Path
) -> None:
    examples = [
        Playable(name, BEATS[start : start + 1301].astype(np.float32), ("ecg",), kept=True)
        for name, start in (("1", 0), ("2", 1301))
    ]
    with serving(models, TOKEN, recordings=examples) as service:
        browser.size(1000, 1100)
        browser.open(f"{service.url}/?token={TOKEN}")
        browser.wait(READY)
        browser.wait(f"{COUNT} > 50")  # nothing was pressed
        shown = browser.value(
            "[...document.querySelector('#source').options].map(o => o.textContent)"
        )
        assert shown[:2] == ["example 1", "example 2"]
        browser.wait(
            "document.querySelector('#status').textContent === 'the signal ended: 1301 steps'"
        )
        assert browser.value(f"{INK}('spikes')") > 100
        browser.picture(tmp_path / "example.png")
        browser.value(
            "dirty = !!(model.label_lag = 500)"
        )  # half of what is in view: classes stand beside what they name
        browser.wait(
            "document.querySelector('#answers-note').textContent.endsWith('named 500 steps later')"
        )
        assert browser.value(f"{RIGHT}('answers')") == 0
        assert browser.value(f"{INK}('answers')") > 100
        browser.value("model.label_lag = 0")
        browser.value(
            "['#label', '#bars span'].map(w => document.querySelector(w).textContent = "
            "'a'.repeat(300))[0]"
        )
        browser.wait("document.documentElement.scrollWidth <= innerWidth")
        browser.key(" ")  # once more
        browser.wait("document.querySelector('#status').textContent === 'running'")
        # Whoever wants no motion starts it; and so does whoever names a recording, which comes
        # first.
        browser.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-reduced-motion", "value": "reduce"}],
        )
        browser.open(f"{service.url}/?token={TOKEN}")
        browser.wait(READY)
        assert not browser.value("running") and browser.errors == []


def test_the_microphone_is_heard(service: Service, browser: Browser) -> None:
    browser.open(f"{service.url}/?token={TOKEN}")
    browser.wait(READY)
    browser.value(
        "(() => { const m = document.querySelector('#model'); m.value = 'words'; m.onchange(); })()"
    )
    assert browser.value("document.querySelector('#source').value") == "mic"
    browser.key(" ")
    browser.wait(f"{COUNT} > 150")
    loud = browser.value("Math.max(...view.input.map(row => Math.abs(row[0])))")
    assert loud > 0.01  # the browser's own beep
    assert (
        browser.value("document.querySelector('#label').textContent") in "0123456789"
        and browser.errors == []
    )


def play(server: Service, browser: Browser, steps: int) -> None:
    """Open the page and play its first recording until so many steps are drawn and the server has
    sent its state."""
    browser.open(server.url + "/")
    browser.wait(READY)
    browser.key(" ")
    browser.wait(f"lastState && {COUNT} > {steps}")


def test_it_goes_on_after_the_server_came_back(
    models: dict[str, Decoder], browser: Browser
) -> None:
    recording = Playable("beats", BEATS.astype(np.float32), ("ecg",))
    with serving(models, recordings=[recording]) as first:
        play(first, browser, 300)
        port = first.port
    browser.wait("document.querySelector('#status').textContent.startsWith('connection lost')")
    before = browser.value("view.at")
    with serving(models, port=port, recordings=[recording]):
        browser.wait(
            "document.querySelector('#status').textContent.startsWith('resumed at sample')"
        )
        browser.wait(f"view.at > {before} + 200")
    assert browser.value("view.at") < 5000
    # What was computed again since the last state is not drawn twice.
    assert browser.value("view.spikes.length <= view.at && view.input.length <= view.sample")
    assert browser.value("view.answers.length === view.spikes.length")


def test_stopped_and_started_while_the_server_is_away_it_has_one_stream(
    models: dict[str, Decoder], browser: Browser
) -> None:
    """The stopped one came back with the server, beside the new one; when it was ended for its
    silence, both were."""
    recording = Playable("beats", BEATS.astype(np.float32), ("ecg",))
    with serving(models, recordings=[recording]) as first:
        play(first, browser, 50)
        port = first.port
    browser.wait("tries > 3")
    browser.key(" ")
    with serving(models, port=port, recordings=[recording]) as second:
        browser.key(" ")
        browser.wait(f"lastState && {COUNT} > 300")  # longer than the stopped one had to wait
        assert second.ask("/v1/status")[1]["streams_total"] == 1


def test_what_opens_after_it_was_stopped_is_closed(service: Service, browser: Browser) -> None:
    """As a microphone, which asks first: it stayed open, and after another start two were."""
    browser.open(f"{service.url}/?token={TOKEN}")
    browser.wait(READY)
    browser.value(
        "(() => { openFeed = () => new Promise(give => { (self.asked ??= []).push(give); }); "
        "self.shut = []; })()"
    )
    for _ in range(3):  # Start, Stop, Start
        browser.key(" ")
    answer = (
        "asked[{0}]({{ place: 0, take: () => new Float32Array(0), close() {{ shut.push({0}); }} }})"
    )
    browser.value(f"({answer.format(0)}, {answer.format(1)})")
    browser.wait("document.querySelector('#status').textContent === 'running'")
    assert browser.value("shut") == [0] and service.ask("/v1/status")[1]["streams_total"] == 1
    browser.key(" ")
    assert browser.value("shut") == [0, 1] and browser.errors == []


def test_the_probabilities_of_a_network_that_rests_stand_beside_its_steps(
    browser: Browser, tmp_path: Path
) -> None:
    make_run(tmp_path / "digits", *DIGITS)
    decoder = Decoder.of(
        tmp_path / "digits", policy=ExitPolicy("ce_mean", 0, 0.0, 0.0, 4), segment=16
    )
    with serving(
        {"digits": decoder}, recordings=[Playable("7", PIXELS, ("digits",), kept=True)]
    ) as service:
        browser.open(f"{service.url}/")
        browser.wait(
            "document.querySelector('#status')?.textContent === 'the signal ended: 64 steps'"
        )
        shown = browser.value("view.answers.map(row => row !== null)")
    session = decoder.open()
    known = [*session.push(PIXELS).steps.tolist(), *session.finish().steps.tolist()]
    assert len(shown) > known[-1] and False in shown[: known[-1]]
    assert shown == [step in known for step in range(len(shown))] and browser.errors == []


def test_after_a_reset_it_goes_on_where_the_signal_is(
    models: dict[str, Decoder], browser: Browser
) -> None:
    """The server counts samples from the reset on, the recording from its beginning."""
    recording = Playable("beats", BEATS.astype(np.float32), ("ecg",))
    with serving(models, recordings=[recording]) as first:
        play(first, browser, 500)
        browser.key("r")
        at = browser.value("feed.place")
        browser.wait(f"lastState && {COUNT} > 100")
        port = first.port
    with serving(models, port=port, recordings=[recording]):
        browser.wait(
            "document.querySelector('#status').textContent.startsWith('resumed at sample')"
        )
        assert browser.value("feed.place") >= at >= 500


def test_a_state_of_before_a_reset_is_not_resumed_from(
    models: dict[str, Decoder], browser: Browser
) -> None:
    """One that was under way was kept: after a lost connection it placed the signal by samples that
    the reset had forgotten."""
    recording = Playable("beats", BEATS.astype(np.float32), ("ecg",))
    with serving(models, recordings=[recording]) as server:
        play(server, browser, 100)
        late = (
            'const own = socket; $("reset").click(); own.onmessage({ data: \'{"type": "state", '
            '"state": "old"}\' });'
        )
        assert browser.value(f"(() => {{ {late} return lastState; }})()") is None
        browser.wait(f"lastState && {COUNT} > 100")
        assert browser.value("lastState !== 'old' && view.sample < feed.place - begun + 100")
        assert browser.errors == []


def test_a_file_and_its_mistakes(service: Service, browser: Browser) -> None:
    browser.open(f"{service.url}/?token={TOKEN}")
    browser.wait(READY)
    read = "engine.read([new File(['{}'], '{}')]).then(([x, notes]) => [[...x], notes])"
    x, notes = browser.value(read.format("a,b\\n1,2\\n# note\\n3,4\\n", "a.csv"))
    assert x == [1, 2, 3, 4]
    assert notes == [
        "it does not state its units and rate: taken as in mV, 250 Hz (rate says another)"
    ]
    assert browser.value(read.format("1,5;-2,25\\n3;4", "a.txt"))[0] == [
        1.5,
        -2.25,
        3,
        4,
    ]  # decimal commas
    for text, problem in (
        ("1,2\\n3", "a.csv, line 2: the row has 1 instead of 2 numbers"),
        ("1,2\\nx,y", "a.csv, line 2: 'x,y' is not a row"),
        ("", "is empty"),
    ):
        found = browser.value(f"{read.format(text, 'a.csv')}.catch(error => error.message)")
        assert problem in found
    browser.value(
        "(() => { const s = document.querySelector('#source'); s.value = 'file'; s.onchange(); })()"
    )
    browser.key(" ")
    browser.wait("document.querySelector('#status').textContent === 'Choose a file first.'")
    assert browser.value("document.querySelector('#status').className") == "bad"


def test_without_the_token_the_page_is_not_given(service: Service, browser: Browser) -> None:
    browser.open(service.url + "/")
    browser.wait("document.body && document.body.innerText.includes('needs its token')")
    assert service.ask("/", Authorization="")[0] == 401


def test_the_page_is_one_file_and_says_so(service: Service) -> None:
    """What holds without a browser too: no address of another server, a policy that forbids all,
    and its titles."""
    request = urllib.request.Request(
        service.url + "/", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request) as reply:
        text, policy = reply.read().decode(), reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert "http://" not in text and "https://" not in text and "src=" not in text
    assert "@import" not in text
    assert '<html lang="en">' in text and "viewport" in text and 'aria-live="polite"' in text
    assert len(text) < 60_000


def test_many_classes_leave_room_and_each_has_its_colour(browser: Browser, tmp_path: Path) -> None:
    """Without a server: of a class whose bar is empty the colour is beside its name, and the time
    in view is given."""
    browser.size(1000, 1100)
    (tmp_path / "live.html").write_text(page("socket"))
    browser.open((tmp_path / "live.html").as_uri())
    browser.wait("document.title === 'srnn live' && typeof clear === 'function'")
    browser.value(
        """model = { classes: Array.from({ length: 14 }, (_, i) => "class " + i), rate: 250, step_seconds: .004, label_lag: 0 };
           clear(); view.at = 1000; draw()"""
    )
    places = browser.value(
        "[...document.querySelectorAll('#bars > div')].map(e => e.getBoundingClientRect().left)"
    )
    assert len(places) == 14 and len(set(places)) > 1
    marks = browser.value(
        "[...document.querySelectorAll('#bars > div')].map(e => "
        "getComputedStyle(e.firstChild).borderLeftColor)"
    )
    bars = browser.value(
        "[...document.querySelectorAll('#bars i')].map(e => getComputedStyle(e).backgroundColor)"
    )
    assert marks == bars and len(set(marks)) == 10
    assert (
        browser.value("document.getElementById('answers-note').textContent")
        == "4.0 s, 1000 steps; 4 s in view"
    )
