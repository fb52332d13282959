"""Stands in for pykms, which is not on PyPI: picamera2 imports it at start-up, to draw on a display."""


class _EveryName(type):
    """Makes each attribute of a class exist."""

    def __getattr__(cls, name: str) -> str:
        return name


class PixelFormat(metaclass=_EveryName):
    """picamera2 looks up a dozen of these in a table and uses them only when it draws."""
