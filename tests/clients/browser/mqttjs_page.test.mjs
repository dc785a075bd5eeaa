// MQTT.js in a page, in headless Chromium: ws and wss, and the origins of pages.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, open } from "../../console/browser.mjs";
import { startListening } from "../js/listening.mjs";
import { Site } from "./site.mjs";

const numbers = (count) => [...Array(count).keys()].map(String);

describe("MQTT.js in Chromium", { timeout: 600_000 }, () => {
  let allowed, broker, browser;
  before(async () => {
    allowed = await Site.start();
    broker = await startListening({ websocket: { ALLOWED_ORIGINS: allowed.origin } });
    // Chromium has no other way to be told of an authority without a user's certificate store.
    browser = await launch(`--ignore-certificate-errors-spki-list=${broker.certificates.spki}`);
  });
  after(async () => {
    await browser?.close();
    await broker?.stop();
    await allowed?.stop();
  });

  /** A page; `call` calls what `page.js` offers. */
  async function visit(site = allowed, options = {}) {
    const page = await open(options.browser ?? browser, site, { expected: options.expected });
    const call = (name, ...args) => page.evaluate(([name, args]) => globalThis.calls[name](...args), [name, args]);
    return Object.assign(page, { call });
  }

  for (const protocolVersion of [4, 5]) {
    for (const protocol of ["ws", "wss"]) {
      const id = (text) => `${text}-${protocol}-${protocolVersion}`;
      const name = (text) => `${protocol}, protocol version ${protocolVersion}: ${text}`;

      test(name("a page subscribes, publishes QoS 1 and 2, and receives"), async () => {
        const page = await visit();
        const clientId = id("page");
        assert.equal(await page.call("connect", broker.urls[protocol], { clientId, protocolVersion }), false);
        assert.equal(await page.call("subscribe", clientId, `${clientId}/#`, 2), 2);
        for (const qos of [1, 2]) {
          await page.call("publish", clientId, `${clientId}/${qos}`, qos, numbers(100));
          const got = await page.call("received", clientId, 100);
          assert.deepEqual(got, numbers(100).map((text) => ({ topic: `${clientId}/${qos}`, qos, text })));
        }
        // More than a frame of TLS, and a length of eight bytes in WebSocket's header.
        await page.call("publish", clientId, `${clientId}/large`, 2, ["x".repeat(300_000)]);
        const [large] = await page.call("received", clientId, 1);
        assert.equal(large.text.length, 300_000);
        await page.call("end", clientId);
        await page.done();
      });

      test(name("a session waits while its page is reloaded, and gets its messages"), async () => {
        const clientId = id("stays");
        const keep = { clientId, protocolVersion, clean: false,
          ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: 1000 } }) };
        const page = await visit();
        const other = await visit();
        await page.call("connect", broker.urls[protocol], keep);
        await page.call("subscribe", clientId, clientId, 2);
        await page.goto("about:blank");
        await other.call("connect", broker.urls[protocol], { clientId: id("other"), protocolVersion });
        await other.call("publish", id("other"), clientId, 2, numbers(50));
        await page.goto(allowed.page);
        assert.equal(await page.call("connect", broker.urls[protocol], keep), true);
        const got = await page.call("received", clientId, 50);
        assert.deepEqual(got.map(({ text }) => text), numbers(50));
        await page.done();
        await other.done();
      });
    }
  }

  test("the will of a page that is closed is published", async () => {
    const [stays, closed] = [await visit(), await visit()];
    await stays.call("connect", broker.urls.wss, { clientId: "stays" });
    await stays.call("subscribe", "stays", "closed", 1);
    await closed.call("connect", broker.urls.wss, { clientId: "closes", will: { topic: "closed", payload: "gone", qos: 1 } });
    await closed.done();
    assert.deepEqual(await stays.call("received", "stays", 1), [{ topic: "closed", qos: 1, text: "gone" }]);
    await stays.done();
  });

  for (const protocol of ["ws", "wss"]) {
    test(`${protocol}: a page of an origin that is not allowed is refused`, async () => {
      const elsewhere = await Site.start();
      const page = await visit(elsewhere, { expected: [/WebSocket connection .* failed: .* 403/] });
      await assert.rejects(page.call("connect", broker.urls[protocol], { clientId: "elsewhere" }));
      await broker.logged(elsewhere.origin);
      await page.done();
      await elsewhere.stop();
    });
  }

  test("wss: a browser that does not know the authority does not connect", async () => {
    const strict = await launch();
    const page = await visit(allowed, { browser: strict, expected: [/ERR_CERT_AUTHORITY_INVALID/] });
    await assert.rejects(page.call("connect", broker.urls.wss, { clientId: "strict" }));
    assert.equal(await page.call("connect", broker.urls.ws, { clientId: "strict" }), false);
    await page.done();
    await strict.close();
  });
});
