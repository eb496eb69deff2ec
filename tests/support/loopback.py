"""A server for tests of downloads, and archives: what servers do (break off, ignore ranges, send
something else) on request."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from srnn.data.datasets import fetch as fetching

CONTENT = np.random.default_rng(0).bytes(3_000_000)


def md5(content: bytes) -> str:
    return "md5:" + hashlib.md5(content, usedforsecurity=False).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves ``files``; ``breaks``: bytes after which each next answer breaks off; ``codes``:
    answers instead of a file."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/a/file.bin": CONTENT}
        self.breaks: list[int] = []
        self.codes: list[int] = []
        self.leads: dict[str, str] = {}
        """Path -> where it leads."""
        self.hangs_up = 0
        """How many questions are not answered at all."""
        self.encoding = ""
        self.ranges = True
        self.lengths = True
        self.seen: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.seen.append(wanted)
        if self.server.hangs_up:
            self.server.hangs_up -= 1
            self.close_connection = True
            return None
        if self.server.codes:
            return self.send_error(self.server.codes.pop(0))
        if self.path in self.server.leads:
            self.send_response(302)
            self.send_header("Location", self.server.leads[self.path])
            self.end_headers()
            return None
        content = self.server.files.get(self.path)
        if content is None:
            return self.send_error(404)
        first = (
            int(wanted.removeprefix("bytes=").removesuffix("-"))
            if wanted and self.server.ranges
            else 0
        )
        if first and first >= len(content):
            return self.send_error(416)
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        if self.server.encoding:
            self.send_header("Content-Encoding", self.server.encoding)
        if self.server.lengths:
            self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        stop = first + self.server.breaks.pop(0) if self.server.breaks else len(content)
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content[first:stop])
        self.close_connection = True
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


@pytest.fixture
def plain_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "SRNN_MIRROR", "SRNN_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(fetching.time, "sleep", lambda _: None)


def zipped(members: dict[str, bytes], link: bool = False) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if link else 0o100644) << 16
            archive.writestr(info, content)
    return target.getvalue()
