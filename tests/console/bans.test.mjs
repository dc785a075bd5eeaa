// Banned addresses: listed in pages, and lifted after a question.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Broker } from "../clients/js/broker.mjs";
import { WITH_TOKEN, launch, openSignedIn, until } from "./browser.mjs";
import { ban } from "./people.mjs";

const rows = (page) => page.getByRole("region", { name: "Banned addresses" }).locator("tbody tr");

describe("bans", { timeout: 600_000 }, () => {
  let browser, broker;
  before(async () => {
    browser = await launch();
    broker = await Broker.start(WITH_TOKEN);
  });
  after(async () => {
    await browser?.close();
    await broker?.stop();
  });

  async function openBans() {
    const page = await openSignedIn(browser, broker);
    await page.getByRole("navigation").getByRole("link", { name: "Bans" }).click();
    await page.getByRole("heading", { name: "Bans", exact: true }).waitFor();
    return page;
  }

  test("bans are shown with their end, and are lifted after a question", async () => {
    const empty = await openBans();
    await empty.getByText("No address is banned.").waitFor();
    await empty.done();
    await ban(broker, "192.0.2.1", 7200);
    await ban(broker, "2001:db8::1", 86_400);
    const page = await openBans();
    await until(() => rows(page).count(), 2);
    assert.match(await rows(page).first().innerText(), /192\.0\.2\.1\s+in .*–\s+an operator/);
    await page.shot("bans");
    await page.getByRole("button", { name: "Lift the ban of 2001:db8::/64" }).click();
    const dialog = page.getByRole("dialog", { name: "Lift the ban of 2001:db8::/64?" });
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await until(() => rows(page).count(), 2);
    await page.getByRole("button", { name: "Lift the ban of 2001:db8::/64" }).click();
    await dialog.getByRole("button", { name: "Lift ban" }).click();
    await page.getByText("2001:db8::/64 may connect again.").waitFor();
    await until(() => rows(page).count(), 1);
    await page.done();
  });

  test("a long list is shown in pages", async () => {
    for (let n = 0; n < 30; n += 1) await ban(broker, `198.51.100.${n}`, 600);
    const page = await openBans();
    await until(() => rows(page).count(), 25);
    await page.getByRole("button", { name: "Show more" }).click();
    await until(async () => (await rows(page).count()) >= 30);
    await page.done();
  });
});
