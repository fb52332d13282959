"""Cameras: each yields frames until stopped, and raises CameraError if it fails."""
