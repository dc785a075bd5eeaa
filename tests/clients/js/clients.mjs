// Clients of one test file, and the messages that they receive.
import { once } from "node:events";
import mqtt from "mqtt";

const TIMEOUT = 30_000;

/** Collects messages, and resolves when there are `count` of them. */
export function collect(client, count) {
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

export class Clients {
  #open = [];

  /** A client that may still be connecting. */
  start(url, options) {
    const client = mqtt.connect(url, options);
    this.#open.push(client);
    client.on("error", () => {}); // refused connections while the broker is down
    return client;
  }

  async connect(url, options) {
    const client = this.start(url, { reconnectPeriod: 50, ...options });
    const [connack] = await once(client, "connect");
    return Object.assign(client, { connack });
  }

  /** Why a connection fails. */
  async refused(url, options) {
    const client = this.start(url, { reconnectPeriod: 0, ...options });
    const failed = (emitter) => new Promise((resolve) => emitter.once("error", resolve));
    return Promise.race([
      failed(client),
      failed(client.stream), // what HTTP has answered, which MQTT.js does not pass on
      once(client, "connect").then(() => { throw new Error("connected"); }),
    ]);
  }

  end() {
    for (const client of this.#open) client.end(true);
  }
}

/** Messages that both sides exchange while the broker is killed and comes back. */
export async function exchangeOverCrash(broker, qos, subscriber, publisher) {
  await subscriber.subscribeAsync(`again/${qos}`, { qos });
  const seen = [];
  let finished;
  const done = new Promise((resolve) => { finished = resolve; });
  subscriber.on("message", (_topic, payload) => {
    seen.push(Number(payload));
    if (Number(payload) === 399) finished();
  });
  // PUBCOMP 0x92 to a PUBREL that is repeated after the crash is "not an error during
  // recovery" (MQTT 5.0, 3.7.2.1), though MQTT.js reports it as one.
  const known = (error) => { if (error.code !== 0x92) throw error; };
  const publish = (n) => publisher.publishAsync(`again/${qos}`, String(n), { qos }).catch(known);
  const sent = [];
  for (let n = 0; n < 200; n++) sent.push(publish(n));
  await sent[50];
  await broker.restart();
  for (let n = 200; n < 400; n++) sent.push(publish(n));
  await Promise.all(sent);
  await done;
  return seen;
}
