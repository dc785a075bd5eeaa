"""paho-mqtt over connections that break: numbered messages in, numbered messages out.

Both ends have durable sessions and connect again on their own, so what is lost or repeated was
lost or repeated by a broker.
"""

import collections
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.client import mqtt_ms_resend_pubrel
from paho.mqtt.enums import CallbackAPIVersion

import raw
from person import V4, V5, properties

WITHIN = 40
TOPICS = 4


class _Client(mqtt.Client):
    """When an attempt to connect again fails, paho 2.2 forgets which QoS 2 messages the broker has
    received, and publishes them anew. This one does not."""

    def _messages_reconnect_reset_out(self):
        received = [one for one in self._out_messages.values() if one.state == mqtt_ms_resend_pubrel]
        super()._messages_reconnect_reset_out()
        for one in received:
            one.state = mqtt_ms_resend_pubrel


class _Durable:
    def __init__(self, port, client_id, version=raw.V5, user=None):
        self.changed = threading.Condition()
        is_v5 = version == raw.V5
        clean = {} if is_v5 else {"clean_session": False}
        self.client = _Client(CallbackAPIVersion.VERSION2, client_id, protocol=V5 if is_v5 else V4, **clean)
        self.client.reconnect_delay_set(0.05, 0.2)
        # Mosquitto closes for more.
        self.client.max_inflight_messages_set(20)
        if user:
            self.client.username_pw_set(user, "any")
        self.prepare()
        keeps = {"clean_start": False, "properties": properties("CONNECT", SessionExpiryInterval=3600)}
        self.client.connect("127.0.0.1", port, **keeps if is_v5 else {})
        self.client.loop_start()

    def prepare(self):
        pass

    def until(self, check, within=WITHIN, what="nothing more comes"):
        with self.changed:
            assert self.changed.wait_for(check, within), f"{what}: {self}"

    def note(self, act):
        with self.changed:
            act()
            self.changed.notify_all()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


class Sender(_Durable):
    """Publishes `count` messages to PREFIX/0 and so on, as fast as they are acknowledged."""

    def __init__(self, port, prefix, count, qos, **options):
        self.count, self.acknowledged = count, 0
        super().__init__(port, "sender", **options)
        for number in range(count):
            self.client.publish(f"{prefix}/{number % TOPICS}", str(number), qos)

    def prepare(self):
        self.client.on_publish = lambda *_: self.note(self.one_more)

    def one_more(self):
        self.acknowledged += 1

    def __str__(self):
        return f"{self.acknowledged} of {self.count} are acknowledged"

    def done(self):
        self.until(lambda: self.acknowledged == self.count)


class Receiver(_Durable):
    def __init__(self, port, filter, qos=2, client_id="receiver", **options):
        self.filter, self.qos, self.subscribed = filter, qos, False
        self.numbers = collections.defaultdict(list)
        super().__init__(port, client_id, **options)
        self.until(lambda: self.subscribed, what="no SUBACK")

    def prepare(self):
        # Again after each loss of the connection: the broker may have lost the session.
        self.client.on_connect = lambda *_: self.client.subscribe(self.filter, self.qos)
        self.client.on_subscribe = lambda *_: self.note(lambda: setattr(self, "subscribed", True))
        self.client.on_message = lambda c, u, message: self.note(
            lambda: self.numbers[message.topic].append(int(message.payload)))

    def __str__(self):
        return f"{self.distinct()} distinct messages of {self.all()}"

    def all(self):
        return sum(map(len, self.numbers.values()))

    def distinct(self):
        return sum(len(set(seen)) for seen in self.numbers.values())

    def repeated(self):
        """Per topic, each with how often it came."""
        counts = {topic: collections.Counter(seen) for topic, seen in self.numbers.items()}
        return {topic: {number: times for number, times in counted.items() if times > 1}
                for topic, counted in counts.items() if max(counted.values()) > 1}

    def await_distinct(self, count):
        self.until(lambda: self.distinct() >= count)

    def first_sightings(self):
        """Per topic, without repetitions."""
        return {topic: list(dict.fromkeys(seen)) for topic, seen in self.numbers.items()}


def expected(prefix, count):
    return {f"{prefix}/{topic}": list(range(topic, count, TOPICS)) for topic in range(TOPICS)}
