"""What no client may send, as bytes. Each entry: name, packet, and for 5.0 the reasons that fit."""

import raw
from raw import frame, text, u16

BAD_TEXT = {
    "ff": b"a\xff", "overlong slash": b"\xc0\xaf", "surrogate": b"\xed\xa0\x80",
    "surrogate pair": b"\xed\xa0\x81\xed\xb0\x80", "past U+10FFFF": b"\xf4\x90\x80\x80",
    "cut short": b"\xe2\x82", "lone continuation": b"\x80", "nul": b"a\0b", "overlong nul": b"\xc0\x80",
}
ACKS = {"puback": raw.PUBACK, "pubrec": raw.PUBREC, "pubrel": raw.PUBREL, "pubcomp": raw.PUBCOMP}
FLAGGED = {"pubrel": raw.ack(raw.PUBREL, 1)[1:], "puback": raw.ack(raw.PUBACK, 1)[1:],
           "pubrec": raw.ack(raw.PUBREC, 1)[1:], "pubcomp": raw.ack(raw.PUBCOMP, 1)[1:],
           "pingreq": b"\0", "disconnect": b"\0"}
KIND = ACKS | {"pingreq": raw.PINGREQ, "disconnect": raw.DISCONNECT, "subscribe": raw.SUBSCRIBE,
               "unsubscribe": raw.UNSUBSCRIBE, "auth": raw.AUTH}
NEED_2 = ("pubrel", "subscribe", "unsubscribe")


def wrong_flags(version):
    tails = dict(FLAGGED)
    tails["subscribe"] = raw.subscribe(1, [("t", 0)], version)[1:]
    tails["unsubscribe"] = raw.unsubscribe(1, ["t"], version)[1:]
    if version == raw.V5:
        tails["auth"] = raw.auth()[1:]
    for name, tail in tails.items():
        for flags in range(16):
            if flags != (2 if name in NEED_2 else 0):
                yield f"{name} with flags {flags}", bytes([KIND[name] << 4 | flags]) + tail


def kinds_a_client_never_sends(version):
    for kind in (0, raw.CONNACK, raw.SUBACK, raw.UNSUBACK, raw.PINGRESP) + (
            () if version == raw.V5 else (15,)):
        for body in (b"", b"\0\1", b"\0\1\0", b"\0\1\0\0"):
            yield f"kind {kind} with {len(body)} bytes", frame(kind, body, 0)


def lengths(version):
    none = b"\0" if version == raw.V5 else b""
    whole = {
        "puback empty": frame(raw.PUBACK), "puback 1 byte": frame(raw.PUBACK, b"\1"),
        "pubrec 1 byte": frame(raw.PUBREC, b"\1"), "pubrel empty": frame(raw.PUBREL),
        "pubcomp 1 byte": frame(raw.PUBCOMP, b"\1"),
        "subscribe empty": frame(raw.SUBSCRIBE), "subscribe only id": frame(raw.SUBSCRIBE, b"\0\1" + none),
        "subscribe without options": frame(raw.SUBSCRIBE, b"\0\1" + none + text("t")),
        "subscribe filter cut": frame(raw.SUBSCRIBE, b"\0\1" + none + b"\0\5ab"),
        "subscribe second filter cut": frame(raw.SUBSCRIBE, b"\0\1" + none + text("t") + b"\0\0\1"),
        "unsubscribe empty": frame(raw.UNSUBSCRIBE),
        "unsubscribe only id": frame(raw.UNSUBSCRIBE, b"\0\1" + none),
        "unsubscribe filter cut": frame(raw.UNSUBSCRIBE, b"\0\1" + none + b"\0\5ab"),
        "pingreq with a body": frame(raw.PINGREQ, b"\0"),
        "publish empty": frame(raw.PUBLISH), "publish 1 byte": frame(raw.PUBLISH, b"\0"),
        "publish topic cut": frame(raw.PUBLISH, b"\0\5ab"),
        "publish qos 1 without id": frame(raw.PUBLISH, text("t"), 2),
        "publish qos 2 half an id": frame(raw.PUBLISH, text("t") + b"\0", 4),
        "length of five bytes": b"\x30\x80\x80\x80\x80\x01",
        "length of five ff": b"\x30\xff\xff\xff\xff\xff",
        "overlong length 2": b"\xc0\x80\x00", "overlong length 3": b"\xc0\x80\x80\x00",
        "overlong length 4": b"\xc0\x80\x80\x80\x00",
    }
    if version != raw.V5:
        whole |= {f"{name} with a byte too many": frame(kind, b"\0\1\0") for name, kind in ACKS.items()}
        whole["disconnect with a body"] = frame(raw.DISCONNECT, b"\0")
    return whole.items()


def topics(version):
    for name, bad in BAD_TEXT.items():
        yield f"publish topic {name}", raw.publish(bad, version=version)
        yield f"publish qos 1 topic {name}", raw.publish(bad, qos=1, pid=1, version=version)
        yield f"subscribe filter {name}", raw.subscribe(1, [(bad, 0)], version)
        yield f"subscribe second filter {name}", raw.subscribe(1, [("t", 0), (bad, 0)], version)
        yield f"unsubscribe filter {name}", raw.unsubscribe(1, [bad], version)
    for topic in ("#", "+", "a/#", "a/+", "+/a", "a#b", "a+b", "/#", "+/+"):
        yield f"publish to {topic}", raw.publish(topic, version=version)
        yield f"publish qos 2 to {topic}", raw.publish(topic, qos=2, pid=1, version=version)


def values(version):
    for qos in (1, 2):
        yield f"publish qos {qos} with id 0", raw.publish("t", qos=qos, pid=0, version=version)
    for dup in (False, True):
        for retain in (False, True):
            yield f"publish qos 3 {dup} {retain}", raw.publish("t", qos=3, pid=1, dup=dup, retain=retain,
                                                               version=version)
    yield "publish qos 0 with dup", raw.publish("t", dup=True, version=version)
    yield "subscribe with id 0", raw.subscribe(0, [("t", 0)], version)
    yield "unsubscribe with id 0", raw.unsubscribe(0, ["t"], version)
    for name, kind in ACKS.items():
        yield f"{name} with id 0", raw.ack(kind, 0)
    bits = (3, 0x40, 0x80, 0xC0, 0x30, 0x33) if version == raw.V5 else (3, 4, 8, 0x10, 0x20, 0x40, 0x80)
    for options in bits:
        yield f"subscribe options {options:#x}", raw.subscribe(1, [("t", options)], version)
    yield "a second CONNECT", raw.connect("again", version=version)


def connects(version):
    none = b"\0" if version == raw.V5 else b""
    head = text("MQTT") + bytes([version])

    def made(flags, *fields, alive=0):
        return frame(raw.CONNECT, head + bytes([flags]) + u16(alive) + none + b"".join(fields))

    will = none + text("w") + text("m")
    yield "empty", frame(raw.CONNECT)
    yield "flags in the fixed header", frame(raw.CONNECT, raw.connect("x", version)[2:], 1)
    yield "cut in the name", frame(raw.CONNECT, b"\0\4MQ")
    yield "cut after the name", frame(raw.CONNECT, text("MQTT"))
    yield "cut after the level", frame(raw.CONNECT, head)
    yield "cut in keep alive", frame(raw.CONNECT, head + b"\2\0")
    yield "no client identifier", made(2)
    yield "client identifier cut", made(2, b"\0\5ab")
    yield "reserved flag", made(3, text("x"))
    for flags in (0x0A, 0x12, 0x1A, 0x22, 0x3A):
        yield f"will bits {flags:#x} without will", made(flags, text("x"))
    yield "will qos 3", made(0x1E, text("x"), will)
    yield "will missing", made(0x06, text("x"))
    yield "will payload missing", made(0x06, text("x"), none, text("w"))
    yield "will payload cut", made(0x06, text("x"), none, text("w"), b"\0\5ab")
    yield "will topic empty", made(0x06, text("x"), none, text(""), text("m"))
    yield "will topic with wildcard", made(0x06, text("x"), none, text("w/#"), text("m"))
    yield "user name missing", made(0x82, text("x"))
    yield "password missing", made(0xC2, text("x"), text("u"))
    yield "bytes after the payload", made(2, text("x"), b"\0")
    yield "an unannounced user name", made(2, text("x"), text("u"))
    if version != raw.V5:
        yield "password without user name", made(0x42, text("x"), text("p"))
    for name, bad in BAD_TEXT.items():
        yield f"client identifier {name}", made(2, text(bad))
        yield f"will topic {name}", made(6, text("x"), none, text(bad), text("m"))
        yield f"user name {name}", made(0x82, text("x"), text(bad))


def before_connect(version):
    yield "pingreq", raw.pingreq()
    yield "publish", raw.publish("t", b"x", version=version)
    yield "subscribe", raw.subscribe(1, [("t", 0)], version)
    yield "disconnect", raw.disconnect()
    yield "connack", frame(raw.CONNACK, b"\0\0")
    yield "reserved kind", b"\0\0"
    yield "http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "tls", bytes.fromhex("16030100a5010000a10303") + bytes(200)
    yield "auth", raw.auth()
    yield "zeros", bytes(64)
    yield "ones", b"\xff" * 64
