"""A client over a plain socket that does nothing by itself: every acknowledgement is the test's."""

import collections
import itertools
import socket
import time

import raw

TIMEOUT = 5.0
_fences = itertools.count(1)


class Closed(Exception):
    """The broker has closed the connection."""


class Raw:
    """`receive_buffer` and `send_buffer` are SO_RCVBUF and SO_SNDBUF, in bytes."""

    def __init__(self, port, version=raw.V311, receive_buffer=None, send_buffer=None):
        self.version = version
        self.pids = itertools.count(1)
        self.buffer = b""
        self.kept = collections.deque()
        self.socket = socket.socket()
        # Before the connection is made: its window follows from them.
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.socket.settimeout(TIMEOUT)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    # Bytes and packets.

    def send(self, *packets):
        self.socket.sendall(b"".join(packets))
        return self

    def recv(self, timeout=TIMEOUT):
        """The next packet. Raises Closed at the end of the stream, TimeoutError when none comes."""
        return self.kept.popleft() if self.kept else self._receive(timeout)

    def _receive(self, timeout):
        deadline = time.monotonic() + timeout
        while True:
            packet = self._parse()
            if packet:
                return packet
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no packet within {timeout} s")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                raise Closed
            self.buffer += data

    def answer(self, kind, pid, timeout=TIMEOUT):
        """The packet that answers one of ours. Messages that come before it are kept for `recv`."""
        while True:
            packet = self._receive(timeout)
            if packet.kind == kind and packet.pid == pid:
                return packet
            assert packet.kind in (raw.PUBLISH, raw.PUBREL), (
                f"expected {raw.NAMES[kind]} {pid}, got {packet}")
            self.kept.append(packet)

    def _parse(self):
        size, shift = 0, 0
        for index in range(1, min(len(self.buffer), 5)):
            byte = self.buffer[index]
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                end = index + 1 + size
                if len(self.buffer) < end:
                    return None
                first, body = self.buffer[0], self.buffer[index + 1:end]
                self.buffer = self.buffer[end:]
                return self._decode(first, body)
        return None

    def _decode(self, first, body):
        return raw.decode(first, body, self.version)

    def expect(self, kind, timeout=TIMEOUT, **fields):
        packet = self.recv(timeout)
        assert packet.kind == kind, f"expected {raw.NAMES[kind]}, got {packet}"
        for name, value in fields.items():
            assert getattr(packet, name) == value, f"expected {name}={value!r} in {packet}"
        return packet

    def closed(self, timeout=TIMEOUT):
        """Waits for the broker to close; answers what it sent before that."""
        seen = []
        try:
            while True:
                seen.append(self.recv(timeout))
        except Closed:
            return seen

    def refused(self, *reasons, timeout=TIMEOUT):
        """The broker closes; in MQTT 5.0 with one of these reasons, in a DISCONNECT or CONNACK."""
        last = ([None] + self.closed(timeout))[-1]
        if self.version != raw.V5:
            assert last is None or last.kind == raw.CONNACK, f"{last} before the close"
            return last
        assert last is not None, "closed without a reason"
        assert last.kind in (raw.DISCONNECT, raw.CONNACK), f"{last} before the close"
        assert not reasons or last.reason in reasons, f"{last}, expected {[hex(r) for r in reasons]}"
        return last

    def drop(self):
        """Closes without DISCONNECT."""
        self.socket.close()

    # Exchanges.

    def connect(self, client_id="", reason=0, **options):
        self.send(raw.connect(client_id, version=self.version, **options))
        return self.expect(raw.CONNACK, reason=reason)

    def disconnect(self, *args, **options):
        self.send(raw.disconnect(*args, **options))
        assert self.closed() == []

    def subscribe(self, *filters, qos=2, options=0, properties=(), fails=False):
        """Filters as strings (with `qos | options`) or as pairs; answers the SUBACK."""
        pid = next(self.pids)
        pairs = [f if isinstance(f, tuple) else (f, qos | options) for f in filters]
        self.send(raw.subscribe(pid, pairs, self.version, properties))
        packet = self.answer(raw.SUBACK, pid)
        assert len(packet.codes) == len(pairs), packet
        if not fails:
            assert all(code < 0x80 for code in packet.codes), packet
        return packet

    def unsubscribe(self, *filters):
        pid = next(self.pids)
        self.send(raw.unsubscribe(pid, filters, self.version))
        return self.answer(raw.UNSUBACK, pid)

    def publish(self, topic, payload=b"", qos=0, pid=None, **options):
        """Publishes and takes part in the whole exchange. Answers the last packet of it."""
        pid = (pid or next(self.pids)) if qos else None
        self.send(raw.publish(topic, payload, qos, pid, version=self.version, **options))
        if qos == 1:
            return self.answer(raw.PUBACK, pid)
        if qos == 2:
            received = self.answer(raw.PUBREC, pid)
            if received.reason >= 0x80:
                return received
            self.send(raw.ack(raw.PUBREL, pid))
            return self.answer(raw.PUBCOMP, pid)
        return None

    def message(self, timeout=TIMEOUT, answer=True, **fields):
        """The next PUBLISH, acknowledged to its end unless `answer` is False."""
        packet = self.expect(raw.PUBLISH, timeout, **fields)
        if answer:
            self.acknowledge(packet)
        return packet

    def acknowledge(self, packet):
        if packet.qos == 1:
            self.send(raw.ack(raw.PUBACK, packet.pid))
        elif packet.qos == 2:
            self.send(raw.ack(raw.PUBREC, packet.pid))
            self.answer(raw.PUBREL, packet.pid)
            self.send(raw.ack(raw.PUBCOMP, packet.pid))

    def ping(self):
        self.send(raw.pingreq())
        self.answer(raw.PINGRESP, None)

    def until_quiet(self, publisher):
        """All messages that come before a mark that `publisher` sets now, acknowledged.

        Order per publisher makes the mark the last one, so there is no waiting for silence.
        """
        mark = f"fence/{id(self)}/{next(_fences)}"
        self.subscribe(mark)
        assert publisher.publish(mark, qos=2).kind == raw.PUBCOMP, "the mark was refused"
        seen = []
        while True:
            packet = self.message()
            if packet.topic == mark:
                return [p for p in seen if not p.topic.startswith("fence/")]
            seen.append(packet)
