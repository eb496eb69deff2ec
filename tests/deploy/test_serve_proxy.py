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
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")
pytest.importorskip("websockets", reason="the extra 'serve' is not installed")

from websockets.sync.client import connect

from srnn.deploy.serve.limits import Limits
from support.serving import LEADS, TOKEN, Client, Service, told

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


@pytest.fixture(scope="module")
def proxy(guarded: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
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
        ("http://127.0.0.1:8765", guarded.url),
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


def test_a_body_is_classified_as_without_a_proxy(guarded: Service, proxy: Proxy) -> None:
    body = json.dumps({"inputs": np.random.default_rng(0).random((2, 40, 1)).tolist()}).encode()
    path = "/v1/models/digits/classify"
    status, found = proxy.ask(path, body, Content_Type="application/json")
    assert (status, json.loads(found)) == guarded.ask(path, body, Content_Type="application/json")
    assert status == 200 and len(json.loads(found)["results"]) == 2
    assert b"srnn live" in proxy.ask("/")[1]


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
