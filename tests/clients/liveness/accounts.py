"""A client with a durable session that reads and writes at once, survives its connections, and
keeps account of what it was promised and of what it was given."""

import collections
import random
import select
import time

import raw
from rawclient import Raw

EXPIRY = 3600


class Ended(Exception):
    """The broker has closed the connection."""


class Account:
    """Publishes numbered messages to `topic`, and takes those of `filters`.

    `sent` numbers were given out; those in `promised` were acknowledged (PUBACK, PUBREC);
    `received` counts each message by its publisher and number, without the repeats that the
    protocol allows QoS 1 and without those that a packet id identifies as QoS 2's. What is read
    and written is limited by `rate`, in bytes a second, each way.
    """

    def __init__(self, port, name, version, qos, topic, filters=(), size=100, window=100,
                 receive_buffer=None, send_buffer=None, rate=None, keepalive=0):
        self.port, self.name, self.version, self.qos = port, name, version, qos
        self.topic, self.filters = topic, list(filters)
        self.size, self.window, self.keepalive = size, window, keepalive
        self.buffers, self.rate = (receive_buffer, send_buffer), rate
        self.sent, self.goal = 0, 0
        self.promised = set()
        # By packet id: the number and what is to be repeated after a reconnect.
        self.outstanding = collections.OrderedDict()
        self.received, self.repeated, self.out_of_order = collections.Counter(), 0, []
        # Packet ids of QoS 2 messages that were received and are not released.
        self.known, self.highest = set(), {}
        self.client, self.output, self.reads = None, bytearray(), True
        self.pings, self.pongs, self.last_ping = 0, 0, 0.0
        self.connections, self.session_lost = 0, 0

    # Connections.

    def connect(self):
        """A new connection; the one before stays open, if there is one, until the broker ends it."""
        self.client = Raw(self.port, self.version, *self.buffers)
        properties = {"session_expiry": EXPIRY} if self.version == raw.V5 else ()
        connack = self.client.connect(self.name, clean=False, keepalive=self.keepalive,
                                      properties=properties)
        if self.connections and self.version != raw.V31 and not connack.session_present:
            self.session_lost += 1
        self.connections += 1
        self.output = bytearray()
        self.pings = self.pongs = 0
        self.started, self.moved = time.monotonic(), [0, 0]
        for pid, (number, packet) in self.outstanding.items():
            if packet is None:
                self.output += raw.ack(raw.PUBREL, pid)
            else:
                self.output += self._publish(number, pid, dup=True)
        self.client.socket.setblocking(False)
        return self

    def subscribe(self):
        """On a connection of its own, which is closed again."""
        with Raw(self.port, self.version) as client:
            properties = {"session_expiry": EXPIRY} if self.version == raw.V5 else ()
            client.connect(self.name, clean=False, properties=properties)
            client.subscribe(*self.filters, qos=self.qos)
            client.disconnect()
        self.connections += 1
        return self

    def drop(self):
        if self.client:
            self.client.drop()
            self.client = None

    # Packets.

    def _publish(self, number, pid, dup=False):
        payload = f"{self.name} {number} ".encode().ljust(self.size, b".")
        return raw.publish(self.topic, payload, self.qos, pid if self.qos else None,
                           dup=dup and self.qos > 0, version=self.version)

    def _fill(self):
        """New messages, as far as the window and what waits to be written allow."""
        while (self.sent < self.goal and len(self.output) < 256 << 10
               and (not self.qos or len(self.outstanding) < self.window)):
            pid = None
            if self.qos:
                pid = self.sent % 60_000 + 1
                if pid in self.outstanding:
                    return
                self.outstanding[pid] = (self.sent, raw.PUBLISH)
            self.output += self._publish(self.sent, pid)
            self.sent += 1

    def _take(self, packet):
        if packet.kind == raw.PUBLISH:
            self._take_publish(packet)
        elif packet.kind == raw.PUBREL:
            self.known.discard(packet.pid)
            self.output += raw.ack(raw.PUBCOMP, packet.pid)
        elif packet.kind in (raw.PUBACK, raw.PUBREC, raw.PUBCOMP):
            self._take_answer(packet)
        elif packet.kind == raw.PINGRESP:
            self.pongs += 1
        elif packet.kind == raw.DISCONNECT:
            raise Ended(packet)
        else:
            raise AssertionError(packet)

    def _take_publish(self, packet):
        publisher, number, _ = packet.payload.split(b" ", 2)
        if packet.qos == 1:
            self.output += raw.ack(raw.PUBACK, packet.pid)
        elif packet.qos == 2:
            self.output += raw.ack(raw.PUBREC, packet.pid)
            if packet.pid in self.known:
                assert packet.dup, f"a new message under an identifier in use: {packet}"
                return
            self.known.add(packet.pid)
        key = (publisher.decode(), int(number))
        self.received[key] += 1
        self.repeated += self.received[key] > 1
        if self.received[key] == 1:
            if key[1] < self.highest.get(key[0], -1):
                self.out_of_order.append(key)
            self.highest[key[0]] = max(self.highest.get(key[0], -1), key[1])

    def _take_answer(self, packet):
        if packet.pid not in self.outstanding:
            assert packet.kind == raw.PUBCOMP or self.connections > 1, f"{packet} is not due"
            return
        number, _ = self.outstanding[packet.pid]
        assert packet.reason in (0, 0x10), packet
        if packet.kind == raw.PUBREC:
            # Once released, it stays so over reconnects.
            self.outstanding[packet.pid] = (number, None)
            self.output += raw.ack(raw.PUBREL, packet.pid)
        else:
            del self.outstanding[packet.pid]
        self.promised.add(number)

    # Time.

    def ping(self):
        self.pings += 1
        self.output += raw.pingreq()

    def _allowed(self, way):
        if self.rate is None:
            return 256 << 10
        return min(int((time.monotonic() - self.started) * self.rate) - self.moved[way], 64 << 10)

    def step(self, ready=True):
        """Moves what can be moved. Raises `Ended` at the end of the connection."""
        self._fill()
        socket = self.client.socket
        read, write = self.reads and self._allowed(0) > 0, self.output and self._allowed(1) > 0
        readable, writable, _ = select.select([socket] if read else [], [socket] if write else [],
                                              [], 0)
        try:
            if readable:
                data = socket.recv(self._allowed(0))
                if not data:
                    raise Ended
                self.moved[0] += len(data)
                self.client.buffer += data
                while packet := self.client._parse():
                    self._take(packet)
            if writable:
                count = socket.send(self.output[:self._allowed(1)])
                self.moved[1] += count
                del self.output[:count]
        except ConnectionError as error:
            raise Ended from error
        return bool(readable or writable)

    def is_done(self):
        return self.sent == self.goal and not self.outstanding and not self.output

    def __repr__(self):
        return (f"{self.name} (version {self.version}, QoS {self.qos}): sent {self.sent}/{self.goal}, "
                f"promised {len(self.promised)}, {len(self.outstanding)} outstanding, "
                f"{len(self.output)} B to write, received {len(self.received)} and "
                f"{self.repeated} repeats, pings {self.pongs}/{self.pings}")


def drive(accounts, done, within):
    """Steps all of them until `done()`; fails after `within` seconds without any progress."""
    progress = time.monotonic()
    while not done():
        moved = False
        for account in accounts:
            moved |= account.step()
        now = time.monotonic()
        if moved:
            progress = now
        else:
            time.sleep(0.001)
        assert now - progress < within, f"nothing has moved for {within} s: {accounts}"


def check(receiver, publishers, qos=None):
    """Nothing promised is missing; QoS 2 and 0 came no more than once, and all in order."""
    qos = receiver.qos if qos is None else qos
    for publisher in publishers:
        effective = min(qos, publisher.qos)
        if effective:
            missing = [n for n in sorted(publisher.promised)
                       if not receiver.received[publisher.name, n]]
            assert not missing, f"{len(missing)} promised messages never came to {receiver}: {missing[:10]}"
        twice = [(key, count) for key, count in receiver.received.items()
                 if key[0] == publisher.name and count > 1]
        assert effective == 1 or not twice, f"more than once at QoS {effective}: {twice[:10]}"
    assert not receiver.out_of_order, f"out of order: {receiver.out_of_order[:10]}"
    assert not receiver.session_lost, receiver


def pause(dice: random.Random, account, most):
    """Steps an account a random number of times."""
    for _ in range(dice.randrange(most)):
        if not account.step():
            time.sleep(0.0005)
