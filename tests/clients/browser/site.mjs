// The web server of a page with MQTT.js. Each has an origin of its own.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join, resolve } from "node:path";

// Of the console's tests, whose packages these tests use.
const MQTTJS = resolve(import.meta.dirname, "../../console/node_modules/mqtt/dist/mqtt.min.js");

const FILES = {
  "/": ["text/html; charset=utf-8", join(import.meta.dirname, "page.html")],
  "/page.js": ["text/javascript", join(import.meta.dirname, "page.js")],
  "/mqtt.js": ["text/javascript", MQTTJS],
};

export class Site {
  static async start() {
    const site = new Site();
    site.server = createServer(({ url }, response) => {
      const [type, path] = FILES[url] ?? [];
      if (!path) return response.writeHead(404).end();
      response.writeHead(200, { "content-type": type }).end(readFileSync(path));
    });
    site.server.listen(0, "127.0.0.1");
    await once(site.server, "listening");
    site.origin = `http://127.0.0.1:${site.server.address().port}`;
    site.page = `${site.origin}/`;
    return site;
  }

  async stop() {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, "close");
  }
}
