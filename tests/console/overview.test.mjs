// The first view, with a real broker and clients that come, go and leave messages behind.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Broker } from "../clients/js/broker.mjs";
import { GONE, WITH_TOKEN, launch, openSignedIn, until } from "./browser.mjs";
import { connect, endAll, waiting } from "./people.mjs";

const tile = (page, name) => page.locator(".tile", { has: page.getByRole("heading", { name }) });

describe("the overview", { timeout: 600_000 }, () => {
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

  test("a client that connects and leaves is seen as it happens", async () => {
    const page = await openSignedIn(browser, broker);
    const connected = tile(page, "Connected sessions");
    await connected.getByText("0", { exact: true }).waitFor();
    const client = await connect(broker, "seen-live");
    await connected.getByText("1", { exact: true }).waitFor();
    const events = page.getByRole("list", { name: "Recent events" });
    await events.getByText("seen-live").first().waitFor();
    await client.endAsync();
    await connected.getByText("0", { exact: true }).waitFor();
    await connected.getByText("1 waiting for their client").waitFor();
    await page.done();
  });

  test("messages that pile up show in the figures, the charts and the longest queues", async () => {
    const page = await openSignedIn(browser, broker);
    await waiting(broker, "piling-up", "pile/up", 300);
    const row = page.getByRole("region", { name: "Longest queues" }).getByRole("row", { name: /piling-up/ });
    await until(async () => (await row.locator("td").allInnerTexts())[1], "300");
    await tile(page, "Waiting messages").getByText("300", { exact: true }).waitFor();
    await tile(page, "Messages in").getByText("300 since the start").waitFor();
    await page.getByText(/ of 10 GiB/).waitFor();
    await page.getByText(/ of 256 MiB/).waitFor();
    for (const name of ["Messages a second", "Commit latency"]) {
      const card = page.locator(".card", { has: page.getByRole("heading", { name }) });
      await until(async () => (await card.locator("path.line.a").getAttribute("d")).length > 10);
      assert.match(await card.locator("svg").getAttribute("aria-label"), /last 5 minutes; now: .*\d/);
    }
    await row.getByRole("link").click();
    await page.getByRole("heading", { name: "piling-up" }).waitFor();
    await page.done();
  });

  test("the last minutes are there for whoever opens the page now", async () => {
    await waiting(broker, "before-the-page", "before/the/page", 200);
    // The broker remembers once in a few seconds; the page is opened anew until it did.
    await until(async () => {
      const page = await openSignedIn(browser, broker);
      const marks = (await page.locator("path.line.a").first().getAttribute("d")).match(/[ML]/g)?.length ?? 0;
      await page.done();
      return marks >= 2;
    });
  });

  test("a reload that failed is told until one succeeds", async () => {
    const directory = mkdtempSync(join(tmpdir(), "ferrymq-reload-"));
    const file = join(directory, "passwords");
    writeFileSync(file, "", { mode: 0o600 });
    const reloaded = await Broker.start({ ...WITH_TOKEN, FERRYMQ_AUTH__PASSWORD_FILE: file });
    const page = await openSignedIn(browser, reloaded);
    const facts = page.locator(".card", { has: page.getByRole("heading", { name: "In the broker" }) });
    await facts.getByText("none yet").waitFor();
    // It is read again because it has changed.
    writeFileSync(file, "<b>no hash</b>\n");
    await facts.getByText(/^failed /).waitFor();
    await facts.getByText(/^Not reloaded: .*passwords/).waitFor();
    await page.shot("reload-failed", { fullPage: true });
    writeFileSync(file, "");
    await until(() => facts.getByText("Not reloaded").count(), 0);
    await until(() => facts.getByText(/^failed /).count(), 0);
    await page.done();
    await reloaded.stop();
    rmSync(directory, { recursive: true });
  });

  test("a lost connection is told, and found again", async () => {
    const page = await openSignedIn(browser, broker, { expected: [GONE] });
    await broker.kill();
    await page.getByText("Connection lost, trying again.").waitFor();
    await page.getByText("No connection").waitFor();
    await broker.up();
    await page.getByText("Live", { exact: true }).waitFor();
    await page.getByText("The broker was restarted.").waitFor();
    assert.equal(await page.locator("#banner").innerText(), "");
    await page.done();
  });

  test("a page that is not looked at asks nothing", async () => {
    const page = await openSignedIn(browser, broker);
    const hide = (hidden) => page.evaluate((value) => {
      Object.defineProperty(document, "hidden", { value, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    await hide(true);
    await page.getByText("Paused").waitFor();
    await page.waitForLoadState("networkidle");
    let asked = 0;
    page.on("request", () => { asked += 1; });
    // Three times as long as between two looks: there is no event for nothing.
    await page.waitForTimeout(4_500);
    assert.equal(asked, 0);
    await hide(false);
    await page.getByText("Live", { exact: true }).waitFor();
    await page.done();
  });
});
