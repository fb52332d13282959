"""Runs hivewatch's command line with the real picamera2 made to do with the virtual camera."""

import signal
import sys

from hivewatch.cli.main import main

if __name__ == "__main__":
    # What picamera2 loads starts threads, here before `hivewatch run` can block the signals that only its
    # listener may hear. Threads inherit what is blocked.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    import virtual_camera  # noqa: F401

    sys.exit(main())
