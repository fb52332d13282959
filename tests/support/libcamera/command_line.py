"""Run hivewatch's command line with the real picamera2 on the virtual camera."""

import signal
import sys

from hivewatch.cli.main import main

if __name__ == "__main__":
    # Importing picamera2 starts threads before `hivewatch run` blocks the signals that one thread handles.
    # New threads inherit the mask, so the signals are blocked here first.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    import virtual_camera  # noqa: F401

    sys.exit(main())
