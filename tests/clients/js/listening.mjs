// A broker that listens on every transport for clients in JavaScript.
import { Broker, freePort } from "./broker.mjs";
import { Certificates } from "./certificates.mjs";

/** `websocket`: keys of its listeners' websocket tables, such as `ALLOWED_ORIGINS`. */
export async function startListening({ websocket = {}, ...env } = {}) {
  const certificates = new Certificates();
  const urls = {};
  for (const protocol of ["mqtts", "ws", "wss"]) {
    const port = await freePort();
    const listener = `FERRYMQ_LISTENERS__${protocol.toUpperCase()}__`;
    env[`${listener}PROTOCOL`] = protocol;
    env[`${listener}BIND`] = `127.0.0.1:${port}`;
    if (protocol !== "ws") {
      env[`${listener}TLS__CERTIFICATE_FILE`] = certificates.file;
      env[`${listener}TLS__KEY_FILE`] = certificates.key;
    }
    if (protocol !== "mqtts") {
      for (const [key, value] of Object.entries(websocket)) env[`${listener}WEBSOCKET__${key}`] = value;
    }
    urls[protocol] = `${protocol}://127.0.0.1:${port}${protocol === "mqtts" ? "" : "/mqtt"}`;
  }
  const broker = await Broker.start(env);
  return Object.assign(broker, {
    certificates,
    urls: { mqtt: broker.url, ...urls },
    async stop() {
      await Broker.prototype.stop.call(broker);
      certificates.remove();
    },
  });
}
