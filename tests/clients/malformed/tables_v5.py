"""Properties that may not be there, may not be twice, or may not have that value (MQTT 5.0)."""

import raw
from raw import PROPERTIES, frame, text, u16

SAMPLE = {"u8": 1, "u16": 5, "u32": 5, "var": 5, "str": "x", "bin": b"x", "pair": ("k", "v")}
ALLOWED = {
    "CONNECT": {"session_expiry", "receive_maximum", "maximum_packet_size", "topic_alias_maximum",
                "request_response_info", "request_problem_info", "user_property", "auth_method", "auth_data"},
    "WILL": {"will_delay", "payload_format", "message_expiry", "content_type", "response_topic",
             "correlation_data", "user_property"},
    "PUBLISH": {"payload_format", "message_expiry", "content_type", "response_topic", "correlation_data",
                "user_property", "topic_alias"},
    "PUBACK": {"reason_string", "user_property"}, "PUBREC": {"reason_string", "user_property"},
    "PUBREL": {"reason_string", "user_property"}, "PUBCOMP": {"reason_string", "user_property"},
    "SUBSCRIBE": {"subscription_id", "user_property"}, "UNSUBSCRIBE": {"user_property"},
    "DISCONNECT": {"session_expiry", "reason_string", "user_property"},
}


def with_properties(packet, items):
    if packet == "CONNECT":
        return raw.connect("x", raw.V5, properties=items)
    if packet == "WILL":
        return raw.connect("x", raw.V5, will=raw.Will(properties=items))
    if packet == "PUBLISH":
        return raw.publish("t", b"x", version=raw.V5, properties=items)
    if packet == "SUBSCRIBE":
        return raw.subscribe(1, [("t", 0)], raw.V5, items)
    if packet == "UNSUBSCRIBE":
        return raw.unsubscribe(1, ["t"], raw.V5, items)
    if packet == "DISCONNECT":
        return raw.disconnect(0, items)
    return raw.ack(getattr(raw, packet), 1, 0, items)


def foreign():
    for packet, allowed in ALLOWED.items():
        for name, (_, kind) in PROPERTIES.items():
            if name not in allowed:
                yield f"{name} in {packet}", packet, with_properties(packet, [(name, SAMPLE[kind])])


def twice():
    for packet, allowed in ALLOWED.items():
        for name in sorted(allowed - {"user_property"}):
            item = (name, SAMPLE[PROPERTIES[name][1]])
            items = [item, item] + ([("auth_method", "x")] if name == "auth_data" else [])
            yield f"{name} twice in {packet}", packet, with_properties(packet, items)


def badly_built():
    blocks = {
        "unknown identifier 0": b"\0", "unknown identifier 4": b"\4\0", "unknown identifier 127": b"\x7f",
        "identifier of two bytes": b"\x80\x01", "overlong identifier": b"\xa6\x00\0\1k\0\1v",
        "cut pair": b"\x26\0\1k", "pair with one string": b"\x26\0\1k\0\5v",
        "key not utf8": b"\x26\0\1\xff\0\1v", "value with nul": b"\x26\0\1k\0\1\0",
    }
    for packet in ALLOWED:
        for name, block in blocks.items():
            yield f"{name} in {packet}", packet, with_properties(packet, [(None, block)])


def too_long():
    """A property length that reaches past the end of its packet."""
    yield "CONNECT", "CONNECT", frame(raw.CONNECT, text("MQTT") + b"\5\2\0\0\x7f" + text("x"))
    yield "PUBLISH", "PUBLISH", frame(raw.PUBLISH, text("t") + b"\x7f")
    yield "PUBLISH overlong", "PUBLISH", frame(raw.PUBLISH, text("t") + b"\x80\0")
    yield "PUBLISH five bytes", "PUBLISH", frame(raw.PUBLISH, text("t") + b"\x80\x80\x80\x80\0")
    yield "PUBLISH no length", "PUBLISH", frame(raw.PUBLISH, text("t"))
    yield "SUBSCRIBE", "SUBSCRIBE", frame(raw.SUBSCRIBE, u16(1) + b"\x20" + text("t") + b"\0")
    yield "UNSUBSCRIBE", "UNSUBSCRIBE", frame(raw.UNSUBSCRIBE, u16(1) + b"\x20" + text("t"))
    yield "PUBACK", "PUBACK", frame(raw.PUBACK, u16(1) + b"\0\5")
    yield "PUBREL", "PUBREL", frame(raw.PUBREL, u16(1) + b"\0\5")
    yield "DISCONNECT", "DISCONNECT", frame(raw.DISCONNECT, b"\0\5")
    yield "PUBACK trailing", "PUBACK", frame(raw.PUBACK, u16(1) + b"\0\0\0")
    yield "DISCONNECT trailing", "DISCONNECT", frame(raw.DISCONNECT, b"\0\0\0")
    yield "WILL", "WILL", frame(raw.CONNECT, text("MQTT") + b"\5\6\0\0\0" + text("x") + b"\x30" + text("w") + text(""))


def out_of_range():
    for packet, items in (
        ("CONNECT", {"receive_maximum": 0}), ("CONNECT", {"maximum_packet_size": 0}),
        ("CONNECT", {"request_problem_info": 2}), ("CONNECT", {"request_response_info": 2}),
        ("WILL", {"payload_format": 2}), ("PUBLISH", {"payload_format": 2}),
        ("PUBLISH", {"payload_format": 255}), ("PUBLISH", {"topic_alias": 0}),
        ("PUBLISH", {"topic_alias": 65535}), ("PUBLISH", {"response_topic": "a/#"}),
        ("PUBLISH", {"response_topic": "+"}), ("WILL", {"response_topic": "#"}),
        ("SUBSCRIBE", {"subscription_id": 0}),
    ):
        yield f"{items} in {packet}", packet, with_properties(packet, items)


def reason_codes():
    """Codes that the packet does not have [3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1, 3.14.2-1]."""
    for packet, codes in (("PUBACK", (0x01, 0x92, 0xFF)), ("PUBREC", (0x02, 0x92, 0x42)),
                          ("PUBREL", (0x01, 0x10, 0x80)), ("PUBCOMP", (0x03, 0x10, 0x80)),
                          ("DISCONNECT", (0x01, 0x02, 0x03, 0x18, 0x77, 0xFF))):
        for code in codes:
            made = raw.disconnect(code) if packet == "DISCONNECT" else raw.ack(getattr(raw, packet), 1, code)
            yield f"{packet} with reason {code:#x}", packet, made
