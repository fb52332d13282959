"""A full disk is logged and tolerated; every other error passes."""

from __future__ import annotations

import logging

import pytest

from hivewatch.errors import DiskFullError, StoreError
from hivewatch.store.disk import tolerate_full_disk


def test_a_tolerated_full_disk_is_logged_with_its_consequence(caplog: pytest.LogCaptureFixture) -> None:
    with tolerate_full_disk("the summary may be sent twice"):
        raise DiskFullError("cannot store the state: the disk is full")
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is None
    assert record.getMessage() == "the summary may be sent twice: cannot store the state: the disk is full"


@pytest.mark.parametrize("error", [StoreError("the disk is read-only"), ValueError("no")])
def test_every_other_error_passes(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(type(error), match=str(error)), tolerate_full_disk("nothing"):
        raise error
    assert caplog.records == []


def test_nothing_is_logged_without_an_error(caplog: pytest.LogCaptureFixture) -> None:
    with tolerate_full_disk("nothing"):
        pass
    assert caplog.records == []
