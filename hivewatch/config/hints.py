"""Advice for single options that people get wrong in ways of their own: what to write instead.

No sentence repeats a text of the file: a password may be typed anywhere.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable

TIME_OF_DAY = 'is a time of day from "00:00" to "23:59", in quotes'

Hint = Callable[[object, str | None], str | None]
"""Returns the sentence for a value and its text in the file; None if it has no special advice."""

_KINDS = {
    "video": "usb webcam web-cam uvc v4l v4l2 camera ip ipcam network stream rtsp http file clip onvif",
    "picamera2": "picam picamera pi raspberry raspberrypi rpi csi libcamera rpicam",
    "folder": "pictures images directory dir",
    "simulator": "simulation sim demo test fake",
}


def _kind(given: object, _raw: str | None) -> str | None:
    if not isinstance(given, str):
        return None
    choices = "should be video, picamera2, folder or simulator"
    if "://" in given:
        return f"{choices}; an address goes into video.source, with kind: video"
    word = given.strip().lower().replace(" ", "").replace("_", "-")
    meant = next((kind for kind, words in _KINDS.items() if word in words.split()), None)
    meant = meant or next(iter(difflib.get_close_matches(word, _KINDS, n=1)), None)
    advice = {
        "video": "; write kind: video, and the device, address or file as video.source",
        "folder": "; write kind: folder, and the folder as folder.path",
        None: "",
    }.get(meant, f"; write kind: {meant}")
    return f"{choices}{advice}"


def _source(given: object, _raw: str | None) -> str | None:
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < 64:
        return f"is the number {given}: write the device, source: /dev/video{given}"
    return None


def _summary_at(given: object, raw: str | None) -> str | None:
    if isinstance(given, int | float) and raw:
        if re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d", raw):
            return f'YAML takes {raw} for a number: write it in quotes, "{raw.zfill(5)}"'
        return TIME_OF_DAY
    if isinstance(given, str) and (found := re.fullmatch(r"(\d):(\d\d)", given)):
        return f'is a time of day with two digits for the hour: write "0{found[0]}"'
    return None


def _hive_id(given: object, _raw: str | None) -> str | None:
    if not isinstance(given, str):
        return None
    return (
        "may contain only letters without accents, digits, _ and -, at most 64, such as pear-tree-1;"
        " the name for people is hive.name"
    )


def _client_id(given: object, _raw: str | None) -> str | None:
    if isinstance(given, str):
        return "may contain only letters without accents, digits, _ and -, at most 64; leave it out if unsure"
    return None


def _topic(given: object, _raw: str | None) -> str | None:
    if not isinstance(given, str) or len(given) > 200:
        return None
    return "is a topic: no + and no #, no / at its start or end, no two in a row, such as home/bees"


HINTS: dict[str, Hint] = {
    "camera.kind": _kind,
    "camera.video.source": _source,
    "health.summary_at": _summary_at,
    "hive.id": _hive_id,
    "mqtt.client_id": _client_id,
    "mqtt.base_topic": _topic,
    "homeassistant.prefix": _topic,
}
