// MQTT.js, versions 3.1.1 and 5.0.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { Broker } from "./broker.mjs";
import { Clients, collect, exchangeOverCrash } from "./clients.mjs";

for (const protocolVersion of [4, 5]) {
  const keep = {
    clean: false,
    ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 1000 } }),
  };

  describe(`MQTT.js, protocol version ${protocolVersion}`, { timeout: 120_000 }, () => {
    let broker;
    const clients = new Clients();
    before(async () => { broker = await Broker.start(); });
    after(async () => {
      clients.end();
      await broker.stop();
    });

    const connect = (clientId, options) => clients.connect(broker.url, { clientId, protocolVersion, ...options });

    for (const qos of [0, 1, 2]) {
      test(`QoS ${qos} both ways`, async () => {
        const s = await connect(`s${qos}`);
        const p = await connect(`p${qos}`);
        await s.subscribeAsync(`both/${qos}/+`, { qos });
        const got = collect(s, 50);
        for (let n = 0; n < 50; n++) await p.publishAsync(`both/${qos}/${n % 3}`, String(n), { qos });
        const messages = await got;
        assert.deepEqual(messages.map((m) => Number(m.payload)), [...Array(50).keys()]);
        assert.ok(messages.every((m) => m.qos === qos));
      });
    }

    test("retained", async () => {
      const p = await connect("rp");
      await p.publishAsync("r/1", "kept", { qos: 1, retain: true });
      const s = await connect("rs");
      const got = collect(s, 1);
      await s.subscribeAsync("r/#", { qos: 1 });
      const [m] = await got;
      assert.equal(m.payload, "kept");
      assert.equal(m.retain, true);
    });

    test("will", async () => {
      const w = await connect("ww");
      await w.subscribeAsync("will", { qos: 1 });
      const got = collect(w, 1);
      const d = await connect("wd", { will: { topic: "will", payload: Buffer.from("gone"), qos: 1 }, reconnectPeriod: 0 });
      d.stream.destroy();
      assert.equal((await got)[0].payload, "gone");
    });

    for (const qos of [1, 2]) {
      test(`QoS ${qos}: a session waits over kill -9`, async () => {
        const first = await connect(`wait${qos}`, keep);
        await first.subscribeAsync(`wait/${qos}`, { qos });
        await first.endAsync();
        const p = await connect(`waitp${qos}`);
        for (let n = 0; n < 100; n++) await p.publishAsync(`wait/${qos}`, String(n), { qos });
        await p.endAsync();
        await broker.restart();
        const client = clients.start(broker.url, { clientId: `wait${qos}`, protocolVersion, ...keep });
        const got = collect(client, 100);
        const [connack] = await once(client, "connect");
        assert.equal(connack.sessionPresent, true);
        assert.deepEqual((await got).map((m) => Number(m.payload)), [...Array(100).keys()]);
        await client.endAsync();
      });

      test(`QoS ${qos}: both sides reconnect by themselves over kill -9`, async () => {
        const s = await connect(`again${qos}`, keep);
        const p = await connect(`againp${qos}`, keep);
        const seen = await exchangeOverCrash(broker, qos, s, p);
        const everything = [...Array(400).keys()];
        if (qos === 2) assert.deepEqual(seen, everything);
        else assert.deepEqual([...new Set(seen)].sort((a, b) => a - b), everything);
      });
    }

    if (protocolVersion === 5) {
      test("properties go through", async () => {
        const s = await connect("ps");
        const p = await connect("pp");
        await s.subscribeAsync("p", { qos: 2, properties: { subscriptionIdentifier: 7 } });
        const got = collect(s, 1);
        await p.publishAsync("p", "x", {
          qos: 2,
          properties: { responseTopic: "re", correlationData: Buffer.from([0, 1]), contentType: "c",
            payloadFormatIndicator: true, messageExpiryInterval: 100, userProperties: { a: ["1", "2"], b: "3" } },
        });
        const { properties } = (await got)[0];
        assert.equal(properties.responseTopic, "re");
        assert.deepEqual([...properties.correlationData], [0, 1]);
        assert.equal(properties.contentType, "c");
        assert.equal(properties.subscriptionIdentifier, 7);
        assert.deepEqual({ ...properties.userProperties }, { a: ["1", "2"], b: "3" });
        assert.ok(properties.messageExpiryInterval >= 98);
      });

      test("topic aliases assigned by the client", async () => {
        const s = await connect("as");
        const p = await connect("ap", { autoAssignTopicAlias: true });
        await s.subscribeAsync("alias/#", { qos: 1 });
        const got = collect(s, 20);
        for (let n = 0; n < 20; n++) await p.publishAsync(`alias/${n % 4}`, String(n), { qos: 1 });
        const messages = await got;
        assert.ok(messages.every((m, n) => m.topic === `alias/${n % 4}`));
      });
    }
  });
}
