// A broker with bridges: one to a broker that works and refuses some messages, one to a port
// on which nobody listens.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Broker, freePort } from "../clients/js/broker.mjs";
import { WITH_TOKEN } from "./browser.mjs";
import { connect } from "./people.mjs";

/** As much as the remote broker takes in one packet. */
export const LARGEST = 2048;

/** The configuration of the remote broker: nobody may publish below any `secret/`. */
const REMOTE = `
[mqtt]
max_packet_size = "${LARGEST}B"
[[acl.rules]]
effect = "deny"
action = "publish"
topics = ["+/secret/#"]
[[acl.rules]]
effect = "allow"
topics = ["#"]
`;

/** A bridge that forwards what is below its name; `more`: lines of its configuration. */
export const bridge = (name, url, ...more) =>
  [`[bridges.${name}]`, `addresses = ["${url}"]`, `forward = [{ filter = "${name}/#" }]`, 'max_backoff = "2s"', ...more, ""].join("\n");

export class Bridged {
  static async start() {
    const one = new Bridged();
    one.directory = mkdtempSync(join(tmpdir(), "ferrymq-bridged-"));
    const remote = join(one.directory, "remote.toml");
    writeFileSync(remote, REMOTE);
    one.remote = await Broker.start({ FERRYMQ_CONFIG: remote });
    one.closed = `mqtt://127.0.0.1:${await freePort()}`;
    one.configure(one.usual);
    one.broker = await Broker.start({ ...WITH_TOKEN, FERRYMQ_CONFIG: one.file });
    return one;
  }

  /** `up` works, `down` does not and has room for ten messages. */
  get usual() {
    return [bridge("up", this.remote.url), bridge("down", this.closed, "max_queued_messages = 10")];
  }

  get file() {
    return join(this.directory, "ferrymq.toml");
  }

  /** Writes the configuration, which a broker that runs reads again because it has changed. */
  configure(bridges) {
    writeFileSync(this.file, bridges.join("\n"));
  }

  /** Publishes at QoS 1; returns when the broker has acknowledged everything. */
  async publish(...messages) {
    const publisher = await connect(this.broker, `publisher-${Math.random()}`, { clean: true, properties: {} });
    for (const [topic, payload] of messages) await publisher.publishAsync(topic, payload, { qos: 1 });
    await publisher.endAsync();
  }

  async stop() {
    await this.broker?.stop();
    await this.remote?.stop();
    rmSync(this.directory, { recursive: true });
  }
}
