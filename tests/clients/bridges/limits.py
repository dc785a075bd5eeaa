"""What cloud services allow a client, as docs/bridging-clouds.md has it, with the sources.

Where a service documents no limit, its stand-in has none.
"""

from dataclasses import dataclass

import raw

KIB = 1024
HOUR = 3600


@dataclass(frozen=True)
class Limits:
    # Of the connection.
    alpn: str = None
    certificate: bool = False
    username: str = None
    password: bytes = None
    versions: tuple = (raw.V311, raw.V5)
    longest_client_id: int = 65535
    keep_alive: tuple = (1, 65535)
    # User properties in a CONNECT.
    connect_properties: bool = True
    # Of the session.
    session_expiry: int = 0xFFFF_FFFF
    filters_per_subscribe: int = 1000
    subscriptions: int = 1000
    # Of a message.
    maximum_qos: int = 2
    retain: bool = True
    # Whether a CONNACK of 5.0 says so if not.
    announces_retain: bool = True
    packet_size: int = 256 * KIB * KIB
    levels: int = 1000
    topic_size: int = 65535
    # In a second, in both directions if `counts_deliveries`; and what happens to whoever exceeds it:
    # "discard" acknowledges nothing, "delay" reads later, "close" closes.
    messages_per_second: int = None
    bytes_per_second: int = None
    counts_deliveries: bool = False
    # How fast it sends what has waited.
    deliveries_per_second: int = None
    over_rate: str = "close"
    # Under way.
    receive_maximum: int = 65535
    topic_alias_maximum: int = 0

    def properties(self, connect):
        """Of the CONNACK that answers this CONNECT."""
        asked = connect.properties.get("session_expiry", 0)
        found = {
            "session_expiry": self.session_expiry if asked > self.session_expiry else None,
            "receive_maximum": self.receive_maximum if self.receive_maximum < 65535 else None,
            "maximum_qos": self.maximum_qos if self.maximum_qos < 2 else None,
            "retain_available": 0 if self.announces_retain and not self.retain else None,
            "maximum_packet_size": self.packet_size,
            "topic_alias_maximum": self.topic_alias_maximum,
            "subscription_id_available": 0,
        }
        return {name: value for name, value in found.items() if value is not None}


PROFILES = {
    # It has retained messages, but the user's policy does not name iot:RetainPublish.
    "aws": Limits(
        alpn="x-amzn-mqtt-ca", certificate=True, longest_client_id=128, keep_alive=(1, 1200),
        session_expiry=HOUR, filters_per_subscribe=8, subscriptions=50, maximum_qos=1, retain=False,
        announces_retain=False, packet_size=128 * KIB, levels=8, topic_size=256, messages_per_second=100,
        bytes_per_second=512 * KIB, counts_deliveries=True, deliveries_per_second=10, over_rate="discard", receive_maximum=100,
        topic_alias_maximum=8),
    "azure": Limits(
        certificate=True, username="edge7", keep_alive=(1, 1160), connect_properties=False,
        session_expiry=HOUR, filters_per_subscribe=10, subscriptions=50, maximum_qos=1, retain=False,
        packet_size=512 * KIB, levels=8, topic_size=256, messages_per_second=1000,
        bytes_per_second=1000 * 1000, over_rate="close", topic_alias_maximum=10),
    "hivemq": Limits(
        username="edge7", password=b"s3cret-7", receive_maximum=10, packet_size=5 * KIB * KIB,
        topic_alias_maximum=5),
    "emqx": Limits(
        username="edge7", password=b"s3cret-7", longest_client_id=1024, session_expiry=2 * HOUR,
        subscriptions=10, levels=10, packet_size=KIB * KIB, messages_per_second=10, over_rate="delay",
        receive_maximum=32),
}
