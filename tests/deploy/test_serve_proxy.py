"""srnn serve behind nginx, with the configuration of docs/nginx.conf: the same answers, and what it
refuses for the server."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from websockets.sync.client import connect

from srnn.deploy.serve.access import Limits
from srnn.deploy.streaming import Decoder
from support.pages import marked
from support.serving import LEADS, TOKEN, Client, Launched, Service, expected, told

CONFIGURATION = Path(__file__).parents[2] / "docs" / "nginx.conf"
NAME = "hearts.example.org"
NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")

if NGINX is None or shutil.which("openssl") is None:
    pytest.skip(
        "no nginx, or no openssl, was found: docs/nginx.conf is not tried out",
        allow_module_level=True,
    )

MAIN = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/srnn.conf;
}}
"""


class Proxy:
    """nginx, which passes on what is sent to ``NAME``."""

    def __init__(self, port: int, certificate: Path) -> None:
        self.port = port
        self.context = ssl.create_default_context(cafile=str(certificate))

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 20)

    def secured(self, name: str = NAME) -> ssl.SSLSocket:
        return self.context.wrap_socket(self.connected(), server_hostname=name)

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        """(status, body) of the answer to a request with the token; headers with _ for -."""
        named = {"Authorization": f"Bearer {TOKEN}", "Host": NAME}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(NAME)
        with self.secured() as connection.sock:
            connection.request("GET" if body is None else "POST", path, body, named)
            reply = connection.getresponse()
            return reply.status, reply.read()


@contextmanager
def proxying(folder: Path, *ports: int) -> Iterator[Proxy]:
    """nginx in front of servers of this machine, by docs/nginx.conf."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    text = CONFIGURATION.read_text()
    for shipped, here in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("server 127.0.0.1:8765;", " ".join(f"server 127.0.0.1:{port};" for port in ports)),
        (f"/etc/ssl/{NAME}.pem", str(certificate)),
        (f"/etc/ssl/{NAME}.key", str(key)),
        ("/var/log/nginx/srnn.log", str(folder / "access.log")),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    (folder / "srnn.conf").write_text(text)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))

    command = [str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        found = Proxy(port, certificate)
        until = time.monotonic() + 20
        while True:
            assert running.poll() is None and time.monotonic() < until, (
                folder / "error.log"
            ).read_text()
            try:
                found.secured().close()
                break
            except OSError:
                time.sleep(0.05)
        yield found
    finally:
        running.terminate()
        running.wait(20)


@pytest.fixture(scope="module")
def proxy(guarded: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with proxying(tmp_path_factory.mktemp("nginx"), guarded.port) as running:
        yield running


def test_a_body_is_classified_as_without_a_proxy(guarded: Service, proxy: Proxy) -> None:
    body = json.dumps({"inputs": np.random.default_rng(0).random((2, 40, 1)).tolist()}).encode()
    path = "/v1/models/digits/classify"
    status, found = proxy.ask(path, body, Content_Type="application/json")
    assert (status, json.loads(found)) == guarded.ask(path, body, Content_Type="application/json")
    assert status == 200 and len(json.loads(found)["results"]) == 2
    assert b"srnn live" in proxy.ask("/")[1]


@pytest.mark.slow
def test_a_stream_is_decided_as_without_a_proxy(guarded: Service, proxy: Proxy) -> None:
    def heard(client: Client) -> list[int]:
        for at in range(0, 800, 80):
            client.push(LEADS[at : at + 80])
        return told(client.finish())

    direct = heard(guarded.stream("ecg"))
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": f"https://{NAME}"}
    address = f"wss://{NAME}/v1/models/ecg/stream"
    with connect(
        address, sock=proxy.connected(), ssl=proxy.context, additional_headers=headers
    ) as opened:
        assert heard(Client(opened)) == direct and len(direct) == 800


def test_a_body_beyond_the_limit_is_refused(proxy: Proxy) -> None:
    """By nginx, whose limit is the server's, before the server has any of it."""
    path, most = "/v1/models/digits/classify", Limits().body_bytes
    assert proxy.ask(path, b" " * (most + 1), Content_Type="application/json")[0] == 413
    assert (
        proxy.ask(path, b" " * most, Content_Type="application/json")[0] == 422
    )  # the server's word


def test_another_host_is_refused(proxy: Proxy) -> None:
    assert proxy.ask("/v1/models")[0] == 200
    for name in ("evil.example", f"{NAME}.evil.example", "127.0.0.1", "localhost"):
        assert proxy.ask("/v1/models", Host=name)[0] == 421
    with pytest.raises(ssl.SSLError):
        proxy.secured("evil.example")


def test_the_token_is_not_logged(proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert proxy.ask(f"/v1/models?token={TOKEN}", Authorization="")[0] == 200
    log = next(tmp_path_factory.getbasetemp().glob("nginx*/access.log")).read_text()
    assert '"GET /v1/models" 200' in log and TOKEN not in log


def test_the_server_s_own_refusals_come_through(proxy: Proxy) -> None:
    assert proxy.ask("/v1/models", Authorization="")[0] == 401
    assert proxy.ask("/v1/models", Origin="https://evil.example")[0] == 403
    assert proxy.ask("/v1/models", Origin=f"https://{NAME}")[0] == 200


class Paused:
    """A signal that does something once, before the samples at each of some places are given."""

    def __init__(self, samples: np.ndarray, acts: dict[int, Callable[[], Any]]) -> None:
        self.samples, self.acts = samples, acts

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, part: slice) -> np.ndarray:
        self.acts.pop(part.start, lambda: None)()
        return self.samples[part]


@pytest.mark.robust
def test_no_stream_is_lost_when_one_of_two_servers_is_killed(
    runs: Path, models: dict[str, Decoder], tmp_path: Path
) -> None:
    """The client of docs/serve.md, six times, behind nginx: one server is killed, comes back, and
    then the other is killed. Every stream has the classes of one that was not interrupted."""
    rng = np.random.default_rng(5)
    signals = [
        (rng.standard_normal((2000, 2)).cumsum(0) * 0.3).astype(np.float32) for _ in range(6)
    ]
    servers = [Launched(runs / "ecg"), Launched(runs / "ecg")]
    shares: list[int] = []

    def kill_the_first() -> None:
        shares.extend(one.ask("/v1/status")[1]["streams"] for one in servers)
        servers[0].kill()

    def kill_the_second() -> None:
        shares.append(servers[1].ask("/v1/status")[1]["streams"])
        servers[0] = Launched(runs / "ecg", servers[0].port)
        servers[1].kill()

    acts = {
        place: threading.Barrier(6, act, timeout=240).wait
        for place, act in ((500, kill_the_first), (1500, kill_the_second))
    }
    watched = [Paused(one, {**acts}) for one in signals]
    namespace: dict[str, Any] = {}
    exec(compile(marked("serve.md", "resuming"), "docs/serve.md", "exec"), namespace)
    try:
        with proxying(tmp_path, servers[0].port, servers[1].port) as found:

            def connected(address: str, **options: Any) -> Any:
                return connect(address, sock=found.connected(), ssl=found.context, **options)

            namespace["connect"] = connected
            headers = {"Authorization": f"Bearer {TOKEN}"}
            address = f"wss://{NAME}/v1/models/ecg/stream"
            with ThreadPoolExecutor(6) as pool:
                told = list(
                    pool.map(lambda one: namespace["decisions"](address, headers, one), watched)
                )
    finally:
        for server in servers:
            server.kill()
    assert shares == [3, 3, 6]
    for classes, samples in zip(told, signals, strict=True):
        winners = expected(models["ecg"], samples)
        assert [classes[step] for step in sorted(classes)] == winners
        assert sorted(classes) == list(range(len(winners)))
