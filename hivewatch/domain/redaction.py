"""What may be shown of a text that may contain a password. No other module decides that.

An address is shown as scheme, host and port, and only as its scheme if these cannot be told from a password.
Any other text with ``@`` is hidden.
"""

from __future__ import annotations

import re

HIDDEN = "..."
"""Stands for what is not shown."""

# A password may be typed in front of :// as well, so only these words are shown there.
_SCHEMES = {"rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "http", "https", "udp", "tcp", "mqtt", "mqtts"}
_HOST = re.compile(r"(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+(%[\w.-]+)?\])?(:(?P<port>[0-9]{1,5}))?")
_PUNCTUATION = ".,:;!?()[]{}<>\"'`="
# In hivewatch's own advice. Whole words only: a person may put a password of his own into such an address.
_EXAMPLES = {
    "user:password@",
    "rtsp://user:password@host/path",
    "rtsp://user:password@192.168.1.20/path",
    "rtsp://192.168.1.20/path",
}
# In an address whose special characters are escaped.
_ESCAPED = (("%3A", ":"), ("%40", "@"), ("%2F", "/"))


def host_of(address: str) -> re.Match[str] | None:
    """Return the groups ``host`` and ``port`` of an address, None if it has neither.

    Like FFmpeg: the first ``/``, ``?`` or ``#`` ends them, and the last ``@`` before it ends the user.
    """
    found = _HOST.fullmatch(_authority(address).rpartition("@")[2])
    return found if found and found[0] else None


def has_late_at(address: str) -> bool:
    """Return whether ``@`` is in the path or query of an address: what is before it may be a password."""
    return "@" in address.partition("://")[2][len(_authority(address)) :]


def public_name(source: str) -> str:
    """Return what may be shown of a source: a device or file as it is, an address without its secrets."""
    scheme, mark, rest = source.partition("://")
    if not mark:
        return HIDDEN if "@" in source else source
    if scheme.lower() not in _SCHEMES:
        return HIDDEN
    if not rest:
        return source
    found = None if has_late_at(source) else host_of(source)
    return f"{scheme}://{found[0] if found else HIDDEN}"


def redact(text: str) -> str:
    """Return a text of a library, a traceback or a log line with ``public_name`` in place of each address."""
    return re.sub(r"\S+", _public, text)


def summary(error: BaseException) -> str:
    """Return the class and the redacted words of an error; its repr may contain the data it failed on."""
    return f"{type(error).__name__}: {redact(str(error))}"


def _authority(address: str) -> str:
    return re.split("[/?#]", address.partition("://")[2], maxsplit=1)[0]


def _unescaped(word: str) -> str:
    for escape, character in _ESCAPED:
        word = re.sub(escape, character, word, flags=re.IGNORECASE)
    return word


def _public(found: re.Match[str]) -> str:
    """Return a word as it may be shown: quotes and punctuation may be around it."""
    word = found[0]
    address = word.rstrip(_PUNCTUATION)
    if address.lstrip(_PUNCTUATION) in _EXAMPLES:
        return word
    before, mark, _rest = address.partition("://")
    if mark:
        start = len(before) - len(before.lstrip(_PUNCTUATION))
        return word[:start] + public_name(address[start:]) + word[len(address) :]
    plain = _unescaped(address)
    is_login = "://" in plain or ":" in plain.rpartition("@")[0]
    return (HIDDEN if is_login else address) + word[len(address) :]
