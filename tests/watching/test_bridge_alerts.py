"""Alerts of bridges that fire: real brokers whose link is in trouble."""

import raw
from bridges.settings import bridge, rule
from rawclient import Raw

FORWARD = [rule("forwarded")]


def publish(broker, count):
    with Raw(broker.port, raw.V5) as publisher:
        publisher.connect("publisher")
        for _ in range(count):
            assert publisher.publish("forwarded", b"x", qos=1).reason == 0


def test_alerts_fire_while_a_bridge_is_down_and_its_queue_fills(make_broker, watch):
    remote = make_broker()
    broker = make_broker(**bridge(remote, forward=FORWARD, max_queued_messages=10))
    prometheus = watch(broker)
    assert prometheus.await_query("ferrymq_bridge_connected == 1")
    prometheus.await_evaluations(3)
    assert not {"FerryMQBridgeDown", "FerryMQBridgeQueueFilling"} & set(prometheus.firing())
    remote.kill()
    alert = prometheus.await_firing("FerryMQBridgeDown")
    assert alert["labels"]["bridge"] == "up"
    publish(broker, 8)
    assert prometheus.await_query("ferrymq_bridge_queued_messages == 8")
    prometheus.await_evaluations(3)
    assert "FerryMQBridgeQueueFilling" not in prometheus.firing(), "at 80%"
    publish(broker, 1)
    alert = prometheus.await_firing("FerryMQBridgeQueueFilling")
    assert "90% full" in alert["annotations"]["summary"]
    remote.start()
    prometheus.await_over("FerryMQBridgeDown")
    prometheus.await_over("FerryMQBridgeQueueFilling")


def test_the_alert_for_dead_letters_fires(make_broker, watch, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text('[[acl.rules]]\neffect = "allow"\ntopics = ["other/#"]\n')
    remote = make_broker(CONFIG=rules)
    broker = make_broker(**bridge(remote, forward=FORWARD))
    prometheus = watch(broker)
    assert prometheus.await_query('ferrymq_bridge_dead_letters_total{reason="not_authorized"} == 0')
    assert prometheus.await_query("ferrymq_bridge_connected == 1")
    publish(broker, 1)
    alert = prometheus.await_firing("FerryMQBridgeDeadLetters")
    assert (alert["labels"]["bridge"], alert["labels"]["reason"]) == ("up", "not_authorized")


def test_the_alert_for_a_flapping_bridge_fires_for_two_brokers_with_one_client_id(make_broker, watch):
    remote = make_broker()
    brokers = [make_broker(**bridge(remote, forward=FORWARD, client_id="same")) for _ in range(2)]
    prometheus = watch(brokers[0])
    prometheus.await_firing("FerryMQBridgeFlapping")
    assert brokers[0].metric("ferrymq_bridge_reconnects_total", bridge="up", reason="disconnected") > 0
