"""Cameras: each gives frames until told to stop, and raises CameraError when it cannot."""
