// Finding a client, looking into its queue, ending its connection and its session.
import assert from "node:assert/strict";
import { pbkdf2Sync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Broker, freePort } from "../clients/js/broker.mjs";
import { WITH_TOKEN, launch, openSignedIn, until } from "./browser.mjs";
import { connect, endAll, waiting } from "./people.mjs";

const rows = (page, name) => page.getByRole("region", { name }).locator("tbody tr");
const fact = (page, name) => page.locator(".facts > div", { has: page.getByText(name, { exact: true }) }).locator("dd");

describe("clients", { timeout: 600_000 }, () => {
  let browser, broker;
  before(async () => {
    browser = await launch();
    broker = await Broker.start(WITH_TOKEN);
  });
  after(async () => {
    endAll();
    await browser?.close();
    await broker?.stop();
  });

  async function find(page, clientId) {
    await page.getByRole("navigation").getByRole("link", { name: "Clients" }).click();
    await page.getByLabel("Search a client").fill(clientId);
    await until(() => rows(page, "Sessions").count(), 1);
    await rows(page, "Sessions").getByRole("link").click();
  }

  test("a client is found, its queue is paged and a payload is shown", async () => {
    await waiting(broker, "reader-1", "shop/floor", 60, (n) => `{"number": ${n}}`);
    await connect(broker, "someone-else");
    const page = await openSignedIn(browser, broker);
    await find(page, "reader");
    await page.getByRole("heading", { name: "reader-1" }).waitFor();
    await page.locator("#session-state", { hasText: "Waiting" }).waitFor();
    await until(() => fact(page, "Protocol").innerText(), "MQTT 5.0");
    assert.match(await fact(page, "Waiting").innerText(), /^60 messages, /);
    await until(() => rows(page, "Subscriptions").locator("td").first().innerText(), "shop/floor");
    await until(() => rows(page, "Queue").count(), 25);
    const more = page.getByRole("button", { name: "Show more" });
    await more.click();
    await until(() => rows(page, "Queue").count(), 50);
    await more.click();
    await until(() => rows(page, "Queue").count(), 60);
    assert.ok(await more.isHidden());
    await rows(page, "Queue").nth(41).getByRole("button").click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText('{"number": 41}').waitFor();
    await dialog.getByText("Text").waitFor();
    await page.keyboard.press("Escape");
    await until(() => dialog.count(), 0);
    await page.shot("client", { fullPage: true });
    await page.done();
  });

  test("user and transport of a client are shown", async () => {
    const port = await freePort();
    const directory = mkdtempSync(join(tmpdir(), "ferrymq-users-"));
    const salt = randomBytes(12);
    const hash = pbkdf2Sync("secret", salt, 100, 64, "sha512");
    const file = join(directory, "passwords");
    writeFileSync(file, `<alice>:$7$100$${salt.toString("base64")}$${hash.toString("base64")}\n`, { mode: 0o600 });
    const known = await Broker.start({
      ...WITH_TOKEN,
      FERRYMQ_AUTH__PASSWORD_FILE: file,
      FERRYMQ_LISTENERS__WEB__BIND: `127.0.0.1:${port}`,
      FERRYMQ_LISTENERS__WEB__PROTOCOL: "ws",
    });
    await connect({ url: `ws://127.0.0.1:${port}/mqtt` }, "browser-1", { username: "<alice>", password: "secret" });
    await connect(known, "sensor-1", { username: "<alice>", password: "secret" });
    const page = await openSignedIn(browser, known);
    await page.getByRole("navigation").getByRole("link", { name: "Clients" }).click();
    await until(() => rows(page, "Sessions").count(), 2);
    const cells = (name) => rows(page, "Sessions").filter({ hasText: name }).locator("td").allInnerTexts();
    assert.deepEqual((await cells("browser-1")).slice(4, 6), ["<alice>", "WebSocket"]);
    assert.deepEqual((await cells("sensor-1")).slice(4, 6), ["<alice>", "TCP"]);
    await page.shot("clients-users");
    await find(page, "browser-1");
    await until(() => fact(page, "User").innerText(), "<alice>");
    await until(() => fact(page, "Transport").innerText(), "WebSocket");
    await until(() => fact(page, "Listener").innerText(), "web");
    await page.done();
    await known.stop();
    rmSync(directory, { recursive: true });
  });

  test("a client is disconnected after a question, and sees why", async () => {
    const client = await connect(broker, "to-be-cut");
    const page = await openSignedIn(browser, broker);
    await find(page, "to-be-cut");
    await page.locator("#session-state", { hasText: "Connected" }).waitFor();
    assert.match(await fact(page, "Address").innerText(), /^127\.0\.0\.1:\d+$/);
    await page.getByRole("button", { name: "Disconnect" }).click();
    const dialog = page.getByRole("dialog", { name: "Disconnect to-be-cut?" });
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await until(() => dialog.count(), 0);
    assert.ok(client.connected);
    const told = once(client, "disconnect");
    await page.getByRole("button", { name: "Disconnect" }).click();
    await page.shot("dialog");
    await dialog.getByRole("button", { name: "Disconnect" }).click();
    // [MQTT-3.14.2.1] 0x98: administrative action.
    assert.equal((await told)[0].reasonCode, 0x98);
    await page.locator("#session-state", { hasText: "Waiting" }).waitFor();
    await page.getByText("to-be-cut was disconnected.").waitFor();
    assert.ok(await page.getByRole("button", { name: "Disconnect" }).isHidden());
    await page.done();
  });

  test("a session is deleted after a question, and does not come back", async () => {
    await waiting(broker, "to-be-gone", "to/be/gone", 5);
    const page = await openSignedIn(browser, broker);
    await find(page, "to-be-gone");
    await page.getByRole("button", { name: "Delete session" }).click();
    const dialog = page.getByRole("dialog", { name: "Delete the session of to-be-gone?" });
    await dialog.getByText("5 waiting messages and 1 subscription are removed for good.").waitFor();
    await dialog.getByRole("button", { name: "Delete session" }).click();
    await page.getByRole("heading", { name: "Clients" }).waitFor();
    await page.getByLabel("Search a client").fill("to-be-gone");
    await page.getByText("No session matches.").waitFor();
    await page.done();
    await broker.restart();
    const client = await connect(broker, "to-be-gone");
    assert.equal(client.sessionPresent, false);
  });

  test("a client that goes while it is looked at is told to be gone", async () => {
    const client = await connect(broker, "short-lived", { clean: true, properties: { sessionExpiryInterval: 0 } });
    const page = await openSignedIn(browser, broker, { expected: [/404/] });
    await find(page, "short-lived");
    await page.locator("#session-state", { hasText: "Connected" }).waitFor();
    await client.endAsync();
    await page.getByText("There is no such session (any more).").waitFor();
    await page.done();
  });

  test("a name is shown as it is, whatever it is made of", async () => {
    const names = ["a/b", "ü", "%2F", "with space", "?a=b#c", "100%", "<img src=x onerror=\"globalThis.pwned=1\">", "\"><script>globalThis.pwned=1</script>", "javascript:globalThis.pwned=1"];
    for (const name of names) await connect(broker, name);
    // Turns the direction of what follows.
    await connect(broker, "exe.\u202etxt");
    const topic = "<svg onload=globalThis.pwned=1>";
    await waiting(broker, "<b>waiting</b>", topic, 1, () => "<img src=x onerror=globalThis.pwned=1>");
    const page = await openSignedIn(browser, broker);
    await page.getByRole("region", { name: "Longest queues" }).getByText("<b>waiting</b>").waitFor();
    for (const name of names) {
      await find(page, name);
      await page.getByRole("heading", { name, exact: true }).waitFor();
      await page.locator("#session-state", { hasText: "Connected" }).waitFor();
    }
    await find(page, "exe.");
    await page.getByRole("heading", { name: "exe.\\u{202e}txt" }).waitFor();
    await page.locator("#session-state", { hasText: "Connected" }).waitFor();
    await find(page, "<b>waiting");
    await page.getByRole("region", { name: "Queue" }).getByText(topic).waitFor();
    await rows(page, "Queue").getByRole("button").click();
    await page.getByRole("dialog").getByText("<img src=x onerror=globalThis.pwned=1>").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("navigation").getByRole("link", { name: "Overview" }).click();
    await page.getByRole("list", { name: "Recent events" }).getByText("onerror").first().waitFor();
    assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
    assert.equal(await page.locator("main img, main script, main svg[onload], main b:not(.legend b, .head b)").count(), 0);
    await page.done();
  });
});
