"""One connection to the stand-in for a cloud service. All of its I/O is in one thread, since TLS
of Python allows no other."""

import collections
import socket
import time
from dataclasses import dataclass, field

import raw
from standin import WITHIN, Link

# How soon it sees what the test wants.
TICK = 0.02
REFUSED_311, REFUSED_5 = 4, 0x86


class Dismissed(Exception):
    """The stand-in closes the connection."""


@dataclass
class Session:
    subscriptions: dict = field(default_factory=dict)
    # What waits for the client: (topic, payload, qos).
    waiting: collections.deque = field(default_factory=collections.deque)
    # Sent and not completed, by packet identifier: as above, or None after its PUBREC.
    in_flight: dict = field(default_factory=dict)
    # QoS 2 messages of the client that wait for their PUBREL.
    received: set = field(default_factory=set)


class CloudLink(Link):
    def __init__(self, cloud, secured):
        super().__init__(secured)
        self.cloud, self.limits = cloud, cloud.limits
        self.aliases, self.unanswered = {}, 0
        self.arrivals, self.deliver_at = collections.deque(), 0
        with cloud.changed:
            cloud.links.append(self)

    def run(self):
        self.log_in()
        while True:
            with self.cloud.changed:
                if self.cloud.is_down:
                    raise Dismissed
                self.deliver()
            try:
                packet = self._receive(TICK)
            except TimeoutError:
                continue
            with self.cloud.changed:
                self.take_part(packet)
                self.cloud.changed.notify_all()

    def send(self, *packets):
        # `_receive` leaves a short one.
        self.socket.settimeout(WITHIN)
        return super().send(*packets)

    def shut(self):
        """From another thread: below TLS, whose own would take the connection apart."""
        try:
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
        except OSError:
            pass

    def violated(self, text):
        """Services close without a word."""
        self.cloud.note(text)
        raise Dismissed

    # The connection.

    def log_in(self):
        connect, limits, cloud = self.connect, self.limits, self.cloud
        with cloud.changed:
            if limits.alpn and self.socket.selected_alpn_protocol() != limits.alpn:
                self.violated(f"ALPN is {self.socket.selected_alpn_protocol()}")
            last, cloud.connected_at = cloud.connected_at, time.monotonic()
            if last and cloud.connected_at - last < 0.95:
                self.violated("two CONNECTs within a second")
            if self.version not in limits.versions or connect.is_bridge:
                self.violated(f"version {self.version}, bridge: {connect.is_bridge}")
            if not 0 < len(connect.client_id) <= limits.longest_client_id:
                self.violated(f"client id {connect.client_id!r}")
            if not limits.keep_alive[0] <= connect.keepalive <= limits.keep_alive[1]:
                self.violated(f"keep alive {connect.keepalive}")
            if "user_property" in connect.properties and not limits.connect_properties:
                self.violated("user properties in CONNECT")
            if connect.will:
                self.check_message(connect.will.topic, connect.will.qos, connect.will.retain)
            if (connect.username, connect.password) != (limits.username, limits.password):
                cloud.note(f"user name {connect.username!r} or its password")
                self.connack(REFUSED_5 if self.version == raw.V5 else REFUSED_311)
                raise Dismissed
            known = cloud.sessions.get(connect.client_id)
            if known is None or connect.clean:
                cloud.sessions[connect.client_id] = Session()
            self.session = cloud.sessions[connect.client_id]
            self.accept(known is not None and not connect.clean, **limits.properties(connect))
            for pid, message in self.session.in_flight.items():
                self.send(raw.publish(*message, pid, dup=True, version=self.version) if message
                          else raw.ack(raw.PUBREL, pid))

    def _grant(self, r):
        with self.cloud.changed:
            pid = r.number(2)
            if self.version == raw.V5:
                r.properties()
            asked = []
            while r.left():
                asked.append((r.text(), r.number(1)))
            if len(asked) > self.limits.filters_per_subscribe:
                self.violated(f"{len(asked)} filters in a SUBSCRIBE")
            self.sizes.append(len(asked))
            for name, options in asked:
                if name.count("/") >= self.limits.levels:
                    self.violated(f"levels of the filter {name}")
                self.session.subscriptions[name] = min(options & 3, self.limits.maximum_qos)
            if len(self.session.subscriptions) > self.limits.subscriptions:
                self.violated(f"{len(self.session.subscriptions)} subscriptions")
            codes = bytes(self.session.subscriptions[name] for name, _ in asked)
            self.send(raw.frame(raw.SUBACK, raw.u16(pid) + (b"\0" if self.version == raw.V5 else b"") + codes))
            self.cloud.changed.notify_all()

    # Messages.

    def take_part(self, packet):
        session = self.session
        if packet.kind == raw.PUBLISH:
            self.published(packet)
        elif packet.kind == raw.PUBREL:
            session.received.discard(packet.pid)
            self.send(raw.ack(raw.PUBCOMP, packet.pid))
        elif packet.kind == raw.PUBREC:
            session.in_flight[packet.pid] = None
            self.send(raw.ack(raw.PUBREL, packet.pid))
        elif packet.kind in (raw.PUBACK, raw.PUBCOMP):
            session.in_flight.pop(packet.pid, None)
        elif packet.kind == raw.DISCONNECT:
            raise Dismissed
        else:
            self.violated(f"{packet}")

    def published(self, packet):
        topic = self.topic_of(packet)
        if packet.size > self.limits.packet_size:
            self.violated(f"a packet of {packet.size} bytes")
        self.check_message(topic, packet.qos, packet.retain)
        if topic in self.cloud.forbidden:
            raise Dismissed
        if self.is_over_rate(packet.size):
            self.cloud.note(f"{len(self.arrivals)} messages within a second")
            if self.limits.over_rate == "close":
                raise Dismissed
            if self.limits.over_rate == "discard":
                return
            time.sleep(0.1)
        self.unanswered += packet.qos > 0
        if self.unanswered > self.limits.receive_maximum:
            self.violated(f"{self.unanswered} messages without an answer")
        if not self.cloud.acknowledges:
            return
        if packet.pid is None or packet.pid not in self.session.received:
            self.cloud.received.append((topic, packet.payload))
            self.cloud.route(topic, packet.payload, packet.qos)
        if packet.qos == 2:
            self.session.received.add(packet.pid)
        if packet.qos:
            self.unanswered -= 1
            self.send(raw.ack(raw.PUBACK if packet.qos == 1 else raw.PUBREC, packet.pid))

    def topic_of(self, packet):
        alias = packet.properties.get("topic_alias")
        if alias is None:
            return packet.topic
        if alias > self.limits.topic_alias_maximum:
            self.violated(f"topic alias {alias}")
        if packet.topic:
            self.aliases[alias] = packet.topic
        return self.aliases[alias]

    def check_message(self, topic, qos, retain):
        limits = self.limits
        if qos > limits.maximum_qos:
            self.violated(f"QoS {qos}")
        if retain and not limits.retain:
            self.violated("a retained message")
        if topic.count("/") >= limits.levels or len(topic.encode()) > limits.topic_size:
            self.violated(f"the topic {topic}")

    def is_over_rate(self, size):
        """Within any second, not only on average."""
        now = time.monotonic()
        self.arrivals.append((now, size))
        while self.arrivals[0][0] < now - 1:
            self.arrivals.popleft()
        limits = self.limits
        return (limits.messages_per_second and len(self.arrivals) > limits.messages_per_second
                or limits.bytes_per_second and sum(s for _, s in self.arrivals) > limits.bytes_per_second)

    def deliver(self):
        session = self.session
        window = min(self.connect.properties.get("receive_maximum", 65535), 100)
        while session.waiting and len(session.in_flight) < window and time.monotonic() >= self.deliver_at:
            if self.limits.deliveries_per_second:
                self.deliver_at = time.monotonic() + 1 / self.limits.deliveries_per_second
            topic, payload, qos = session.waiting.popleft()
            pid = next(n for n in self.pids if n not in session.in_flight) if qos else None
            if qos:
                session.in_flight[pid] = topic, payload, qos
            self.send(raw.publish(topic, payload, qos, pid, version=self.version))
            if self.limits.counts_deliveries:
                self.arrivals.append((time.monotonic(), len(payload)))
