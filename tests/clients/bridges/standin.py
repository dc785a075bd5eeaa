"""A remote broker that the test plays by hand, packet by packet."""

import socket
from dataclasses import dataclass, field

import raw
from reach import Over

WITHIN = 20


@dataclass
class Connect:
    version: int
    is_bridge: bool
    clean: bool
    keepalive: int
    client_id: str
    properties: dict = field(default_factory=dict)
    will: raw.Will = None
    username: str = None
    password: bytes = None


def _connect(body):
    r = raw._Reader(body)
    assert r.text() == "MQTT"
    level, flags, keepalive = r.number(1), r.number(1), r.number(2)
    version = level & 0x7F
    v5 = version == raw.V5
    properties = r.properties() if v5 else {}
    made = Connect(version, level >= 0x80, bool(flags & 2), keepalive, r.text(), properties)
    if flags & 4:
        will_properties = r.properties() if v5 else {}
        made.will = raw.Will(r.text(), r.binary(), flags >> 3 & 3, bool(flags & 0x20), will_properties)
    if flags & 0x80:
        made.username = r.text()
    if flags & 0x40:
        made.password = r.binary()
    assert not r.left()
    return made


class Link(Over):
    """One connection of a bridge. SUBSCRIBE and PINGREQ are answered without the test."""

    def __init__(self, sock):
        super().__init__(sock, None)
        # What it has subscribed to, and how many filters each SUBSCRIBE had.
        self.subscribed, self.sizes = [], []
        packet = self._receive(WITHIN)
        assert packet.kind == raw.CONNECT, packet
        self.connect = _connect(packet.body)
        self.version = self.connect.version

    def accept(self, session_present=False, **properties):
        return self.connack(0, session_present, **properties)

    def connack(self, reason, session_present=False, **properties):
        tail = raw.props(properties) if self.version == raw.V5 else b""
        return self.send(raw.frame(raw.CONNACK, bytes([session_present, reason]) + tail))

    def _parse(self):
        while packet := super()._parse():
            if packet.kind == raw.PINGREQ:
                self.send(raw.frame(raw.PINGRESP))
            elif packet.kind == raw.SUBSCRIBE:
                self._grant(raw._Reader(packet.body))
            else:
                return packet
        return None

    def _decode(self, first, body):
        if first >> 4 in (raw.CONNECT, raw.SUBSCRIBE, raw.PINGREQ):
            return raw.Packet(first >> 4, first & 15, body)
        if first >> 4 == raw.DISCONNECT and self.version != raw.V5:
            return raw.Packet(raw.DISCONNECT, 0, body, reason=0)
        return raw.decode(first, body, self.version)

    def _grant(self, r):
        v5 = self.version == raw.V5
        pid = r.number(2)
        if v5:
            r.properties()
        codes = b""
        while r.left():
            self.subscribed.append((r.text(), r.number(1)))
            codes += bytes([self.subscribed[-1][1] & 3])
        self.sizes.append(len(codes))
        self.send(raw.frame(raw.SUBACK, raw.u16(pid) + (b"\0" if v5 else b"") + codes))

    def published(self, payload=None, timeout=WITHIN):
        """The next PUBLISH, which is not answered."""
        packet = self.expect(raw.PUBLISH, timeout)
        assert payload is None or packet.payload == payload, packet
        return packet

    def take(self, payload=None, timeout=WITHIN):
        """The next PUBLISH, acknowledged to its end."""
        packet = self.published(payload, timeout)
        self.acknowledge(packet)
        return packet

    def refuse(self, packet, reason):
        return self.send(raw.ack(raw.PUBACK if packet.qos == 1 else raw.PUBREC, packet.pid, reason))

    def close(self):
        self.socket.close()


class StandIn:
    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port, self.links = self.listener.getsockname()[1], []

    def link(self, timeout=WITHIN):
        """The next connection, whose CONNECT is read and not yet answered."""
        self.listener.settimeout(timeout)
        self.links.append(Link(self.listener.accept()[0]))
        return self.links[-1]

    def close(self):
        for link in self.links:
            link.close()
        self.listener.close()
