// What the tests call in the page. Results are plain values, which go back to the test.
"use strict";

const clients = new Map();

globalThis.calls = {
  /** Connects; resolves to the session present flag, or rejects with why it failed. */
  connect(url, options) {
    const client = mqtt.connect(url, { reconnectPeriod: 0, ...options });
    const messages = [];
    clients.set(options.clientId, { client, messages });
    client.on("message", (topic, payload, { qos }) => messages.push({ topic, qos, text: payload.toString() }));
    return new Promise((resolve, reject) => {
      client.on("connect", ({ sessionPresent }) => resolve(sessionPresent));
      client.on("error", reject);
      client.on("close", () => reject(new Error("closed")));
    });
  },

  /** Resolves to the QoS that is granted. */
  async subscribe(clientId, topic, qos) {
    const [granted] = await clients.get(clientId).client.subscribeAsync(topic, { qos });
    return granted.qos;
  },

  /** Publishes these payloads; resolves when all are acknowledged. */
  async publish(clientId, topic, qos, payloads) {
    const { client } = clients.get(clientId);
    await Promise.all(payloads.map((payload) => client.publishAsync(topic, payload, { qos })));
  },

  /** The next `count` messages, as soon as they are there. */
  async received(clientId, count) {
    const { client, messages } = clients.get(clientId);
    while (messages.length < count) await new Promise((next) => client.once("message", next));
    return messages.splice(0, count);
  },

  end: (clientId) => clients.get(clientId).client.endAsync(),
};
