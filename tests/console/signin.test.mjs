// Getting in: without a token, with a wrong one, with the right one.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Broker } from "../clients/js/broker.mjs";
import { GONE, TOKEN, WITH_TOKEN, launch, open, openSignedIn, signIn } from "./browser.mjs";

describe("signing in", { timeout: 600_000 }, () => {
  let browser, broker;
  before(async () => {
    browser = await launch();
    broker = await Broker.start(WITH_TOKEN);
  });
  after(async () => {
    await browser?.close();
    await broker?.stop();
  });

  test("a wrong token is told, and the right one opens the overview", async () => {
    const page = await open(browser, broker, { expected: [/401/] });
    const field = page.getByLabel("API token");
    await field.waitFor();
    assert.equal(await field.getAttribute("type"), "password");
    await page.shot("signin");
    await signIn(page, "not-the-token-of-this-broker");
    await page.getByText("The token is not valid.").waitFor();
    assert.equal(await field.getAttribute("aria-invalid"), "true");
    await signIn(page, ` ${TOKEN}\n`);
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await page.getByText("Serving").waitFor();
    await page.done();
  });

  test("the token is kept for the tab alone, through a reload, until signing out", async () => {
    const page = await openSignedIn(browser, broker);
    await page.reload();
    await page.getByText("Live", { exact: true }).waitFor();
    assert.deepEqual(await page.evaluate(() => [localStorage.length, document.cookie, sessionStorage.length]), [0, "", 1]);
    assert.ok(!(await page.content()).includes(TOKEN));
    const other = await page.context().newPage();
    await other.goto(broker.page);
    await other.getByLabel("API token").waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByLabel("API token").waitFor();
    assert.equal(await page.evaluate(() => sessionStorage.length), 0);
    await page.done();
  });

  test("a token that has changed is asked for again", async () => {
    const page = await openSignedIn(browser, broker, { expected: [/401/, GONE] });
    await broker.kill();
    broker.env = { FERRYMQ_HTTP__TOKEN: "another-token-of-this-broker" };
    await broker.up();
    await page.getByText("The token is no longer valid. Sign in again.").waitFor();
    await signIn(page, broker.env.FERRYMQ_HTTP__TOKEN);
    await page.getByText("Live", { exact: true }).waitFor();
    await page.done();
  });

  test("without a token the page says how to turn the API on, and notices when it is", async () => {
    const bare = await Broker.start();
    const page = await open(browser, bare, { expected: [GONE] });
    await page.getByRole("heading", { name: "The console needs a token" }).waitFor();
    await page.getByText("FERRYMQ_HTTP__TOKEN").waitFor();
    await page.getByText("Serving").waitFor();
    await page.shot("off");
    await bare.kill();
    await page.getByText("No answer").waitFor();
    bare.env = WITH_TOKEN;
    await bare.up();
    await page.getByLabel("API token").waitFor();
    await page.done();
    await bare.stop();
  });

  test("http.console = false leaves no page", async () => {
    const bare = await Broker.start({ ...WITH_TOKEN, FERRYMQ_HTTP__CONSOLE: "false" });
    for (const path of ["", "console/app.js", "console/api"]) {
      assert.equal((await fetch(bare.page + path)).status, 404, path);
    }
    assert.equal((await fetch(`${bare.page}metrics`)).status, 200);
    await bare.stop();
  });

  test("the page forbids everything that is not its own, and is sent once", async () => {
    const first = await fetch(broker.page);
    const policy = first.headers.get("content-security-policy");
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(first.headers.get("x-content-type-options"), "nosniff");
    assert.equal(first.headers.get("referrer-policy"), "no-referrer");
    assert.equal(first.headers.get("cache-control"), "no-cache");
    const again = await fetch(broker.page, { headers: { "if-none-match": first.headers.get("etag") } });
    assert.equal(again.status, 304);
  });
});
