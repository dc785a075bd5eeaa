"""paho-mqtt behind a face that waits for events: connect, subscribe and publish return when answered."""

import queue
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

TIMEOUT = 10
V4, V5 = mqtt.MQTTv311, mqtt.MQTTv5


def properties(packet, **values):
    made = Properties(getattr(PacketTypes, packet))
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            setattr(made, name, one)
    return made


class Person:
    def __init__(self, port, client_id, version, clean=True, will=None, keepalive=60, username=None,
                 password=None, wait=True, transport="tcp", host="127.0.0.1", prepare=None, **connect_properties):
        """`prepare` is called with paho's client before it connects."""
        options = {"transport": transport} | ({} if version == V5 else {"clean_session": clean})
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=version, **options)
        self.version, self.messages, self.answers = version, queue.Queue(), queue.Queue()
        self.connected, self.gone = queue.Queue(), queue.Queue()
        self.client.on_connect = lambda c, u, flags, reason, p: self.connected.put((flags, reason, p))
        self.client.on_disconnect = lambda c, u, flags, reason, p: self.gone.put(reason)
        self.client.on_message = lambda c, u, m: self.messages.put(m)
        self.client.on_subscribe = lambda c, u, mid, codes, p: self.answers.put((mid, codes, p))
        self.client.on_unsubscribe = lambda c, u, mid, codes, p: self.answers.put((mid, codes, p))
        if will:
            self.client.will_set(**will)
        if username is not None:
            self.client.username_pw_set(username, password)
        if prepare:
            prepare(self.client)
        self.port = port
        self.connect_options = {"keepalive": keepalive}
        if version == V5:
            self.connect_options |= {"clean_start": clean,
                                     "properties": properties("CONNECT", **connect_properties)}
        self.client.connect(host, port, **self.connect_options)
        self.client.loop_start()
        if wait:
            self.flags, self.reason, self.properties = self.connected.get(timeout=TIMEOUT)
            assert self.reason == 0, self.reason

    @property
    def session_present(self):
        return self.flags.session_present

    def subscribe(self, *args, **kwargs):
        result, mid = self.client.subscribe(*args, **kwargs)
        assert result == 0
        return self._answer(mid)

    def unsubscribe(self, *args, **kwargs):
        result, mid = self.client.unsubscribe(*args, **kwargs)
        assert result == 0
        return self._answer(mid)

    def _answer(self, mid):
        found, codes, _ = self.answers.get(timeout=TIMEOUT)
        assert found == mid
        return codes

    def publish(self, topic, payload=b"", qos=0, retain=False, **values):
        info = self.client.publish(topic, payload, qos, retain,
                                   properties=properties("PUBLISH", **values) if values else None)
        info.wait_for_publish(TIMEOUT)
        assert info.is_published()

    def message(self, timeout=TIMEOUT):
        return self.messages.get(timeout=timeout)

    def until(self, mark):
        """All messages up to the one with this payload."""
        seen = []
        while True:
            m = self.message()
            if m.payload == mark:
                return seen
            seen.append(m)

    def leave(self, *args, **kwargs):
        self.client.disconnect(*args, **kwargs)
        self.gone.get(timeout=TIMEOUT)
        self.client.loop_stop()

    def vanish(self):
        """The network is gone: no DISCONNECT."""
        self.client.loop_stop()
        self.client.socket().close()

    def close(self):
        self.client.loop_stop()
        if self.client.socket():
            self.client.socket().close()


def poll(check, within=TIMEOUT):
    deadline = time.monotonic() + within
    while not check():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
