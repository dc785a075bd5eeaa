// Headless Chromium on a page of the broker, which takes down whatever the browser
// complains about.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const TOKEN = "a-token-for-the-console-tests";
export const WITH_TOKEN = { FERRYMQ_HTTP__TOKEN: TOKEN };
/** What Chromium complains of while a broker that was killed comes back. */
export const GONE = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_CONNECTION_CLOSED|ERR_EMPTY_RESPONSE|503/;
/** Longer than anything takes on a busy machine. */
export const TIMEOUT = 30_000;

const shots = process.env.FERRYMQ_SCREENSHOTS ?? mkdtempSync(join(tmpdir(), "ferrymq-console-"));
mkdirSync(shots, { recursive: true });

/** `more`: arguments of Chromium. */
export const launch = (...more) => chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  // Its own profile, new and empty, is what playwright gives it.
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", ...more],
});

/** A page in a context of its own. `expected`: complaints that belong to the test. */
export async function open(browser, broker, options = {}) {
  const { path = "", expected = [], ...context } = options;
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 }, ...context })).newPage();
  page.setDefaultTimeout(TIMEOUT);
  const complaints = [];
  const complain = (text) => expected.some((one) => one.test(text)) || complaints.push(text);
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complain(`console: ${message.text()}`));
  page.on("pageerror", (error) => complain(`error: ${error.stack ?? error}`));
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== new URL(broker.page).origin && protocol !== "data:") complain(`request: ${request.url()}`);
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) =>
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`));
  });
  await page.goto(broker.page + path);
  return Object.assign(page, {
    async done() {
      await page.context().close();
      assert.deepEqual(complaints, []);
    },
    shot: (name, more) => page.screenshot({ path: join(shots, `${name}.png`), ...more }),
  });
}

export async function signIn(page, token = TOKEN) {
  await page.getByLabel("API token").fill(token);
  await page.getByRole("main").getByRole("button", { name: "Sign in" }).click();
}

/** A page that is signed in and shows the overview. */
export async function openSignedIn(browser, broker, options) {
  const page = await open(browser, broker, options);
  await signIn(page);
  await page.getByText("Live", { exact: true }).waitFor();
  return page;
}

/** Waits until `look` gives `wanted`; `look` runs on this side. */
export async function until(look, wanted = true) {
  const end = Date.now() + TIMEOUT;
  for (;;) {
    const seen = await look();
    try {
      assert.deepEqual(seen, wanted);
      return seen;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
    await new Promise((next) => setTimeout(next, 50));
  }
}
