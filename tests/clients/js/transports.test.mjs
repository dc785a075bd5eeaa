// MQTT.js over TLS, WebSocket, and WebSocket over TLS.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Clients, collect, exchangeOverCrash } from "./clients.mjs";
import { startListening } from "./listening.mjs";

const ALLOWED = "http://pages.example";

describe("MQTT.js, transports", { timeout: 300_000 }, () => {
  let broker;
  const clients = new Clients();
  before(async () => { broker = await startListening({ websocket: { ALLOWED_ORIGINS: ALLOWED } }); });
  after(async () => {
    clients.end();
    await broker?.stop();
  });

  const trusting = (options) => ({ ca: broker.certificates.authority, ...options });
  const connect = (protocol, options) => clients.connect(broker.urls[protocol], trusting(options));

  for (const protocolVersion of [4, 5]) {
    for (const protocol of ["mqtts", "ws", "wss"]) {
      const name = (text) => `${protocol}, protocol version ${protocolVersion}: ${text}`;
      const id = (text) => ({ clientId: `${text}-${protocol}-${protocolVersion}`, protocolVersion });

      // Around the lengths at which a WebSocket header grows, and more than one record of TLS.
      test(name("messages of all sizes, QoS 0 to 2"), async () => {
        const sizes = [0, 125, 126, 65_535, 65_536, 300_000];
        const s = await connect(protocol, id("s"));
        const p = await connect(protocol, id("p"));
        await s.subscribeAsync(`sizes/${protocol}/#`, { qos: 2 });
        for (const qos of [0, 1, 2]) {
          const got = collect(s, sizes.length);
          for (const size of sizes) await p.publishAsync(`sizes/${protocol}/${qos}`, Buffer.alloc(size, "x"), { qos });
          const messages = await got;
          assert.deepEqual(messages.map((m) => m.payloadLength), sizes);
          assert.ok(messages.every((m) => m.qos === qos));
          s.removeAllListeners("message");
        }
        await s.endAsync();
      });

      test(name("both sides reconnect by themselves over kill -9, QoS 2"), async () => {
        const keep = { clean: false, ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 1000 } }) };
        const s = await connect(protocol, { ...id("again"), ...keep });
        const p = await connect(protocol, { ...id("againp"), ...keep });
        assert.deepEqual(await exchangeOverCrash(broker, 2, s, p), [...Array(400).keys()]);
        await s.endAsync();
      });
    }
  }

  test("a message reaches clients of all transports", async () => {
    const all = [];
    for (const protocol of ["mqtt", "mqtts", "ws", "wss"]) {
      const client = await connect(protocol, { clientId: `all-${protocol}` });
      await client.subscribeAsync("all", { qos: 1 });
      all.push({ client, got: collect(client, 4) });
    }
    for (const { client } of all) await client.publishAsync("all", client.options.clientId, { qos: 1 });
    for (const { got } of all) {
      assert.deepEqual((await got).map((m) => m.payload), ["all-mqtt", "all-mqtts", "all-ws", "all-wss"]);
    }
  });

  for (const protocol of ["mqtts", "wss"]) {
    test(`${protocol}: a client that does not trust the authority does not connect`, async () => {
      const error = await clients.refused(broker.urls[protocol], {});
      assert.match(error.code, /^(UNABLE_TO_VERIFY_LEAF_SIGNATURE|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)$/);
    });
  }

  for (const protocol of ["ws", "wss"]) {
    test(`${protocol}: another path is refused`, async () => {
      const error = await clients.refused(broker.urls[protocol].replace("/mqtt", "/other"), trusting());
      assert.match(error.message, /404/);
    });

    test(`${protocol}: an origin that is not allowed is refused`, async () => {
      const of = (origin) => trusting({ wsOptions: { origin } });
      const origin = `http://${protocol}.elsewhere.example`;
      const error = await clients.refused(broker.urls[protocol], of(origin));
      assert.match(error.message, /403/);
      await broker.logged(origin);
      await connect(protocol, of(ALLOWED));
    });
  }
});
