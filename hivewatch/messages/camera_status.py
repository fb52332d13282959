"""The document that says whether the camera shows the hive, apart from whether the daemon is there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from hivewatch.domain.status import CameraFault, CameraStatus
from hivewatch.domain.wire import Message
from hivewatch.messages.contract import CAMERA_STATUS
from hivewatch.messages.documents import header
from hivewatch.messages.topics import HiveTopics


def camera_message(
    status: CameraStatus,
    raised: Mapping[CameraFault, int],
    since: datetime | None,
    topics: HiveTopics,
) -> Message:
    """Return the retained message of ``status``: since when, and how often each fault was ``raised`` so far.

    ``since`` is None as long as nobody knows what time it is.
    """
    document = {
        **header("camera_status", topics),
        "source": status.source,
        "status": status.state,
        "reasons": status.reasons,
        "since": since,
        "raised": raised,
    }
    return CAMERA_STATUS.message(topics, document)
