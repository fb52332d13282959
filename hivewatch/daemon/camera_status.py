"""Publishes the status of the camera, and ends a visit that an offline camera cannot follow."""

from __future__ import annotations

from datetime import timedelta

from hivewatch.camera.supervisor import Supervisor
from hivewatch.config.sections import Config
from hivewatch.daemon.loop import Loop
from hivewatch.daemon.recorder import Recorder
from hivewatch.daemon.service import Service
from hivewatch.domain.status import CameraState, CameraStatus
from hivewatch.messages.states import camera_message
from hivewatch.messages.topics import HiveTopics
from hivewatch.system.clock import Clock


class CameraStatusService(Service):
    """Keeps the published status of the camera up to date."""

    def __init__(
        self, config: Config, supervisor: Supervisor, loop: Loop, recorder: Recorder, clock: Clock
    ) -> None:
        """Publish nothing yet: the supervisor reports a first status before the first frame."""
        self._topics = HiveTopics.of(config)
        self._supervisor = supervisor
        self._loop = loop
        self._publisher = recorder.publisher
        self._clock = clock
        self._since_s = clock.monotonic_s()

    def on_camera(self, status: CameraStatus) -> None:
        """Publish the status; raises StoreError if the end of a visit cannot be recorded."""
        if status.state is CameraState.OFFLINE:
            self._loop.end_sighting()
        self._since_s = self._clock.monotonic_s()
        self._publish()

    def on_clock_trusted(self) -> None:
        """Publish again, now with the time of the last change."""
        self._publish()

    def _publish(self) -> None:
        age = timedelta(seconds=self._clock.monotonic_s() - self._since_s)
        since = self._clock.now() - age if self._clock.trusted else None
        checks = self._supervisor.checks
        self._publisher.publish_state(camera_message(checks.status, checks.raised, since, self._topics))
