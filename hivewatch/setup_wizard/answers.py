"""Checks of the answers that are plain text."""

from __future__ import annotations

import re
import unicodedata

from pydantic import ValidationError

from hivewatch.config.sections import HiveConfig
from hivewatch.errors import ConfigError

_LONGEST_ID = 64
_ID_WITHOUT_LETTERS = "hive1"


def parse_name(answer: str) -> HiveConfig:
    """Return the hive of this name, with an id made from it; raises ConfigError if it cannot be a name."""
    name = printable(answer)
    try:
        return HiveConfig(id=make_id(name), name=name)
    except ValidationError as error:
        kinds = {"string_too_short": "is empty", "string_too_long": f"is too long: {len(name)} characters"}
        wrong = kinds.get(error.errors()[0]["type"], "must be no address and contain no password")
        raise ConfigError([f"the name {wrong}"]) from None


def make_id(name: str) -> str:
    """Return a valid hive id that resembles the name: ``Ruche à côté`` becomes ``ruche-a-cote``."""
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST_ID].strip("-") or _ID_WITHOUT_LETTERS


def printable(answer: str) -> str:
    """Return the answer without surrounding blanks; raises ConfigError for control characters."""
    answer = answer.strip()
    if not answer.isprintable():
        raise ConfigError(["the answer contains characters that cannot be printed: type it again"])
    return answer
