"""A headless Chromium for tests, driven by its DevTools protocol over a WebSocket: no more than a
page's test needs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

NAMES = (
    "chromium",
    "chromium-browser",
    "chromium-headless-shell",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)


def find_browser() -> str | None:
    """Its path, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """``with Browser(path, tmp_path) as browser: browser.open(url); browser.wait("document.title ==
    'x'")``."""

    def __init__(self, path: str, folder: Path, *flags: str) -> None:
        profile, log = folder / "profile", folder / "browser.log"
        # No sandbox: as root, and in most containers, the browser would not start with one; it
        # opens our own pages only.
        with open(log, "wb") as said:
            self._process = subprocess.Popen(
                [path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
                 f"--user-data-dir={profile}", *flags, "about:blank"],
                stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
            )  # fmt: skip
        try:
            file, until = profile / "DevToolsActivePort", time.monotonic() + 60
            while not (file.exists() and file.read_text().count("\n") >= 1):
                if time.monotonic() > until or self._process.poll() is not None:
                    raise RuntimeError(
                        f"{path} did not start: {log.read_text(errors='replace')[-1000:]}"
                    )
                time.sleep(0.05)
            port = int(file.read_text().splitlines()[0])
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as reply:
                page = next(target for target in json.load(reply) if target["type"] == "page")
            self._socket = connect(page["webSocketDebuggerUrl"], max_size=None).__enter__()
        except BaseException:
            self._kill()
            raise
        self._number = 0
        self.errors: list[str] = []
        """What the page's scripts failed with, and what it was refused."""
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._kill()

    def _kill(self) -> None:
        """With all that it started: some distributions' command is a script, and the browser is its
        child."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(message["params"]["exceptionDetails"])[:500])
            elif (
                message.get("method") == "Log.entryAdded"
                and message["params"]["entry"]["level"] == "error"
            ):
                self.errors.append(message["params"]["entry"]["text"])
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(message["error"])
                return message["result"]

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """What a script's expression gives; awaited if it is a promise."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"])[:500])
        return found["result"].get("value")

    def text(self, selector: str) -> str:
        """The text of the first such element."""
        return self.value(f"document.querySelector({json.dumps(selector)}).textContent")

    def each(self, selector: str, what: str = "e.textContent") -> list[Any]:
        """What an expression gives for each such element ``e``."""
        elements = f"[...document.querySelectorAll({json.dumps(selector)})]"
        return self.value(f"{elements}.map(e => {what})")

    def wait(self, script: str, seconds: float = 30) -> Any:
        """Until the expression is true; its value."""
        until = time.monotonic() + seconds
        while not (found := self.value(script)):
            if time.monotonic() > until:
                status = self.value("document.body && document.body.innerText.slice(0, 500)")
                raise AssertionError(
                    f"{script} did not come true; the page says {status!r}; errors {self.errors}"
                )
            time.sleep(0.05)
        return found

    def key(self, key: str) -> None:
        code = {" ": "Space"}.get(key, f"Key{key.upper()}")
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=code,
                text=key if kind == "keyDown" else "",
            )

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )

    def dark(self, dark: bool) -> None:
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
