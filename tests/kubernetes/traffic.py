"""Clients that keep account over whatever happens to the broker: nothing acknowledged may be lost."""

import collections
import contextlib
import queue
import threading
import time

import paho.mqtt.client as paho
from paho.mqtt.enums import MessageState

RECONNECT = 0.2
# A pod that was taken away answers nothing any more, not even with a reset.
KEEPALIVE = 3
UNDER_WAY = 100
TOPIC = "traffic"


class Client(paho.Client):
    """paho 2.2 remembers over one failed attempt to connect that it has sent PUBREL, but
    not over two: it then publishes once more what is released already (which MQTT-4.3.3-1
    forbids), and the broker has to take that for a new message."""

    def _messages_reconnect_reset_out(self):
        with self._out_message_mutex:
            for message in self._out_messages.values():
                if message.state == MessageState.MQTT_MS_RESEND_PUBREL:
                    message.state = MessageState.MQTT_MS_WAIT_FOR_PUBCOMP
            super()._messages_reconnect_reset_out()


def client(name, address, port=1883):
    """Keeps its session, and comes back by itself."""
    made = Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=False)
    made.reconnect_delay_set(RECONNECT, RECONNECT)
    made.connect_timeout = 2
    made.max_inflight_messages_set(UNDER_WAY)
    made.connect_async(address, port, keepalive=KEEPALIVE)
    return made


def finish(made):
    made.disconnect()
    made.loop_stop()


class Publisher(threading.Thread):
    """Numbers its messages, at one QoS and a steady rate."""

    def __init__(self, address, qos, rate, size=100, first=0):
        super().__init__(daemon=True)
        self.qos, self.rate, self.padding = qos, rate, "." * size
        self.enough = threading.Event()
        self.acknowledged, self.times = set(), []
        self.under_way, self.receipts, self.number = {}, queue.SimpleQueue(), first
        self.client = client(f"publisher-{qos}", address)
        # Only a receipt: paho calls this with locks held that publish() wants as well.
        self.client.on_publish = lambda client, data, mid, reason, properties: self.receipts.put((mid, time.time()))
        self.client.loop_start()

    def run(self):
        due = time.monotonic()
        while not self.enough.is_set():
            self.book()
            if len(self.under_way) >= UNDER_WAY or time.monotonic() < due:
                time.sleep(0.002)
                continue
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            info = self.client.publish(f"{TOPIC}/{self.qos}", f"{self.number} {self.padding}", qos=self.qos)
            self.under_way[info.mid] = self.number
            self.number += 1

    def book(self):
        with contextlib.suppress(queue.Empty):
            while True:
                mid, when = self.receipts.get_nowait()
                self.acknowledged.add(self.under_way.pop(mid))
                self.times.append(when)

    def finish(self, within):
        """Publishes no more, and waits for what is under way."""
        self.enough.set()
        self.join()
        deadline = time.monotonic() + within
        while self.under_way and time.monotonic() < deadline:
            self.book()
            time.sleep(0.01)
        finish(self.client)
        assert not self.under_way, f"QoS {self.qos}: {len(self.under_way)} messages never acknowledged"


class Receiver:
    """Counts what arrives for a session, per QoS and number."""

    def __init__(self, name, address):
        self.received = collections.Counter()
        self.subscribed, self.last = threading.Event(), time.monotonic()
        self.client = client(name, address)
        self.client.on_connect = self.on_connect
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self.on_message
        self.client.loop_start()

    def on_connect(self, client, data, flags, reason, properties):
        # Subscribing once more would be asked for only if the session had been lost,
        # which is what must not happen.
        if not flags.session_present and not self.subscribed.is_set():
            client.subscribe(f"{TOPIC}/#", qos=2)

    def on_message(self, client, data, message):
        self.received[message.qos, int(message.payload.split()[0])] += 1
        self.last = time.monotonic()

    def leave(self):
        """Goes offline; the session stays."""
        assert self.subscribed.wait(120), "no SUBACK"
        finish(self.client)
        return self

    def complete(self, wanted, patience=120):
        """Until all of them are there, or nothing has come for so long."""
        self.last = time.monotonic()
        while not wanted <= self.received.keys() and time.monotonic() - self.last < patience:
            time.sleep(0.02)
        finish(self.client)


class Traffic:
    """Publishers of QoS 1 and 2, a session that is there all the time, and one that is away."""

    def __init__(self, address, rates=(300, 100), size=100):
        self.address = address
        Receiver("away", address).leave()
        self.online = Receiver("online", address)
        assert self.online.subscribed.wait(120)
        self.publishers = [Publisher(address, qos, rate, size) for qos, rate in zip((1, 2), rates)]
        for publisher in self.publishers:
            publisher.start()

    def acknowledged(self):
        return sum(len(p.acknowledged) for p in self.publishers)

    def flow(self, more=200, within=300):
        """Until so many more are acknowledged."""
        wanted, deadline = self.acknowledged() + more, time.monotonic() + within
        while self.acknowledged() < wanted:
            assert time.monotonic() < deadline, "the traffic stands still"
            time.sleep(0.02)

    def move(self, address):
        """All of them come back at another address."""
        self.address = address
        for one in [*self.publishers, self.online]:
            one.client.connect_async(address, keepalive=KEEPALIVE)

    def silence(self, since):
        """Seconds of the longest time without an acknowledgement since a moment of time.time()."""
        times = sorted(t for p in self.publishers for t in p.times if t >= since - 1)
        return max((b - a for a, b in zip(times, times[1:])), default=0.0)

    def pause(self, within=300, patience=120):
        """Publishes no more, and waits until all is acknowledged and the one who is there has it."""
        for publisher in self.publishers:
            publisher.finish(within)
        wanted = {(p.qos, n) for p in self.publishers for n in p.acknowledged}
        self.online.complete(wanted, patience)
        return wanted

    def more(self, count=50):
        """After a pause: so many of QoS 1 and 2 each from publishers of their own; what was acknowledged."""
        late = [Publisher(self.address, p.qos, p.rate, first=p.number) for p in self.publishers]
        for publisher in late:
            publisher.start()
        while any(len(p.acknowledged) < count for p in late):
            time.sleep(0.02)
        for publisher in late:
            publisher.finish(60)
        return {(p.qos, n) for p in late for n in p.acknowledged}

    def collect(self, wanted, patience=120):
        """Account, when the one who was away comes back."""
        away = Receiver("away", self.address)
        away.complete(wanted, patience)
        return Account(wanted, self.online.received, away.received)

    def finish(self, within=300, patience=120):
        """Account of the whole."""
        return self.collect(self.pause(within, patience), patience)


class Account:
    """What must be zero, and what was counted."""

    def __init__(self, wanted, online, away):
        self.away = away
        self.acknowledged = {qos: sum(q == qos for q, _ in wanted) for qos in (1, 2)}
        self.lost = sum(n not in received for received in (online, away) for n in wanted)
        self.twice = sum(count - 1 for received in (online, away)
                         for (qos, _), count in received.items() if qos == 2)
        self.repeated = sum(count - 1 for received in (online, away)
                            for (qos, _), count in received.items() if qos == 1)

    def check(self):
        assert self.lost == 0, self
        assert self.twice == 0, self
        assert min(self.acknowledged.values()) > 0, self
        return self

    def __repr__(self):
        return f"acknowledged {self.acknowledged}, lost {self.lost}, QoS 2 twice {self.twice}, QoS 1 again {self.repeated}"
