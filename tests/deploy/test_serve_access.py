"""srnn serve: nobody gets in without the token, other pages are refused, and a wrong command line
is one line."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.robust

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
websockets = pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from websockets.exceptions import InvalidStatus  # noqa: E402

from srnn.cli import serve  # noqa: E402
from srnn.deploy.serve.access import Access, is_loopback  # noqa: E402
from srnn.deploy.serve.server import (  # noqa: E402
    bind,
    check_exposure,
    raise_descriptors,
    spare_collections,
)
from srnn.deploy.streaming import Decoder  # noqa: E402
from srnn.model.exit_policy import ExitPolicy  # noqa: E402
from support.commands import fails, parse  # noqa: E402
from support.serving import TOKEN, Service  # noqa: E402

ROUTES = [
    *("/", "/nowhere", "/docs", "/v1/models/ecg/classify"),
    *(f"/v1/{name}" for name in ("models", "status", "recordings", "recordings/0")),
]


def refused(url: str, status: int, **options: Any) -> dict[str, Any]:
    """A socket there is refused so; the answer."""
    with pytest.raises(InvalidStatus) as caught:
        websockets.sync.client.connect(url, **options)
    assert caught.value.response.status_code == status
    return json.loads(caught.value.response.body or b"{}")


Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    "given",
    ["", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xe4"],
)
def test_without_the_token_nobody_gets_in(guarded: Service, given: str) -> None:
    for path in ROUTES:
        assert guarded.ask(path, Authorization=given)[0] == 401
        assert guarded.ask(f"{path}?token=wrong", Authorization=given)[0] == 401
    assert guarded.ask("/v1/models/ecg/classify", b"{}", Authorization=given)[0] == 401
    stream = f"ws://127.0.0.1:{guarded.port}/v1/models/ecg/stream"
    wrong = [
        "token=",
        "token=wrong",
        f"token={TOKEN[:-1]}",
        f"TOKEN={TOKEN}",
        "token=%ff",
        "a&" * 50,
    ]
    for query in ("", *(f"?{one}" for one in wrong)):
        refused(stream + query, 401, additional_headers={"Authorization": given})


def test_with_the_token(guarded: Service) -> None:
    assert guarded.ask("/v1/models")[0] == 200
    assert guarded.ask(f"/v1/models?token={TOKEN}", Authorization="")[0] == 200
    assert b"srnn live" in guarded.ask(f"/?token={TOKEN}", Authorization="")[1]
    assert guarded.ask("/docs")[0] == guarded.ask("/openapi.json")[0] == 404
    url = f"ws://127.0.0.1:{guarded.port}/v1/models/ecg/stream?token={TOKEN}"
    with websockets.sync.client.connect(url) as stream:
        stream.send('{"type": "start"}')
        assert json.loads(stream.recv())["type"] == "ready"


def test_of_several_tokens_the_first_counts() -> None:
    passed: list[str] = []

    async def app(scope: Any, *_: Any) -> None:
        passed.append(scope["type"])

    async def nothing(*_: Any) -> None:
        pass

    right = (b"authorization", f"bearer  {TOKEN}".encode())
    wrong = (b"authorization", b"Bearer wrong")
    for headers in ([right, wrong], [wrong, right]):
        scope: dict[str, Any] = {"type": "http", "headers": [(b"host", b"localhost"), *headers]}
        asyncio.run(Access(app, TOKEN)(scope, nothing, nothing))  # type: ignore[arg-type]
    assert passed == ["http"]


def test_a_proxy_on_this_machine_passes_on_the_name_that_it_has(guarded: Service) -> None:
    """It speaks TLS for the server; its name is none of loopback's."""
    outside = {"Host": "hearts.example.org", "Origin": "https://hearts.example.org"}
    assert guarded.ask("/v1/models", **outside)[0] == 200
    assert guarded.ask("/v1/models", **outside, Authorization="")[0] == 401
    assert guarded.ask("/v1/models", **{**outside, "Origin": "https://evil.example"})[0] == 403


def test_other_pages_and_names_are_refused(service: Service) -> None:
    here = f"127.0.0.1:{service.port}"
    beside = f"http://127.0.0.1:{service.port + 1}"
    for origin in ("http://evil.example", "null", beside, "http://[", ""):
        assert service.ask("/v1/models", Origin=origin)[0] == 403
        with pytest.raises(InvalidStatus, match="403"):
            service.open("ecg", origin=origin or "file://")
    assert service.ask("/v1/models", Origin=f"http://{here}")[0] == 200
    names = ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example:80", "10.0.0.1"]
    for name in (*names, "[", ""):
        assert service.ask("/v1/models", Host=name)[0] in (400, 403)
    assert service.ask("/v1/models", Host=f"localhost:{service.port}")[0] == 200


def test_what_is_exposed_needs_a_good_token() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org"):
        check_exposure(host, TOKEN)
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "[::1]", "127.9.9.9")))
    assert not any(map(is_loopback, ("0.0.0.0", "x", "")))


def test_refusals_say_why(guarded: Service) -> None:
    url = f"ws://127.0.0.1:{guarded.port}/v1/models"
    for path, status, field in (
        (f"ecg/stream?token={TOKEN}x", 401, "token"),
        (f"nothing/stream?token={TOKEN}", 404, "nothing"),
        ("ecg/stream", 401, "token"),
    ):
        answer = refused(f"{url}/{path}", status)
        assert set(answer) == {"detail", "kind", "field"} and answer["field"] == field


def test_options_go_to_the_models_that_can_have_them(
    runs: Path, tmp_path: Path, capsys: Capture
) -> None:
    policy, both = tmp_path / "policy.json", [str(runs / "ecg"), str(runs / "digits")]
    ExitPolicy("ce_mean", 0, 0.9).save(policy)

    def load(*words: str) -> tuple[dict[str, Decoder], list[str]]:
        decoding = parse(["serve", *both, *words]).arguments["decoding"]
        models, _, notes = serve.load_models(both, decoding)
        return models, sorted(notes)

    models, notes = load("--exit", str(policy), "--mean", "1,1", "--std", "2,2")
    assert models["ecg"].policy is None and models["digits"].policy is not None
    assert models["ecg"].signal.latency == 0.012 and load()[1] == []
    options = [("exit", "ecg"), ("mean", "digits"), ("std", "digits")]
    assert notes == [f"--{option} does not apply to {model}" for option, model in options]
    assert "--gain applies to none of the models" in fails(capsys, "serve", *both, "--gain", "2")
    for words, message in (
        (["--mean", "1,1", "--std", "1,1"], "This input takes no scale: only an ECG signal"),
        (["--calibrate", "3"], "This input is not calibrated"),
    ):
        assert message in fails(capsys, "serve", both[0], "--input", "steps", *words)


def test_mistakes_are_one_line(
    runs: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(said: str, *words: str | Path) -> None:
        assert said in fails(capsys, "serve", *words)

    monkeypatch.delenv("SRNN_TOKEN", raising=False)
    ecg, token, circle = runs / "ecg", tmp_path / "token", tmp_path / "circle"
    circle.symlink_to(circle)
    for nowhere in ("nowhere", circle):
        check("was not found", nowhere)
    check("two models named 'ecg'", ecg, ecg)
    check("others can reach this server", ecg, "--host", "0.0.0.0")
    check("'streams' must be", ecg, "--max-streams", "0")
    check("Cannot read the token", ecg, "--token-file", token)
    token.write_text("\n")
    check("contains no token", ecg, "--token-file", token)
    # The last, bytes that are no text, was a traceback.
    for given in (" ", "tökentökentöken1", "\udcff" * 20):
        monkeypatch.setenv("SRNN_TOKEN", given)
        check("SRNN_TOKEN contains no token", ecg)
    monkeypatch.delenv("SRNN_TOKEN")
    token.write_text("short\n")
    check("16 characters", ecg, "--token-file", token)
    check("fits no model", ecg, "--recording", token)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        # Said before models are read, which takes a while.
        check("Cannot listen on 127.0.0.1", "nowhere", "--port", str(taken.getsockname()[1]))
    check("Cannot listen on", ecg, "--host", "192.0.2.1", "--new-token")


def test_small_messages_leave_at_once() -> None:
    """asyncio sets TCP_NODELAY where a socket names its protocol only; what it accepts inherits the
    name."""
    with bind("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_what_is_loaded_is_left_out_of_garbage_collections() -> None:
    before, thresholds = gc.get_freeze_count(), gc.get_threshold()
    try:
        spare_collections()
        assert gc.get_freeze_count() > before + 1000
        assert gc.get_threshold()[2] > thresholds[2]
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


@pytest.mark.parametrize(
    ("soft", "hard", "raised"),
    [
        (20000, 20000, []),
        (1024, 4096, [(2256, 4096)]),
        (1024, 2000, [(2000, 2000)]),
        (1024, -1, [(2256, -1)]),
        (-1, -1, []),
    ],
)
def test_descriptors_are_raised_as_far_as_they_may_be(
    soft: int, hard: int, raised: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    found: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, both: found.append(both))
    raise_descriptors(2000)
    assert found == raised


def test_a_system_may_refuse_descriptors_or_know_none(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    for refused in (ValueError("not allowed"), OverflowError("too many")):
        monkeypatch.setattr(resource, "setrlimit", lambda *_: (_ for _ in ()).throw(refused))  # noqa: B023
        raise_descriptors(10**30)
    monkeypatch.setitem(sys.modules, "resource", None)
    raise_descriptors(2000)


def test_a_body_has_one_length(service: Service) -> None:
    """With two, a proxy and the service may see a request end at different places."""
    head = b"POST /v1/models/digits/classify HTTP/1.1\r\nHost: localhost\r\n"
    both = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as opened:
        opened.sendall(head + both + b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: opened.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 ") and b"connection: close" in answer.lower()
    assert answer.count(b"HTTP/1.1") == 1 and b"not both" in answer
