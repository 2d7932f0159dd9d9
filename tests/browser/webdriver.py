"""Headless Chromium by the WebDriver protocol (https://www.w3.org/TR/webdriver2/), which is JSON over HTTP."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["Browser", "browser", "missing"]

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def missing() -> str | None:
    """Return what is not installed here, None if all is."""
    if not any(shutil.which(name) for name in _CHROMIUM):
        return "no Chromium is installed"
    return None if shutil.which("chromedriver") else "no chromedriver is installed"


class Browser:
    """One window."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._session = ""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one command of the protocol and return its value."""
        data = None if method in ("GET", "DELETE") else json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self._root}{self._session}{path}", data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def start(self) -> None:
        """Open the window."""
        binary = next(path for path in map(shutil.which, _CHROMIUM) if path)
        options = {"binary": binary, "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                                              "--disable-dev-shm-usage"]}  # fmt: skip
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        opened = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{opened['sessionId']}"

    def stop(self) -> None:
        """Close it."""
        if self._session:
            self.call("DELETE", "")

    def open(self, path: Path, *, width: int, dark: bool = False) -> None:
        """Show a file in a window of some width."""
        self._cdp("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._cdp("Emulation.setEmulatedMedia", features=[scheme])
        self.call("POST", "/url", {"url": path.resolve().as_uri()})

    def media(self, kind: str) -> None:
        """Show the page as a medium has it, ``print`` or the screen's own (empty)."""
        self._cdp("Emulation.setEmulatedMedia", media=kind)

    def _cdp(self, command: str, **params: Any) -> Any:
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def run(self, script: str) -> Any:
        """Return what a script returns."""
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return str(self.run(f"return document.querySelector({json.dumps(selector)}).textContent"))

    def element(self, selector: str) -> str:
        """Return the protocol's name of an element."""
        found = self.call("POST", "/element", {"using": "css selector", "value": selector})
        return str(next(iter(found.values())))

    def click(self, selector: str) -> None:
        """Click as a user does: where something else lies above it, that is an error."""
        self.call("POST", f"/element/{self.element(selector)}/click")

    def hover(self, selector: str) -> None:
        """Move the pointer onto an element."""
        origin = {"element-6066-11e4-a52e-4f735466cecf": self.element(selector)}
        move = {"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": origin}
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": [move]}]})

    def press(self, key: str) -> None:
        """Press a key where the focus is; keys as WebDriver numbers them, \\ue012 is the left arrow."""
        actions = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def complaints(self) -> list[str]:
        """Return what the browser's console says, a missing favicon apart."""
        entries = self.call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if "favicon" not in entry["message"]]

    def picture(self, path: Path) -> None:
        """Write a screenshot of the whole page."""
        taken = self._cdp("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """Yield a headless browser and end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    window = Browser(f"http://127.0.0.1:{port}")
    try:
        for _ in range(200):
            with suppress(OSError):
                window.call("GET", "/status")
                break
            time.sleep(0.05)
        window.start()
        yield window
    finally:
        with suppress(OSError):
            window.stop()
        process.terminate()
        process.wait()
