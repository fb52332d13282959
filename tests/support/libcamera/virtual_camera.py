"""The real picamera2, adapted to libcamera's virtual camera.

The virtual camera has no raw stream, which picamera2 requests whenever it opens a camera, and no DMA heap,
from which picamera2 allocates buffers. Everything else is picamera2's own.

Import this module before a camera is opened.
"""

from typing import Any

import picamera2
import picamera2.picamera2
from picamera2.allocators import LibcameraAllocator

LARGEST_PX = (1024, 768)  # as in virtual.yaml


class VirtualPicamera2(picamera2.Picamera2):
    """A Picamera2 without raw modes, with buffers from libcamera itself."""

    latest: "VirtualPicamera2"  # lets a test disturb the camera behind hivewatch's back, like a loose cable

    def __init__(self, camera_num: int = 0) -> None:
        super().__init__(camera_num, allocator=_NoAllocator())
        self.allocator = LibcameraAllocator(self.camera)
        VirtualPicamera2.latest = self

    def _get_raw_modes(self) -> list[dict[str, Any]]:
        return [{"format": "NV12", "size": LARGEST_PX}]


class _NoAllocator:
    """Replaces the allocator of the DMA heap, while the camera is closed."""


def hold_all_buffers() -> list[Any]:
    """Take every buffer of the camera opened last, so that it delivers no more frames."""
    camera = VirtualPicamera2.latest
    return [camera.capture_request() for _ in range(camera.camera_configuration()["buffer_count"])]


picamera2.Picamera2 = VirtualPicamera2
picamera2.picamera2.DmaAllocator = _NoAllocator
