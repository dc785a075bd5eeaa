"""MQTT 3.1.1, 3.3.5: publishes that a client is not authorized to make."""

import pytest

import raw
from rawclient import Closed


@pytest.fixture
def broker(make_broker, tmp_path):
    rules = tmp_path / "acl"
    rules.write_text("topic allowed\n")
    return lambda on_denied: make_broker(ACL__MOSQUITTO_FILE=rules, MQTT__ON_DENIED=on_denied)


@pytest.mark.parametrize("qos", [1, 2])
def test_3_3_5_2_what_is_not_authorized_is_acknowledged_or_ends_the_connection(broker, client, qos):
    patient = client("c", to=broker("acknowledge"))
    patient.subscribe("allowed")
    assert patient.publish("denied", qos=qos).kind == (raw.PUBACK if qos == 1 else raw.PUBCOMP)
    patient.publish("allowed", b"comes", qos=qos)
    assert patient.message().payload == b"comes"
    strict = client("c", to=broker("disconnect"))
    with pytest.raises(Closed):
        strict.publish("denied", qos=qos)
