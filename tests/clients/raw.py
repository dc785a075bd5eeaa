"""MQTT packets by hand: a builder that can also build what must not be built, and a reader."""

from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = range(8, 16)
NAMES = dict(enumerate(
    "? CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE "
    "UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH".split()))

V31, V311, V5 = 3, 4, 5

# Identifier and wire type of each property of MQTT 5.0.
PROPERTIES = {
    "payload_format": (1, "u8"), "message_expiry": (2, "u32"), "content_type": (3, "str"),
    "response_topic": (8, "str"), "correlation_data": (9, "bin"),
    "subscription_id": (11, "var"), "session_expiry": (17, "u32"),
    "assigned_client_id": (18, "str"), "server_keep_alive": (19, "u16"),
    "auth_method": (21, "str"), "auth_data": (22, "bin"), "request_problem_info": (23, "u8"),
    "will_delay": (24, "u32"), "request_response_info": (25, "u8"),
    "response_info": (26, "str"), "server_reference": (28, "str"), "reason_string": (31, "str"),
    "receive_maximum": (33, "u16"), "topic_alias_maximum": (34, "u16"),
    "topic_alias": (35, "u16"), "maximum_qos": (36, "u8"), "retain_available": (37, "u8"),
    "user_property": (38, "pair"), "maximum_packet_size": (39, "u32"),
    "wildcard_available": (40, "u8"), "subscription_id_available": (41, "u8"),
    "shared_available": (42, "u8"),
}
_BY_ID = {ident: (name, kind) for name, (ident, kind) in PROPERTIES.items()}
REPEATED = ("user_property", "subscription_id")


def varint(value):
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def u16(value):
    return value.to_bytes(2, "big")


def text(value):
    """A string (or the bytes that stand for one) with its length in front."""
    value = value.encode() if isinstance(value, str) else value
    return u16(len(value)) + value


def prop(name, value):
    """One property, or raw bytes if `name` is None."""
    if name is None:
        return value
    ident, kind = PROPERTIES[name]
    if kind == "u8":
        body = bytes([value])
    elif kind == "u16":
        body = u16(value)
    elif kind == "u32":
        body = value.to_bytes(4, "big")
    elif kind == "var":
        body = varint(value)
    elif kind == "pair":
        body = text(value[0]) + text(value[1])
    else:
        body = text(value)
    return varint(ident) + body


def props(items=()):
    """A property block from a dict, or from a list of pairs where order or repetition matters."""
    pairs = items.items() if isinstance(items, dict) else items
    body = b"".join(prop(name, value) for name, value in pairs)
    return varint(len(body)) + body


def frame(kind, body=b"", flags=None):
    if flags is None:
        flags = 2 if kind in (PUBREL, SUBSCRIBE, UNSUBSCRIBE) else 0
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


@dataclass
class Will:
    topic: object = "will"
    payload: object = b"gone"
    qos: int = 0
    retain: bool = False
    properties: object = ()


def connect(client_id="", version=V311, clean=True, keepalive=0, will=None, username=None,
            password=None, properties=(), name=None, flags=None, level=None):
    bits = (0x02 if clean else 0) | (0x80 if username is not None else 0) | (
        0x40 if password is not None else 0)
    if will:
        bits |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
    name = name or ("MQIsdp" if version == V31 else "MQTT")
    body = text(name) + bytes([version if level is None else level, bits if flags is None else flags])
    body += u16(keepalive)
    if version == V5:
        body += props(properties)
    body += text(client_id)
    if will:
        if version == V5:
            body += props(will.properties)
        body += text(will.topic) + text(will.payload)
    if username is not None:
        body += text(username)
    if password is not None:
        body += text(password)
    return frame(CONNECT, body)


def publish(topic, payload=b"", qos=0, pid=None, retain=False, dup=False, version=V311,
            properties=()):
    payload = payload.encode() if isinstance(payload, str) else payload
    body = text(topic)
    if pid is not None:
        body += u16(pid)
    if version == V5:
        body += props(properties)
    return frame(PUBLISH, body + payload, (8 if dup else 0) | qos << 1 | (1 if retain else 0))


def ack(kind, pid, reason=None, properties=None, flags=None):
    body = u16(pid)
    if reason is not None or properties is not None:
        body += bytes([reason or 0])
    if properties is not None:
        body += props(properties)
    return frame(kind, body, flags)


def subscribe(pid, filters, version=V311, properties=(), flags=None):
    body = u16(pid) + (props(properties) if version == V5 else b"")
    for name, options in filters:
        body += text(name) + bytes([options])
    return frame(SUBSCRIBE, body, flags)


def unsubscribe(pid, filters, version=V311, properties=(), flags=None):
    body = u16(pid) + (props(properties) if version == V5 else b"")
    return frame(UNSUBSCRIBE, body + b"".join(text(name) for name in filters), flags)


def pingreq():
    return frame(PINGREQ)


def disconnect(reason=None, properties=None):
    body = b"" if reason is None and properties is None else bytes([reason or 0])
    return frame(DISCONNECT, body + (b"" if properties is None else props(properties)))


def auth(reason=0x18, properties=()):
    return frame(AUTH, bytes([reason]) + props(properties))


@dataclass
class Packet:
    """What a broker has sent, taken apart. Fails loudly on anything that a broker must not send."""
    kind: int
    flags: int
    body: bytes
    pid: int = None
    reason: int = None
    codes: tuple = ()
    topic: str = None
    payload: bytes = None
    session_present: bool = None
    properties: dict = field(default_factory=dict)

    qos = property(lambda self: self.flags >> 1 & 3)
    retain = property(lambda self: bool(self.flags & 1))
    dup = property(lambda self: bool(self.flags & 8))
    size = property(lambda self: 1 + len(varint(len(self.body))) + len(self.body))

    def __repr__(self):
        parts = [f"{key}={value!r}" for key, value in (
            ("pid", self.pid), ("reason", self.reason), ("codes", self.codes),
            ("topic", self.topic), ("payload", self.payload and self.payload[:40]),
            ("properties", self.properties)) if value not in (None, (), {})]
        return f"{NAMES[self.kind]}({', '.join(parts)}, flags={self.flags:04b})"


class _Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        piece = self.data[self.at:self.at + count]
        assert len(piece) == count, f"truncated: {self.data!r}"
        self.at += count
        return piece

    def number(self, width):
        return int.from_bytes(self.take(width), "big")

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7

    def binary(self):
        return self.take(self.number(2))

    def text(self):
        value = self.binary().decode("utf-8")
        assert "\0" not in value, "U+0000 in a string"
        return value

    def left(self):
        return len(self.data) - self.at

    def properties(self):
        end = self.varint() + self.at
        found = {}
        while self.at < end:
            name, kind = _BY_ID[self.varint()]
            value = {"u8": lambda: self.number(1), "u16": lambda: self.number(2),
                     "u32": lambda: self.number(4), "var": self.varint, "bin": self.binary,
                     "str": self.text, "pair": lambda: (self.text(), self.text())}[kind]()
            if name in REPEATED:
                found.setdefault(name, []).append(value)
            else:
                assert name not in found, f"{name} twice"
                found[name] = value
        assert self.at == end, "property block overrun"
        return found


def decode(first, body, version):
    packet = Packet(first >> 4, first & 15, body)
    r = _Reader(body)
    v5 = version == V5
    if packet.kind == PUBLISH:
        assert packet.qos != 3
        packet.topic = r.text()
        if packet.qos:
            packet.pid = r.number(2)
            assert packet.pid, "packet id 0"
        packet.properties = r.properties() if v5 else {}
        packet.payload = r.take(r.left())
        return packet
    assert packet.flags == (2 if packet.kind == PUBREL else 0), f"flags of {packet}"
    if packet.kind == CONNACK:
        flags = r.number(1)
        assert flags & 0xFE == 0, "reserved CONNACK flags"
        packet.session_present, packet.reason = bool(flags), r.number(1)
        packet.properties = r.properties() if v5 else {}
    elif packet.kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        packet.pid = r.number(2)
        packet.reason = r.number(1) if v5 and r.left() else 0
        packet.properties = r.properties() if v5 and r.left() else {}
    elif packet.kind in (SUBACK, UNSUBACK):
        packet.pid = r.number(2)
        packet.properties = r.properties() if v5 else {}
        packet.codes = tuple(r.take(r.left()))
    elif packet.kind in (DISCONNECT, AUTH):
        assert v5, f"{NAMES[packet.kind]} from a server in MQTT 3"
        packet.reason = r.number(1) if r.left() else 0
        packet.properties = r.properties() if r.left() else {}
    elif packet.kind != PINGRESP:
        raise AssertionError(f"a broker never sends {NAMES[packet.kind]}")
    assert not r.left(), f"{r.left()} bytes too many in {packet}"
    return packet
