// MQTT clients that the console is to show, and banned addresses.
import assert from "node:assert/strict";
import { once } from "node:events";
import mqtt from "mqtt";
import { TOKEN } from "./browser.mjs";

const open = new Set();

/** A connected client, with a session that stays when it goes. */
export async function connect(broker, clientId, options = {}) {
  const client = mqtt.connect(broker.url, {
    clientId, protocolVersion: 5, clean: false, reconnectPeriod: 0, properties: { sessionExpiryInterval: 3600 }, ...options,
  });
  open.add(client);
  const [connack] = await once(client, "connect");
  return Object.assign(client, { sessionPresent: connack.sessionPresent });
}

/** A session without its client, for which `count` messages wait on `topic`. */
export async function waiting(broker, clientId, topic, count, payload = (n) => `message ${n}`) {
  const client = await connect(broker, clientId);
  await client.subscribeAsync(topic, { qos: 1 });
  await client.endAsync();
  const publisher = await connect(broker, `publisher-of-${topic.replaceAll("/", "-")}`, { clean: true, properties: {} });
  await Promise.all(Array.from({ length: count }, (_, n) => publisher.publishAsync(topic, payload(n), { qos: 1 })));
  await publisher.endAsync();
}

/** Bans an address for some seconds. */
export async function ban(broker, address, seconds) {
  const answer = await fetch(`${broker.page}api/v1/bans`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify({ address, seconds }),
  });
  assert.equal(answer.status, 200);
}

export function endAll() {
  for (const client of open) client.end(true);
  open.clear();
}
