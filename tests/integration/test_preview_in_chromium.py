"""The preview's page in a real Chromium with the screen size of a phone, served by the real command."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from support.brokers import free_port, wait_until
from support.chromium import PATIENCE_S, Chromium

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
WATCH = [[0.05, 0.3], [0.95, 0.3], [0.95, 0.98], [0.05, 0.98]]


@contextmanager
def preview(directory: Path, **sections: object) -> Iterator[str]:
    """Run ``hivewatch preview`` with the simulator and yield its URL."""
    file = directory / "hivewatch.yaml"
    camera = {"kind": "simulator", "simulator": {"hornet_every_s": 10.0, "hornet_stay_s": 8.0}}
    store = {"directory": str(directory / "store")}
    file.write_text(yaml.safe_dump({"camera": camera, "store": store, **sections}))
    url = f"http://127.0.0.1:{free_port()}/"
    command = [sys.executable, "-m", "hivewatch", "preview", "--config", str(file)]
    with subprocess.Popen([*command, "--address", url[7:-1]], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"Open {url}\n"
        yield url
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_the_page_shows_the_picture_and_the_results(tmp_path: Path) -> None:
    with (
        preview(tmp_path, gate={"watch": [WATCH], "ignore": [[[0.7, 0.3], [0.95, 0.3], [0.95, 0.5]]]}) as url,
        Chromium(tmp_path) as browser,
    ):
        browser.open(url)
        wait_until(lambda: browser.text("live") == "live", "the picture is live", PATIENCE_S)
        wait_until(lambda: browser.text("score").endswith("%"), "a picture is classified", PATIENCE_S)
        assert browser.evaluate("document.getElementById('picture').naturalWidth") == 1280
        assert browser.text("hive") == "Hive 1 · simulator · 1280 x 720"
        assert browser.text("sharpness-hint").startswith(("Sharp", "It was sharper before"))
        assert browser.text("light-hint") == "Well lit."
        assert browser.text("motion-hint").endswith((" is classified.", " is still classified."))
        ink = "[...document.getElementById('drawing').getContext('2d')"
        ink += ".getImageData(0, 0, 400, 400).data].some((v) => v)"
        assert browser.evaluate(ink), "the overlay is drawn"
        wide = browser.evaluate("document.documentElement.scrollWidth")
        assert wide <= 412, "the page is as wide as a phone's screen"
        browser.screenshot(tmp_path / "preview.png")
    assert (tmp_path / "preview.png").stat().st_size > 50_000


def test_dragging_over_a_known_width_gives_the_size_of_a_hornet_in_pixels(tmp_path: Path) -> None:
    with preview(tmp_path) as url, Chromium(tmp_path) as browser:
        browser.open(url)
        wait_until(lambda: browser.text("live") == "live", "the picture is live", PATIENCE_S)
        box = browser.evaluate(
            "(({x, y, width, height}) => [x, y, width, height])"
            "(document.getElementById('view').getBoundingClientRect())"
        )
        x, y, width, height = box
        browser.drag((x + 0.25 * width, y + 0.2 * height), (x + 0.75 * width, y + 0.8 * height))
        # Half of 1280 pixels is 40 cm, so 2.5 cm is 40 pixels.
        wait_until(lambda: browser.text("size") == "40 pixels", browser.text("size"), PATIENCE_S)
        assert "[[0.25, 0.20], [0.75, 0.20], [0.75, 0.80], [0.25, 0.80]]" in browser.text("watch-yaml")
        browser.evaluate(
            "(e => {e.value = 160; e.dispatchEvent(new Event('input'))})(document.getElementById('width-cm'))"
        )
        assert browser.text("size") == "10 pixels"
        assert "far too few" in browser.text("size-hint")


def test_a_page_whose_server_is_gone_says_so(tmp_path: Path) -> None:
    with Chromium(tmp_path) as browser:
        with preview(tmp_path) as url:
            browser.open(url)
            wait_until(lambda: browser.text("live") == "live", "the picture is live", PATIENCE_S)
        wait_until(lambda: browser.text("live") == "no connection", "the loss is shown", PATIENCE_S)
