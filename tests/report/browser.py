"""A headless Chromium, driven over two pipes with the Chrome DevTools Protocol."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import contextmanager

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_TIMEOUT = 240  # seconds, for a busy machine


@contextmanager
def browser(profile):
    """Start Chromium with a folder for its profile, and yield a `Page`."""
    to_browser, mine = os.pipe()
    theirs, from_browser = os.pipe()[::-1]
    # The browser reads from descriptor 3 and writes to 4.
    command = f'exec "$0" "$@" 3<&{to_browser} 4>&{theirs}'
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    flags += ["--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
    # Nothing but the page itself: no updates, no lists of bad sites.
    flags += ["--disable-background-networking", "--disable-component-update", "--no-first-run"]
    process = subprocess.Popen(
        ["bash", "-c", command, CHROMIUM, *flags, "about:blank"],
        pass_fds=(to_browser, theirs),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(theirs)
    try:
        yield Page(from_browser, mine)
    finally:
        process.kill()
        process.wait()
        os.close(mine)
        os.close(from_browser)


class Page:
    """The only page of a browser.

    Attributes:
        problems: Errors and warnings of the console, exceptions, and requests beyond the file.
    """

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._buffer, self._sent, self._events = b"", 0, []
        self._session = None
        self.problems = []
        (target,) = [
            t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page"
        ]
        attach = {"targetId": target["targetId"], "flatten": True}
        self._session = self.send("Target.attachToTarget", **attach)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        """Send a command, and return its result."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._writer, data) :]
        while True:
            answer = self._receive()
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def open(self, path, width=1200, height=900, *, dark=False, mobile=False):
        """Load a file in a window of a size, and wait until it is drawn."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.send("Emulation.setDeviceMetricsOverride", **size)
        self._events.clear()
        self.send("Page.navigate", url=path.absolute().as_uri())
        self._wait("Page.loadEventFired")
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def run(self, script):
        """Evaluate JavaScript, and return its value."""
        how = {"returnByValue": True, "awaitPromise": True}
        answer = self.send("Runtime.evaluate", expression=script, **how)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key, code=0, text=""):
        """Press a key."""
        event = {"key": key, "code": key, "windowsVirtualKeyCode": code, "text": text}
        self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **event)
        self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    def screenshot(self, path, *, whole=True):
        """Write a PNG of the page, or of what is in view."""
        data = self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        if whole:
            box = self.send("Page.getLayoutMetrics")["cssContentSize"]
            clip = {k: box[k] for k in ("x", "y", "width", "height")} | {"scale": 1}
            data = self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)[
                "data"
            ]
        path.write_bytes(base64.b64decode(data))

    def _wait(self, event):
        while event not in self._events:
            self._receive()

    def _receive(self):
        """Receive a message; note problems."""
        end = time.monotonic() + _TIMEOUT
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reader], [], [], max(0, end - time.monotonic()))
            assert ready, f"no answer in {_TIMEOUT} s"
            data = os.read(self._reader, 2**20)
            assert data, "the browser ended"
            self._buffer += data
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(raw)
        method, parameters = message.get("method"), message.get("params", {})
        self._events.append(method)
        match method:
            case "Runtime.exceptionThrown" | "Log.entryAdded" | "Runtime.consoleAPICalled":
                self.problems.append(parameters)
            case "Network.requestWillBeSent":
                url = parameters["request"]["url"]
                if not url.startswith(("file:", "data:", "about:")):
                    self.problems.append(url)
        return message
