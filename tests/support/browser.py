"""A headless Chromium to look at a page with, driven over its debugging pipe: no port, no server, nothing to install.

    with Browser() as browser:
        page = browser.open(path)
        page.run("document.title")

Chromium's DevTools protocol over file descriptors 3 and 4: JSON messages that end with a zero byte. Only what the tests
need: open a file at a size, evaluate, press keys, turn the wheel, take a picture, print; and what went wrong meanwhile:
everything on the console, every request that was not for the file itself.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from analysis.plots import browser
from analysis.plots.save import FLAGS

COMMAND = browser()
REASON = "no Chromium on PATH (Debian: apt-get install chromium)"
TIMEOUT_S = 60.0

_GIVE_NUMBERS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Gives the two ends of the pipe the numbers that the browser looks for, and becomes the browser."""


class Browser:
    """A browser of its own, with a fresh profile."""

    def __init__(self) -> None:
        assert COMMAND is not None, REASON
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_read, to_us = os.pipe()
        from_us, to_write = os.pipe()
        flags = [*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={self._folder.name}", "about:blank"]
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (from_us, to_us)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _GIVE_NUMBERS, *map(str, ends), COMMAND, *flags],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (from_us, to_us, *ends):
            os.close(end)
        self._read, self._write = to_read, to_write
        self._buffer = b""
        self._number = 0
        self._targets: list[str] = []
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.send("Browser.close", {})
            self._process.wait(10)
        except (OSError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._folder.cleanup()

    def send(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        """Ask, and wait for the answer; what happens meanwhile is kept in `events`."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + TIMEOUT_S
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise OSError("the browser has gone")
            self._buffer += data
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def close_pages(self) -> None:
        """Close every page that was opened."""
        while self._targets:
            self.send("Target.closeTarget", {"targetId": self._targets.pop()})

    def open(self, path: Path, width: int = 1280, height: int = 600, dark: bool = False) -> Page:
        """A new page showing a file."""
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        self._targets.append(target)
        page = Page(self, session, path.as_uri())
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        page.ask(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.ask("Emulation.setEmulatedMedia", {"features": [scheme]})
        page.ask("Page.navigate", {"url": path.as_uri()})
        return page


class Page:
    """One page."""

    def __init__(self, browser: Browser, session: str, url: str) -> None:
        self.browser, self.session, self.url = browser, session, url

    def ask(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """A command of the protocol to this page."""
        return self.browser.send(method, parameters or {}, self.session)

    def run(self, expression: str) -> Any:
        """The value of an expression, awaited if it is a promise. Fails if it throws."""
        wanted = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = self.ask("Runtime.evaluate", wanted)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, until: Callable[[Any], bool] = bool) -> Any:
        """The value of an expression once it is as wanted."""
        end = time.monotonic() + TIMEOUT_S
        while True:
            value = self.run(expression)
            if until(value):
                return value
            assert time.monotonic() < end, f"{expression} stays {value!r}; {self.trouble()}"
            time.sleep(0.02)

    def key(self, key: str, text: str = "") -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            pressed = {"type": kind, "key": key}
            self.ask("Input.dispatchKeyEvent", {**pressed, "text": text} if text and kind == "keyDown" else pressed)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """A mouse event: mouseMoved, mousePressed, mouseReleased, mouseWheel."""
        self.ask("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})

    def click(self, x: float, y: float) -> None:
        """Press and release at a point."""
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", buttons=1, clickCount=1)

    def picture(self, path: Path, whole: bool = False) -> Path:
        """A PNG of what is in view, or of the whole page."""
        asked: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            asked["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", asked)["data"]))
        return path

    def printed(self) -> bytes:
        """The page as a PDF."""
        return base64.b64decode(self.ask("Page.printToPDF", {"printBackground": True})["data"])

    def trouble(self) -> list[str]:
        """Every error and warning of the console, every uncaught error, every policy violation."""
        found = []
        for event in self._events():
            name, what = event["method"], event["params"]
            if name == "Runtime.exceptionThrown":
                found.append(str(what["exceptionDetails"]))
            elif name == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
                found.append(str(what["args"]))
            elif name == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                found.append(str(what["entry"]))
        return found

    def requests(self) -> list[str]:
        """Every address that was asked for, but the page's own and what it holds itself (data:, blob:)."""
        asked = [e["params"]["request"]["url"] for e in self._events() if e["method"] == "Network.requestWillBeSent"]
        return [url for url in asked if url != self.url and not url.startswith(("data:", "blob:"))]

    def _events(self) -> list[dict[str, Any]]:
        return [event for event in self.browser.events if event.get("sessionId") == self.session]
