"""Addresses of cameras and brokers: refuses what cannot work, in sentences that repeat no part of it."""

from __future__ import annotations

import ipaddress
import re

from hivewatch.domain.redaction import has_late_at, host_of

_ESCAPES = "in the user and the password write / as %2F, ? as %3F, # as %23 and @ as %40"
# These also listen, and then no host is needed.
_LISTENING = {"udp", "rtp", "tcp", "srt"}


def checked_address(source: str) -> str:
    """Return ``source``; raises ValueError for an address that no library can read as it is meant."""
    if source != source.strip() or not source.isprintable():
        raise ValueError("begins or ends with a blank, or contains a character that cannot be printed")
    scheme, mark, _rest = source.partition("://")
    if not mark:
        return source
    if not re.fullmatch("[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise ValueError("an address begins with its kind, such as rtsp:// or http://")
    if " " in source:
        raise ValueError("an address contains no blank: write each as %20")
    if scheme.lower() == "file":
        raise ValueError("write a video file as a path, without file://")
    found = host_of(source)
    if found is None or not (found["host"] or scheme.lower() in _LISTENING):
        raise ValueError(f"after :// and the user, an address has a host or host:port; {_ESCAPES}")
    if found["port"] and not 1 <= int(found["port"]) <= 65_535:
        raise ValueError("the port of an address is 1 to 65535")
    if _hides_a_host(source):
        raise ValueError(f"an address has its host before the first /; {_ESCAPES}")
    return source


def checked_host(host: str) -> str:
    """Return a broker's name or address; raises ValueError for anything else."""
    if any(part in host for part in ("/", "@")):
        raise ValueError(
            "write only the broker's name or address, without mqtt:// and without a user or password:"
            " those have options of their own (port, username, password_file; tls for mqtts://)"
        )
    if any(character.isspace() for character in host):
        raise ValueError("a broker's name contains no blank")
    if ":" not in host:
        if not re.fullmatch(r"[\w.-]+", host):
            raise ValueError("a broker's name consists of letters, digits, points and -")
        return host
    if host.count(":") == 1 or host.startswith("["):
        raise ValueError(
            "write only the broker's name or address; the port has an option of its own: port,"
            " and an IPv6 address is written without [ ]"
        )
    try:
        ipaddress.IPv6Address(host)
    except ValueError as error:
        raise ValueError("is no IPv6 address, and a name contains no colon") from error
    return host


def checked_public(text: str) -> str:
    """Return a text that every message carries; raises ValueError if it may contain a password."""
    if "://" in text or re.search(r":[^\s:@]*@", text):
        raise ValueError("every message carries it, so it must be no address and contain no password")
    return text


def _hides_a_host(address: str) -> bool:
    """Return whether user and password contain a / that ends them too early: rtsp://user:12/34@host/path.

    What looks like host and port then is user and half a password. A name with a point or an IP address in
    that place is a host, and the @ is part of the path or query, as in http://10.0.0.2/?user=me&pwd=a@b.
    """
    found = host_of(address)
    if found is None or not found["port"] or not has_late_at(address):
        return False
    return not re.search(r"[.\[]|^localhost$", found["host"] or "")
