"""aiomqtt and gmqtt: two more clients, each for the main job over a kill -9."""

import asyncio

import aiomqtt
import gmqtt
import pytest
from aiomqtt import ProtocolVersion


@pytest.mark.parametrize("protocol", [ProtocolVersion.V311, ProtocolVersion.V5])
def test_aiomqtt_receives_what_was_published_before_a_crash(broker, protocol):
    keep = {"clean_session": False} if protocol == ProtocolVersion.V311 else {
        "clean_start": False, "properties": expiry()}

    async def subscribe():
        async with aiomqtt.Client("127.0.0.1", broker.port, identifier="s", protocol=protocol, **keep) as c:
            await c.subscribe("t/#", qos=2)

    async def publish():
        async with aiomqtt.Client("127.0.0.1", broker.port, identifier="p", protocol=protocol) as c:
            for n in range(20):
                await c.publish(f"t/{n}", str(n), qos=2)

    async def receive():
        async with aiomqtt.Client("127.0.0.1", broker.port, identifier="s", protocol=protocol, **keep) as c:
            got = []
            async for m in c.messages:
                got.append(int(m.payload))
                if len(got) == 20:
                    return got

    asyncio.run(subscribe())
    asyncio.run(publish())
    broker.restart()
    assert asyncio.run(asyncio.wait_for(receive(), 10)) == list(range(20))


def expiry():
    from person import properties
    return properties("CONNECT", SessionExpiryInterval=1000)


@pytest.mark.parametrize("version", [gmqtt.constants.MQTTv311, gmqtt.constants.MQTTv50])
def test_gmqtt_receives_what_was_published_before_a_crash(broker, version):
    async def run():
        async def connected(ident, on_message=None):
            ready = asyncio.Event()
            extra = {"session_expiry_interval": 1000} if version == gmqtt.constants.MQTTv50 else {}
            c = gmqtt.Client(ident, clean_session=False, **extra)
            c.on_connect = lambda *_: ready.set()
            c.on_message = on_message or (lambda *_: 0)
            await c.connect("127.0.0.1", broker.port, version=version)
            await asyncio.wait_for(ready.wait(), 10)
            return c

        s = await connected("s")
        answered = asyncio.Event()
        s.on_subscribe = lambda *_: answered.set()
        s.subscribe("t", qos=2)
        await asyncio.wait_for(answered.wait(), 10)
        await s.disconnect()
        async with aiomqtt.Client("127.0.0.1", broker.port) as p:
            for n in range(10):
                await p.publish("t", str(n), qos=1)
        broker.restart()
        got, done = [], asyncio.Event()

        def message(client, topic, payload, qos, properties):
            got.append(int(payload))
            if len(got) == 10:
                done.set()
            return 0

        s = await connected("s", message)
        await asyncio.wait_for(done.wait(), 10)
        await s.disconnect()
        return got

    assert asyncio.run(run()) == list(range(10))
