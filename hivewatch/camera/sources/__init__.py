"""The real sources of frames: Raspberry Pi camera, USB device, network stream, clip and pictures."""
