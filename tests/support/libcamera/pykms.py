"""A substitute for pykms, which is not on PyPI: picamera2 imports it for its display preview."""


class _EveryName(type):
    """A metaclass whose classes have every attribute."""

    def __getattr__(cls, name: str) -> str:
        return name


class PixelFormat(metaclass=_EveryName):
    """picamera2 builds a table of a dozen formats from this, and uses it only for its preview."""
