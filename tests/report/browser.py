"""Chromium without a window, spoken to over a pipe in the DevTools protocol: nothing else has to be installed."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

OWN = ("file:", "data:", "about:", "chrome:", "devtools:")
"""How addresses begin that lead to no network."""


PATIENCE = 120
"""Seconds after which a browser that says nothing is taken for dead."""


@cache
def path_of_browser() -> str | None:
    """Return a browser that shows an empty page here; None where there is none."""
    for path in filter(None, map(shutil.which, NAMES)):
        with suppress(OSError, subprocess.SubprocessError), tempfile.TemporaryDirectory() as profile:
            command = [path, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", "about:blank"]
            shown = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE, text=True)
            if "<html>" in shown.stdout:
                return path
    return None


class Browser:
    """A page of a browser.

    Attributes:
        complaints: what the browser said of errors, in the console and beside it.
        requests: every address that the page asked for.

    """

    def __init__(self, to: int, back: int) -> None:
        self._to, self._back = to, back
        self._buffer = b""
        self._last = 0
        self._session = ""
        self.complaints: list[str] = []
        self.requests: list[str] = []

    def attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> Any:
        """Return the answer to a command."""
        self._last += 1
        number = self._last
        message = {"id": number, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            self._note(answer)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def open(self, path: Path, *, width: int = 1280, dark: bool = False, script: bool = True, media: str = "") -> None:
        """Show a file, and wait until all of it is there."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.complaints.clear()
        self.requests.clear()
        self.call("Page.navigate", url="about:blank")
        self.call("Page.navigate", url=path.resolve().as_uri())
        while self._evaluated("document.readyState") != "complete" or self._evaluated("location.protocol") != "file:":
            pass

    def see(self, expression: str) -> Any:
        """Return what JavaScript evaluates to in the page; promises are waited for."""
        return self._evaluated(expression)

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=self._whole())
        path.write_bytes(base64.b64decode(shot["data"]))

    def _whole(self) -> dict[str, float]:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}

    def _evaluated(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._back], [], [], PATIENCE)[0], "the browser does not answer"
            chunk = os.read(self._back, 65536)
            assert chunk, "the browser is gone"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.complaints.append(json.dumps(params))
        elif event.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(params["args"]))
        elif event.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    @property
    def foreign_requests(self) -> list[str]:
        """The addresses asked for that are not this file."""
        return [address for address in self.requests if not address.startswith(OWN)]


AS_THREE_AND_FOUR = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 5) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""A program that starts Chromium, which listens and speaks there; JAX, where it is imported, forks nothing itself."""


@contextmanager
def browser() -> Iterator[Browser]:
    """Start Chromium, and end it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        ends = str(theirs_in), str(theirs_out)
        flags = [*FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        process = subprocess.Popen(
            [sys.executable, "-c", AS_THREE_AND_FOUR, *ends, str(path_of_browser()), *flags, "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            page = Browser(ours_out, ours_in)
            page.attach()
            yield page
        finally:
            process.terminate()
            process.wait(10)
            os.close(ours_out)
            os.close(ours_in)
