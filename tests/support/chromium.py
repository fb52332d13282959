"""A headless Chromium, controlled through a pipe with the Chrome DevTools Protocol."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from support.debian_tree import require_packages

PATIENCE_S = 90.0
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--remote-debugging-pipe"),
)


class Chromium:
    """A context manager: a browser with one page and its own profile in ``directory``."""

    def __init__(self, directory: Path, width_px: int = 412, height_px: int = 915) -> None:
        require_packages("chromium")
        self._profile = directory / "chromium"
        self._size = (width_px, height_px)
        self._numbers = itertools.count(1)
        self._unread = b""

    def __enter__(self) -> Self:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        program = shutil.which("chromium") or "chromium"
        # Chromium reads from descriptor 3 and writes to 4; the shell redirects ours to them.
        command = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, program, *_FLAGS, f"--user-data-dir={self._profile}"],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = ours_in, ours_out
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        width, height = self._size
        self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=True
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def do(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol on the page and return its result."""
        return self._call(method, session=self._session, **parameters)

    def open(self, url: str) -> None:
        """Open ``url``."""
        self.do("Page.navigate", url=url)

    def text(self, element: str) -> str:
        """Return the text of the element with this id, or "" if there is none."""
        return str(
            self.evaluate(f"(document.getElementById({json.dumps(element)}) || {{}}).textContent || ''")
        )

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        done = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse button at ``start`` of the page, in its pixels, and release it at ``end``."""
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def screenshot(self, path: Path) -> None:
        """Write the whole page to a PNG file."""
        shot = self.do("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
        raise TimeoutError(f"Chromium did not answer {method}")

    def _read(self) -> Any:
        while b"\0" not in self._unread:
            data = os.read(self._in, 1 << 20)
            assert data, "Chromium has ended"
            self._unread += data
        message, _, self._unread = self._unread.partition(b"\0")
        return json.loads(message)
