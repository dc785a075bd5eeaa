// The real binary, in a directory of its own, on ports of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const root = resolve(import.meta.dirname, "../../..");
const binary = resolve(process.env.BROKER_BINARY ?? join(root, "target/release/ferrymq"));

// From below the range that outgoing connections are given, so that a port stays free
// while the broker is down.
export async function freePort() {
  for (;;) {
    const port = 28_000 + Math.floor(Math.random() * 4_000);
    const server = createServer();
    try {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
    } catch {
      continue;
    }
    server.close();
    await once(server, "close");
    return port;
  }
}

export class Broker {
  /** `env`: more of the configuration; may be changed between two starts. */
  static async start(env = {}) {
    const broker = new Broker();
    broker.env = env;
    broker.directory = mkdtempSync(join(tmpdir(), "ferrymq-js-"));
    broker.port = await freePort();
    broker.httpPort = await freePort();
    await broker.up();
    return broker;
  }

  async up() {
    const log = openSync(join(this.directory, "broker.log"), "a");
    this.process = spawn(binary, [], {
      cwd: this.directory,
      stdio: ["ignore", log, log],
      env: {
        ...Object.fromEntries(Object.entries(process.env).filter(([key]) => !key.startsWith("FERRYMQ_"))),
        FERRYMQ_LISTENERS__TCP__BIND: `127.0.0.1:${this.port}`,
        FERRYMQ_HTTP__BIND: `127.0.0.1:${this.httpPort}`,
        FERRYMQ_PERSISTENCE__PATH: join(this.directory, "ferrymq.db"),
        ...this.env,
      },
    });
    const deadline = Date.now() + 20_000;
    while (!(await this.ready())) {
      if (Date.now() > deadline || this.process.exitCode !== null) {
        throw new Error(`not ready:\n${readFileSync(join(this.directory, "broker.log"))}`);
      }
      await pause(10);
    }
  }

  async ready() {
    try {
      return (await fetch(`http://127.0.0.1:${this.httpPort}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  /** Waits until the log has a text; lines are written by a thread of their own. */
  async logged(text) {
    const deadline = Date.now() + 20_000;
    while (!readFileSync(join(this.directory, "broker.log"), "utf8").includes(text)) {
      if (Date.now() > deadline) throw new Error(`not in the log: ${text}`);
      await pause(10);
    }
  }

  async kill() {
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }

  async restart() {
    await this.kill();
    await this.up();
  }

  async stop() {
    if (this.process.exitCode === null && this.process.signalCode === null) await this.kill();
    rmSync(this.directory, { recursive: true });
  }

  get page() {
    return `http://127.0.0.1:${this.httpPort}/`;
  }

  get url() {
    return `mqtt://127.0.0.1:${this.port}`;
  }
}
