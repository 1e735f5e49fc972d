"""Headless Chromium over the DevTools protocol, on a pipe: the standard library is enough.

Everything the page does wrong is collected: console errors, exceptions, and every request beside
the page itself.
"""

import base64
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def find():
    """Path of a Chromium, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class BrowserError(Exception):
    pass


class Browser:
    """One browser with one page. Use as a context manager."""

    def __init__(self, path, timeout=60):
        self.timeout = timeout
        self.profile = tempfile.TemporaryDirectory(prefix="llmc-chromium-")
        their_read, self.write_fd = os.pipe()
        self.read_fd, their_write = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4.
        flags = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-component-update",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--remote-debugging-pipe",
            f"--user-data-dir={self.profile.name}",
            "about:blank",
        ]
        script = 'exec "$0" "$@" 3<&%d 4>&%d' % (their_read, their_write)
        self.log = open(pathlib.Path(self.profile.name) / "stderr", "wb")
        self.process = subprocess.Popen(
            ["sh", "-c", script, path, *flags],
            pass_fds=(their_read, their_write),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
        )
        os.close(their_read)
        os.close(their_write)
        self.buffer = b""
        self.sequence = 0
        self.session = None
        self.errors, self.requests = [], []
        self.loaded = False

    def __enter__(self):
        try:
            targets = self.send("Target.getTargets")["targetInfos"]
            page = next(t["targetId"] for t in targets if t["type"] == "page")
            attached = self.send("Target.attachToTarget", targetId=page, flatten=True)
            self.session = attached["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.send(f"{domain}.enable")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self.session = None
            self.send("Browser.close")
            self.process.wait(10)
        except (OSError, BrowserError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.read_fd)
        os.close(self.write_fd)
        self.log.close()
        self.profile.cleanup()

    # ---- the protocol ----

    def receive(self, deadline):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read_fd], [], [], max(0, deadline - time.time()))
            if not ready:
                raise BrowserError("the browser does not answer")
            piece = os.read(self.read_fd, 1 << 16)
            if not piece:
                raise BrowserError("the browser has gone")
            self.buffer += piece
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def send(self, method, **parameters):
        self.sequence += 1
        message = {"id": self.sequence, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.write_fd, data) :]
        deadline = time.time() + self.timeout
        while True:
            answer = self.receive(deadline)
            if answer.get("id") == self.sequence:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.note(answer)

    def note(self, event):
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            words = details.get("exception", {}).get("description") or details["text"]
            self.errors.append(words)
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning"):
            self.errors.append(" ".join(str(a.get("value")) for a in parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.errors.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded = True

    # ---- the page ----

    def open(self, file, width=1400, height=1000, dark=False, scale=1, still=True):
        """Loads a file; animations are off unless `still` is."""
        self.errors, self.requests, self.loaded = [], [], False
        self.resize(width, height, scale)
        self.media(dark, still)
        self.send("Page.navigate", url=pathlib.Path(file).resolve().as_uri())
        deadline = time.time() + self.timeout
        while not self.loaded:
            self.note(self.receive(deadline))
        self.settle()

    def resize(self, width, height, scale=1):
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )

    def media(self, dark, still=True):
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
        ]
        self.send("Emulation.setEmulatedMedia", media="screen", features=features)

    def settle(self):
        """Waits until two frames have been drawn."""
        self.evaluate(
            "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
        )

    def evaluate(self, expression):
        """The value of a JavaScript expression; promises are awaited."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            words = details.get("exception", {}).get("description") or details["text"]
            raise BrowserError(f"{expression[:80]}: {words}")
        return answer["result"].get("value")

    def mouse(self, kind, x, y, **more):
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y):
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)
        self.settle()

    def drag(self, x, y, to_x, to_y):
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        for part in (0.25, 0.5, 0.75, 1):
            at = (x + (to_x - x) * part, y + (to_y - y) * part)
            self.mouse("mouseMoved", *at, button="left", buttons=1)
        self.mouse("mouseReleased", to_x, to_y, button="left", clickCount=1)
        self.settle()

    def wheel(self, x, y, delta, modifiers=0):
        self.mouse("mouseWheel", x, y, deltaX=0, deltaY=delta, modifiers=modifiers)
        self.settle()

    def key(self, key, text=""):
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)
        self.settle()

    def text(self, words):
        """Types into what has the focus."""
        self.send("Input.insertText", text=words)
        self.settle()

    def screenshot(self, path):
        """Stores what is seen as PNG; returns it for `pixels`."""
        data = self.send("Page.captureScreenshot", format="png")["data"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(data))
        return data

    def pixels(self, png, points):
        """(r, g, b) of a screenshot at each (x, y). The browser decodes it: Python has no PNG."""
        return self.evaluate(
            """(async (source, points) => {
              const image = new Image();
              image.src = source;
              await image.decode();
              const canvas = document.createElement("canvas");
              canvas.width = image.width;
              canvas.height = image.height;
              const context = canvas.getContext("2d");
              context.drawImage(image, 0, 0);
              const data = context.getImageData(0, 0, image.width, image.height).data;
              return points.map(([x, y]) => {
                const at = 4 * (Math.floor(y) * image.width + Math.floor(x));
                return [data[at], data[at + 1], data[at + 2]];
              });
            })(%s, %s)"""
            % (json.dumps("data:image/png;base64," + png), json.dumps(points))
        )
