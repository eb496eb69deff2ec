"""A server in a thread, and clients, for tests of ``srnn serve``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect

from srnn.deploy.serve.access import Limits
from srnn.deploy.serve.server import make_server
from srnn.deploy.streaming import Decoder

TOKEN = "a-token-that-nobody-guesses"
PIXELS = np.random.default_rng(0).random((64, 1)).astype(np.float32)
LEADS = np.random.default_rng(1).standard_normal((800, 2)).cumsum(0).astype(np.float32)


class Service:
    """Where a server is, and how to talk to it. ``server``: itself, where it runs in this
    process."""

    def __init__(self, port: int, token: str | None = None, server: Any = None) -> None:
        self.port, self.token, self.server = port, token, server
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """(status, JSON) of a request; headers with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token and "Authorization" not in named:
            named["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, body, named)
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                content = reply.read()
                return reply.status, json.loads(content) if "json" in reply.headers[
                    "content-type"
                ] else content
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def open(self, model: str, **options: Any) -> ClientConnection:
        """A socket, before its first message."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        address = f"ws://127.0.0.1:{self.port}/v1/models/{model}/stream"
        socket = connect(
            address,
            **{"additional_headers": headers, "compression": None, "max_size": None, **options},
        )
        return socket.__enter__()  # newer versions of websockets warn where no "with" is used

    def stream(self, model: str, **start: Any) -> Client:
        """A stream that has started."""
        return Client(self.open(model), **start)


class Client:
    """An honest client."""

    def __init__(self, socket: ClientConnection, **start: Any) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []
        self.say(type="start", **start)
        self.ready = self.hear()
        self.pushed = self.ready.get("samples", 0)

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def hear(self) -> dict[str, Any]:
        message = json.loads(self.socket.recv(timeout=60))
        self.heard.append(message)
        return message

    def push(self, samples: np.ndarray) -> None:
        self.socket.send(np.ascontiguousarray(samples, "<f4").tobytes())
        self.pushed += len(samples)

    def finish(self) -> list[dict[str, Any]]:
        """Everything that was told, to the end."""
        self.say(type="finish")
        while self.hear()["type"] not in ("end", "error"):
            pass
        self.socket.close()
        return self.heard

    def state(self) -> dict[str, Any]:
        self.say(type="state")
        while (message := self.hear())["type"] != "state" or message["samples"] < self.pushed:
            pass
        return message


def told(messages: list[dict[str, Any]], key: str = "classes") -> list[Any]:
    """One column of all decisions."""
    return [
        value for message in messages if message["type"] == "decisions" for value in message[key]
    ]


def expected(decoder: Decoder, samples: np.ndarray) -> list[int]:
    """The classes that the decoder itself gives."""
    session = decoder.open()
    return [*session.push(samples).winners.tolist(), *session.finish().winners.tolist()]


@contextmanager
def serving(
    models: dict[str, Decoder],
    token: str | None = None,
    limits: Limits | None = None,
    port: int = 0,
    **options: Any,
) -> Iterator[Service]:
    server = make_server(models, port=port, token=token, limits=limits, **options)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + 20
        while not server.started:
            assert thread.is_alive() and time.monotonic() < until
            time.sleep(0.01)
        yield Service(server.servers[0].sockets[0].getsockname()[1], token, server)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


class Launched(Service):
    """``srnn serve`` of a run of ``ecg``, in a process of its own, with the token."""

    def __init__(self, run: Path, port: int = 0) -> None:
        words = ["serve", str(run), "--mean", "0,0", "--std", "5,5", "--json", "--port", str(port)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "srnn", *words],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"SRNN_TOKEN": TOKEN},
        )
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())
        super().__init__(self.ready["port"], TOKEN)

    def kill(self) -> None:
        """As by kill -9."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()  # type: ignore[union-attr]
