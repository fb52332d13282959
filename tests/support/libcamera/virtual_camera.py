"""The real picamera2, made to do without the two things that libcamera's virtual camera lacks.

The virtual camera has no raw stream, which picamera2 asks every camera for when it opens it, and no DMA heap
stands behind it, which picamera2 allocates its buffers from. Everything else is picamera2's own.

Import this before a camera is opened.
"""

from typing import Any

import picamera2
import picamera2.picamera2
from picamera2.allocators import LibcameraAllocator

LARGEST_PX = (1024, 768)  # as in virtual.yaml


class VirtualPicamera2(picamera2.Picamera2):
    """A Picamera2 without raw modes, with buffers from libcamera itself."""

    latest: "VirtualPicamera2"  # lets a test do to the camera behind hivewatch's back what a loose cable does

    def __init__(self, camera_num: int = 0) -> None:
        super().__init__(camera_num, allocator=_NoAllocator())
        self.allocator = LibcameraAllocator(self.camera)
        VirtualPicamera2.latest = self

    def _get_raw_modes(self) -> list[dict[str, Any]]:
        return [{"format": "NV12", "size": LARGEST_PX}]


class _NoAllocator:
    """In place of the DMA heap's, until the camera is open and after it is closed."""


def hold_all_buffers() -> list[Any]:
    """Take every buffer of the camera opened last, so that it gives no more frames."""
    camera = VirtualPicamera2.latest
    return [camera.capture_request() for _ in range(camera.camera_configuration()["buffer_count"])]


picamera2.Picamera2 = VirtualPicamera2
picamera2.picamera2.DmaAllocator = _NoAllocator
