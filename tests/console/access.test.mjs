// For everybody: the keyboard alone, a phone, the dark, less motion, assistive technology.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import { Broker } from "../clients/js/broker.mjs";
import { Bridged } from "./bridged.mjs";
import { TOKEN, WITH_TOKEN, launch, open, openSignedIn, until } from "./browser.mjs";
import { ban, connect, endAll, waiting } from "./people.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };

async function violations(page) {
  // What moves is looked at when it stands still.
  await page.evaluate(() => document.getAnimations().forEach((a) => a.cancel()));
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
  const { violations: found } = await page.evaluate((values) => axe.run(document, { runOnly: { type: "tag", values } }), RULES);
  return found.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.html} ${n.failureSummary}`).join(" | ")}`);
}

const focused = (page) => page.evaluate(() => document.activeElement.textContent.trim() || document.activeElement.id);

async function tabTo(page, text) {
  for (let n = 0; n < 60; n += 1) {
    await page.keyboard.press("Tab");
    if (text.test(await focused(page))) {
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      assert.notEqual(outline, "none", `focus on ${text} is not to be seen`);
      return;
    }
  }
  assert.fail(`the keyboard does not reach ${text}`);
}

describe("for everybody", { timeout: 600_000 }, () => {
  let browser, bridged, broker;
  before(async () => {
    browser = await launch();
    bridged = await Bridged.start();
    ({ broker } = bridged);
    await ban(broker, "192.0.2.1", 7200);
    await connect(broker, "sensor-1");
    await connect(broker, "a-client-with-a-name-that-is-as-long-as-names-of-generated-clients-are-0123456789");
    await waiting(broker, "historian", "plant/hall-1/temperature/of/a/machine/with/a/long/name", 40);
    await bridged.publish(["up/secret/code/of/a/door/with/a/long/name", "1234"], ...Array.from({ length: 9 }, () => ["down/a", "a"]));
  });
  after(async () => {
    endAll();
    await browser?.close();
    await bridged?.stop();
  });

  test("everything can be done with the keyboard", async () => {
    const page = await open(browser, broker);
    await page.getByLabel("API token").waitFor();
    await until(() => focused(page), "token");
    await page.keyboard.type(TOKEN);
    await page.keyboard.press("Enter");
    await page.getByText("Live", { exact: true }).waitFor();
    await until(() => focused(page), "Overview");
    await page.evaluate(() => document.activeElement.blur());
    await tabTo(page, /^Skip to the content$/);
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.id), "main");
    // The broker brings the longest queues up to date once a second, and tabs do not wait for that.
    await page.getByRole("region", { name: "Longest queues" }).getByText("historian").waitFor();
    await tabTo(page, /^historian$/);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "historian" }).waitFor();
    await until(() => focused(page), "historian");
    await page.goBack();
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.getByRole("link", { name: "Clients", exact: true }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("region", { name: "Sessions" }).getByText("sensor-1").waitFor();
    await tabTo(page, /^search$/);
    await page.keyboard.type("sensor");
    await until(() => page.getByRole("region", { name: "Sessions" }).locator("tbody tr").count(), 1);
    await tabTo(page, /^sensor-1$/);
    await page.keyboard.press("Enter");
    await page.locator("#session-state", { hasText: "Connected" }).waitFor();
    await tabTo(page, /^Disconnect$/);
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    assert.equal(await focused(page), "Cancel");
    for (let n = 0; n < 8; n += 1) {
      await page.keyboard.press("Tab");
      // Past the last one Chromium goes to its own window, never to the page behind.
      assert.ok(await page.evaluate(() => document.activeElement === document.body || Boolean(document.activeElement.closest("dialog"))));
    }
    await page.keyboard.press("Escape");
    await until(() => dialog.count(), 0);
    assert.equal(await focused(page), "Disconnect");
    await page.done();
  });

  test("a phone shows every view without scrolling sideways", async () => {
    const page = await open(browser, broker, { ...PHONE, colorScheme: "dark" });
    const fits = async (name) => {
      // Not innerWidth: a phone shows more of a page that is too wide.
      const [wide, { width }] = [await page.evaluate(() => document.documentElement.scrollWidth), PHONE.viewport];
      assert.ok(wide <= width, `${name}: ${wide} of ${width} pixels`);
      await page.shot(`phone-${name}`, { fullPage: true });
    };
    await page.getByLabel("API token").waitFor();
    await fits("signin");
    await page.getByLabel("API token").fill(TOKEN);
    await page.getByRole("main").getByRole("button", { name: "Sign in" }).tap();
    await page.getByText("Live", { exact: true }).waitFor();
    await page.getByRole("region", { name: "Longest queues" }).waitFor();
    await fits("overview");
    await page.getByRole("link", { name: "Clients", exact: true }).tap();
    await page.getByRole("region", { name: "Sessions" }).waitFor();
    await fits("clients");
    await page.getByRole("link", { name: "historian" }).tap();
    await page.getByRole("region", { name: "Queue" }).waitFor();
    await fits("client");
    await page.getByRole("button", { name: "Delete session" }).tap();
    await page.getByRole("dialog").waitFor();
    await fits("dialog");
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "Bridges", exact: true }).tap();
    await page.getByText("Queue 90% full").waitFor();
    await fits("bridges");
    await page.getByRole("link", { name: "Dead letters of bridge up" }).tap();
    await page.getByRole("region", { name: "Dead letters" }).waitFor();
    await fits("dead-letters");
    await page.getByRole("button", { name: "Show" }).tap();
    await page.getByRole("dialog").waitFor();
    await fits("dead-letter");
    await page.done();
  });

  test("it is dark in the dark, and still for those who ask for it", async () => {
    const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).slice(0, 3).map(Number));
    const light = await openSignedIn(browser, broker, { colorScheme: "light" });
    assert.ok((await ground(light)).every((part) => part > 200));
    await light.done();
    const dark = await openSignedIn(browser, broker, { colorScheme: "dark", reducedMotion: "reduce" });
    assert.ok((await ground(dark)).every((part) => part < 60));
    assert.equal(await dark.evaluate(() => document.getAnimations().length), 0);
    assert.equal(await dark.evaluate(() => getComputedStyle(document.querySelector(".fill")).transitionDuration), "0s");
    await dark.done();
  });

  for (const colorScheme of ["light", "dark"]) {
    test(`axe finds nothing against the page (${colorScheme})`, async () => {
      const page = await open(browser, broker, { colorScheme });
      await page.getByLabel("API token").waitFor();
      assert.deepEqual(await violations(page), [], "signing in");
      await page.getByLabel("API token").fill(TOKEN);
      await page.keyboard.press("Enter");
      await page.getByRole("region", { name: "Longest queues" }).waitFor();
      assert.deepEqual(await violations(page), [], "overview");
      await page.shot(`overview-${colorScheme}`, { fullPage: true });
      await page.getByRole("link", { name: "Clients", exact: true }).click();
      await page.getByRole("region", { name: "Sessions" }).waitFor();
      assert.deepEqual(await violations(page), [], "clients");
      await page.shot(`clients-${colorScheme}`);
      await page.getByRole("link", { name: "historian" }).click();
      await page.getByRole("region", { name: "Queue" }).waitFor();
      assert.deepEqual(await violations(page), [], "client");
      await page.shot(`client-${colorScheme}`);
      await page.getByRole("button", { name: "Delete session" }).click();
      await page.getByRole("dialog").waitFor();
      assert.deepEqual(await violations(page), [], "dialog");
      await page.keyboard.press("Escape");
      await page.getByRole("link", { name: "Bridges", exact: true }).click();
      await page.getByText("Queue 90% full").waitFor();
      assert.deepEqual(await violations(page), [], "bridges");
      await page.shot(`bridges-${colorScheme}`);
      await page.getByRole("link", { name: "Dead letters of bridge up" }).click();
      await page.getByRole("region", { name: "Dead letters" }).waitFor();
      assert.deepEqual(await violations(page), [], "dead letters");
      await page.shot(`dead-letters-${colorScheme}`);
      await page.getByRole("button", { name: "Show" }).click();
      await page.getByRole("dialog").waitFor();
      assert.deepEqual(await violations(page), [], "dead letter");
      await page.shot(`dead-letter-${colorScheme}`);
      await page.keyboard.press("Escape");
      await page.getByRole("link", { name: "Bans", exact: true }).click();
      await page.getByRole("region", { name: "Banned addresses" }).waitFor();
      assert.deepEqual(await violations(page), [], "bans");
      await page.done();
      const bare = await Broker.start();
      const off = await open(browser, bare, { colorScheme });
      await off.getByText("Serving").waitFor();
      assert.deepEqual(await violations(off), [], "off");
      await off.done();
      await bare.stop();
    });
  }
});
