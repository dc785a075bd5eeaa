// MQTT.js, versions 3.1.1 and 5.0.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import mqtt from "mqtt";
import { Broker } from "./broker.mjs";

const TIMEOUT = 30_000;

/** Collects messages, and resolves when there are `count` of them. */
function collect(client, count) {
  const got = [];
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`only ${got.length} of ${count}: ${got}`)), TIMEOUT);
    client.on("message", (topic, payload, packet) => {
      got.push({ topic, payload: payload.toString(), ...packet, payloadLength: payload.length });
      if (got.length === count) {
        clearTimeout(timer);
        resolve(got.map((m) => ({ ...m, payload: m.payload.toString() })));
      }
    });
  });
}

for (const protocolVersion of [4, 5]) {
  const keep = {
    clean: false,
    ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 1000 } }),
  };

  describe(`MQTT.js, protocol version ${protocolVersion}`, { timeout: 120_000 }, () => {
    let broker;
    const open = [];
    before(async () => { broker = await Broker.start(); });
    after(async () => {
      for (const client of open) client.end(true);
      await broker.stop();
    });

    async function connect(clientId, options = {}) {
      const client = mqtt.connect(broker.url, { clientId, protocolVersion, reconnectPeriod: 50, ...options });
      open.push(client);
      client.on("error", () => {}); // refused connections while the broker is down
      const [connack] = await once(client, "connect");
      client.connack = connack;
      return client;
    }

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
        const client = mqtt.connect(broker.url, { clientId: `wait${qos}`, protocolVersion, ...keep });
        open.push(client);
        client.on("error", () => {});
        const got = collect(client, 100);
        const [connack] = await once(client, "connect");
        assert.equal(connack.sessionPresent, true);
        assert.deepEqual((await got).map((m) => Number(m.payload)), [...Array(100).keys()]);
        await client.endAsync();
      });

      test(`QoS ${qos}: both sides reconnect by themselves over kill -9`, async () => {
        const s = await connect(`again${qos}`, keep);
        await s.subscribeAsync(`again/${qos}`, { qos });
        const seen = [];
        let finished;
        const done = new Promise((resolve) => { finished = resolve; });
        s.on("message", (_topic, payload) => {
          seen.push(Number(payload));
          if (Number(payload) === 399) finished();
        });
        const p = await connect(`againp${qos}`, keep);
        // PUBCOMP 0x92 to a PUBREL that is repeated after the crash is "not an error during
        // recovery" (MQTT 5.0, 3.7.2.1), though MQTT.js reports it as one.
        const known = (error) => { if (error.code !== 0x92) throw error; };
        const publish = (n) => p.publishAsync(`again/${qos}`, String(n), { qos }).catch(known);
        const sent = [];
        for (let n = 0; n < 200; n++) sent.push(publish(n));
        await sent[50];
        await broker.restart();
        for (let n = 200; n < 400; n++) sent.push(publish(n));
        await Promise.all(sent);
        await done;
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
