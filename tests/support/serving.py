"""A server in a thread, and clients, for tests of ``srnn serve``."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect

from srnn.deploy.serve.guard import SLICE
from srnn.deploy.serve.limits import Limits
from srnn.deploy.serve.server import make_server
from srnn.deploy.streaming import Decoder

QUICK = Limits(start_seconds=1.0, send_seconds=1.0, idle_seconds=5.0)
TOKEN = "a-token-that-nobody-guesses"
PIXELS = np.random.default_rng(0).random((64, 1)).astype(np.float32)
LEADS = np.random.default_rng(1).standard_normal((800, 2)).cumsum(0).astype(np.float32)


class Service:
    """Where a server is, and how to talk to it. ``server``: itself, where it runs in this process."""

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
                return reply.status, json.loads(content) if "json" in reply.headers["content-type"] else content
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def open(self, model: str, **options: Any) -> ClientConnection:
        """A socket, before its first message."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        address = f"ws://127.0.0.1:{self.port}/v1/models/{model}/stream"
        socket = connect(address, **{"additional_headers": headers, "compression": None, "max_size": None, **options})
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
    return [value for message in messages if message["type"] == "decisions" for value in message[key]]


def expected(decoder: Decoder, samples: np.ndarray) -> list[int]:
    """The classes that the decoder itself gives."""
    session = decoder.open()
    return [*session.push(samples).winners.tolist(), *session.finish().winners.tolist()]


@contextmanager
def serving(
    models: dict[str, Decoder], token: str | None = None, limits: Limits = QUICK, port: int = 0, **options: Any
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


class Clock:
    """A loop whose time is a test's: what would be called later waits in a list."""

    def __init__(self) -> None:
        self.waiting: list[Any] = []

    def call_later(self, seconds: float, call: Any, *arguments: Any) -> Any:
        handle = SimpleNamespace(seconds=seconds, call=lambda: call(*arguments))
        handle.cancel = lambda: self.waiting.remove(handle) if handle in self.waiting else None
        self.waiting.append(handle)
        return handle

    def call_soon(self, call: Any) -> Any:
        return self.call_later(0, call)


def receive_at_once(client: Any, said: list[Any]) -> None:
    """Give a connection without a socket three slices and a byte, and let its loop run out; ``said`` is also told when reading
    pauses and goes on."""
    client._rest, client.loop = bytearray(), Clock()
    client.transport = SimpleNamespace(
        pause_reading=lambda: said.append("pause"), resume_reading=lambda: said.append("resume"),
        is_closing=lambda: False, get_protocol=lambda: client,
    )  # fmt: skip
    client.data_received(b"x" * SLICE)
    client.data_received(b"y" * 2 * SLICE)
    client.data_received(b"z")  # which had been read already
    while client.loop.waiting:
        client.loop.waiting.pop().call()
