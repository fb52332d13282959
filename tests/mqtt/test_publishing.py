"""The publisher and its null object are interchangeable."""

from __future__ import annotations

import inspect

import pytest

from hivewatch.domain.wire import Message
from hivewatch.mqtt.publisher import Publisher
from hivewatch.mqtt.publishing import NoPublisher, Publishing


def interface(class_: type) -> dict[str, inspect.Signature | None]:
    """Return the public names that the class itself defines, with the signatures of its methods."""
    return {
        name: inspect.signature(value) if inspect.isfunction(value) else None
        for name, value in vars(class_).items()
        if not name.startswith("_")
    }


@pytest.mark.parametrize("class_", [Publisher, NoPublisher])
def test_publisher_and_null_object_define_the_whole_interface_and_no_more(class_: type) -> None:
    assert interface(class_) == interface(Publishing)


def test_the_null_object_accepts_everything_and_never_waits() -> None:
    publisher = NoPublisher()
    publisher.start()
    publisher.subscribe("hw/+", lambda _message: None)
    publisher.publish_state(Message("hw/h1/health", b"{}", retained=True))
    publisher.publish_once(Message("hw/h1/answer", b"{}", retained=False))
    publisher.repeat_states()
    publisher.wake()
    publisher.check()
    assert publisher.drain(0.0)
    assert not publisher.is_connected
    assert not publisher.is_stuck
    assert publisher.connections == 0
    publisher.stop(0.0)
