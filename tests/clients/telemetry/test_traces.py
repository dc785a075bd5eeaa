"""One trace through the broker, as a collector has it: publisher, broker, receiver."""

import secrets

import pytest

import raw
from collector import attributes, await_


@pytest.fixture
def tracing(collect, pushing):
    """(collector, broker); a trace that a publisher has begun is all that is traced."""

    def tracing(**settings):
        collector = collect()
        return collector, pushing(**settings)

    return tracing


class Trace:
    """A publisher's span, as its `traceparent` tells of it."""

    def __init__(self, sampled=True):
        self.trace_id, self.span_id = secrets.token_bytes(16), secrets.token_bytes(8)
        self.parent = f"00-{self.trace_id.hex()}-{self.span_id.hex()}-{int(sampled):02x}"
        self.properties = [("user_property", ("traceparent", self.parent)),
                           ("user_property", ("tracestate", "harbour=7,quay=b")),
                           ("user_property", ("other", "\u00fc"))]

    def of(self, collector):
        return [span for span in collector.spans() if span.trace_id == self.trace_id]

    def await_(self, collector, *names):
        """Name to span, once there are spans of just these names."""
        def found():
            spans = self.of(collector)
            return sorted(span.name.split()[0] for span in spans) == sorted(names) and spans
        spans = await_(found, what=f"the spans {names}, there are {self.of(collector)}")
        return {span.name.split()[0]: span for span in spans}


def subscriber(client, broker, client_id="receiver", **options):
    made = client(client_id, to=broker, version=raw.V5, clean=False,
                  properties={"session_expiry": 600}, **options)
    return made


def user_properties(packet):
    return packet.properties["user_property"]


def test_one_trace_from_publisher_through_the_disk_to_the_subscriber(tracing, client):
    collector, broker = tracing()
    receiver = subscriber(client, broker)
    receiver.subscribe("t/x", qos=1)
    publisher, trace = client("publisher", to=broker, version=raw.V5), Trace()
    # Not acknowledged before PUBACK is there: so it has to be written, and is not elided.
    publisher.publish("t/x", b"payload", qos=1, properties=trace.properties)
    message = receiver.message()
    assert user_properties(message) == [value for _, value in trace.properties]

    spans = trace.await_(collector, "receive", "persist", "deliver")
    receive, persist, deliver = (spans[name] for name in ("receive", "persist", "deliver"))
    assert receive.parent_span_id == trace.span_id
    assert persist.parent_span_id == receive.span_id
    assert deliver.parent_span_id == receive.span_id
    assert len({span.span_id for span in spans.values()} | {trace.span_id}) == 4
    assert all(span.trace_state == "harbour=7,quay=b" for span in spans.values())
    # The batch's commit is in a trace of its own, and linked.
    [link] = persist.links
    [commit] = await_(lambda: [span for span in collector.spans()
                               if span.span_id == link.span_id], what="the commit")
    assert commit.trace_id == link.trace_id != trace.trace_id
    assert attributes(commit.attributes)["ferrymq.batch.messages"] >= 1
    # In the order in which it went.
    assert receive.start_time_unix_nano <= persist.start_time_unix_nano
    assert persist.start_time_unix_nano <= persist.end_time_unix_nano <= receive.end_time_unix_nano
    assert commit.end_time_unix_nano <= receive.end_time_unix_nano
    assert deliver.end_time_unix_nano >= receive.end_time_unix_nano, "acknowledged after PUBACK"
    # Who it came from, and who it went to.
    assert attributes(receive.attributes)["messaging.client.id"] == "publisher"
    assert attributes(deliver.attributes)["messaging.client.id"] == "receiver"
    assert attributes(deliver.attributes)["ferrymq.outcome"] == "acknowledged"
    assert {attributes(spans[name].attributes)["messaging.destination.name"]
            for name in ("receive", "deliver")} == {"t/x"}
    assert attributes(persist.attributes)["ferrymq.outcome"] == "committed"
    assert not any(b"payload" in span.SerializeToString() for span in collector.spans())


def test_the_trace_goes_on_after_a_restart(tracing, client):
    collector, broker = tracing()
    receiver = subscriber(client, broker)
    receiver.subscribe("t/x", qos=2)
    receiver.disconnect()
    trace = Trace()
    client("publisher", to=broker, version=raw.V5).publish(
        "t/x", b"payload", qos=2, properties=trace.properties)
    await_(lambda: {"receive", "persist"} <= {span.name.split()[0] for span in trace.of(collector)},
           what="what was before the restart")
    broker.kill()
    broker.start()
    message = subscriber(client, broker).message()
    assert user_properties(message) == [value for _, value in trace.properties]

    def delivered():
        return [span for span in trace.of(collector) if span.name.startswith("deliver")
                and attributes(span.attributes).get("ferrymq.outcome") == "acknowledged"]

    [deliver] = await_(delivered, what="the delivery")
    assert deliver.parent_span_id == trace.span_id, "the message's own traceparent is left"
    assert attributes(deliver.attributes)["ferrymq.waited_seconds"] >= 0
    assert [event.name for event in deliver.events] == ["sent", "pubrec"]


def test_each_receiver_has_a_span_of_its_own(tracing, client):
    collector, broker = tracing()
    names = {f"receiver{number}" for number in range(3)}
    receivers = [subscriber(client, broker, name) for name in names]
    for receiver in receivers:
        receiver.subscribe("t/#", qos=1)
    publisher, trace = client("publisher", to=broker, version=raw.V5), Trace()
    publisher.publish("t/x", b"payload", qos=1, properties=trace.properties)
    for receiver in receivers:
        receiver.message()
    await_(lambda: len(trace.of(collector)) == 5, what="receive, persist and three deliveries")
    deliveries = [span for span in trace.of(collector) if span.name.startswith("deliver")]
    assert {attributes(span.attributes)["messaging.client.id"] for span in deliveries} == names


def test_what_is_not_sampled_is_carried_and_not_traced(tracing, client):
    collector, broker = tracing()
    receiver = subscriber(client, broker)
    receiver.subscribe("t/x", qos=1)
    publisher, not_sampled, sampled = client("publisher", to=broker, version=raw.V5), Trace(False), Trace()
    for trace in (not_sampled, sampled):
        publisher.publish("t/x", b"payload", qos=1, properties=trace.properties)
        assert user_properties(receiver.message()) == [value for _, value in trace.properties]
    sampled.await_(collector, "receive", "persist", "deliver")
    assert not_sampled.of(collector) == []


def test_traceparent_passes_through_a_broker_that_traces_nothing(make_broker, client):
    broker = make_broker()
    receiver = subscriber(client, broker)
    receiver.subscribe("t/x", qos=1)
    publisher, trace = client("publisher", to=broker, version=raw.V5), Trace()
    publisher.publish("t/x", b"payload", qos=1, properties=trace.properties)
    assert user_properties(receiver.message()) == [value for _, value in trace.properties]
