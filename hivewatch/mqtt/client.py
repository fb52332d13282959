"""paho's client with bounds on what a broker may send.

paho reads packets of up to 256 MB into memory, keeps messages of QoS 2 until the broker releases them, and
queues an answer to each packet. It has no hook between the announcement of a packet and its content, so
private methods are overridden here. ``setup.cfg`` admits only versions of paho that are known to have them,
and the tests send each kind of packet through a real socket.
"""

from __future__ import annotations

import paho.mqtt.client as mqtt
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from hivewatch.errors import PublishError, UnwantedPacketError
from hivewatch.mqtt import failures

MOST_ANSWERS = 1000
"""So many answers may wait for a broker that sends without reading."""
# Return codes of CONNACK for "unsupported protocol version", of MQTT 3.1.1 and 5.
_OTHER_VERSION = (b"\x01", b"\x84")
PACKET_TOO_LARGE = 0x95
# mosquitto acknowledges a message above its message_size_limit with this code, meant for other packets.
ReasonCode.names[PACKET_TOO_LARGE]["Packet too large"].append(PacketTypes.PUBACK)


class BoundedClient(mqtt.Client):
    """Raises UnwantedPacketError, before reading it, for a packet of more than ``largest_bytes``.

    Also for a message of QoS 2, which no subscription of hivewatch asks for, and for more than
    ``MOST_ANSWERS`` answers that the broker does not read. Raises PublishError if the broker does not speak
    the version of MQTT.
    """

    largest_bytes = 0

    def _sock_recv(self, bufsize: int) -> bytes:
        # paho asks for all that is left of a packet, so the first call has the announced size.
        if bufsize > self.largest_bytes:
            raise UnwantedPacketError(
                f"the broker sends a packet of {bufsize} bytes, more than the {self.largest_bytes} allowed"
            )
        if len(self._out_packet) > MOST_ANSWERS:
            raise UnwantedPacketError(
                f"the broker does not read the {len(self._out_packet)} answers to its packets"
            )
        return super()._sock_recv(bufsize)

    def _handle_publish(self) -> MQTTErrorCode:
        if self._in_packet["command"] & 0x06 > 0x02:
            raise UnwantedPacketError("the broker sends a message of QoS 2, which was not subscribed to")
        return super()._handle_publish()

    def _handle_connack(self) -> MQTTErrorCode:
        code = bytes(self._in_packet["packet"][1:2])
        if code in _OTHER_VERSION and self._protocol != MQTTProtocolVersion.MQTTv5:
            raise PublishError(failures.refused("Unsupported protocol version"))
        return super()._handle_connack()
