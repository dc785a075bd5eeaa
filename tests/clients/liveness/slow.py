"""A client that reads no faster than a rate, answers everything, pings, and keeps account."""

import select
import time

import raw


class SlowReader:
    """Drives a `Raw` that is connected: reads `rate` bytes a second, sends PINGREQ every
    `ping` seconds, acknowledges at once, and notes when each packet came."""

    def __init__(self, client, rate, ping=None):
        self.client, self.rate, self.ping = client, rate, ping
        self.messages, self.others, self.read = [], [], 0

    def answers(self, kind):
        return [packet for packet in self.others if packet.kind == kind]

    def until(self, done, within):
        """Reads until `done()`; the seconds that it took. Raises AssertionError when it
        takes longer than `within`, and when the broker closes."""
        client, started = self.client, time.monotonic()
        before, pinged = self.read, started
        client.socket.setblocking(True)
        # What came with the packets that were read before.
        self._take()
        while not done():
            now = time.monotonic()
            assert now - started < within, f"waited {within} s: {self!r}"
            if self.ping and now - pinged >= self.ping:
                pinged = now
                client.send(raw.pingreq())
            allowed = int((now - started) * self.rate) - (self.read - before)
            if allowed <= 0:
                time.sleep(0.005)
                continue
            if not select.select([client.socket], [], [], 0.05)[0]:
                continue
            try:
                data = client.socket.recv(min(allowed, 65536))
            except ConnectionError:
                data = b""
            assert data, f"the broker closed: {self!r}"
            self.read += len(data)
            client.buffer += data
            self._take()
        return time.monotonic() - started

    def _take(self):
        client = self.client
        while packet := client._parse():
            if packet.kind == raw.PUBLISH:
                self.messages.append(packet)
                if packet.qos == 1:
                    client.send(raw.ack(raw.PUBACK, packet.pid))
                elif packet.qos == 2:
                    client.send(raw.ack(raw.PUBREC, packet.pid))
            elif packet.kind == raw.PUBREL:
                client.send(raw.ack(raw.PUBCOMP, packet.pid))
            else:
                self.others.append(packet)

    def __repr__(self):
        return (f"{self.read} bytes, {len(self.messages)} messages, "
                f"last of the others {self.others[-3:]}")
