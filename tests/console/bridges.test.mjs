// Bridges and their dead letters: seen, paused, resumed and deleted.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { Broker } from "../clients/js/broker.mjs";
import { Bridged, LARGEST, bridge } from "./bridged.mjs";
import { WITH_TOKEN, launch, openSignedIn, until } from "./browser.mjs";
import { connect, endAll } from "./people.mjs";

const card = (page, name) => page.getByRole("region", { name, exact: true });
const fact = (page, name, title) => card(page, name).locator(".facts > div", { has: page.getByText(title, { exact: true }) }).locator("dd");
const pill = (page, name, text) => card(page, name).locator(".pill", { hasText: text });
const button = (page, name, text) => card(page, name).getByRole("button", { name: `${text} bridge ${name}` });
const letters = (page) => page.getByRole("region", { name: /^Dead letters/ }).locator("tbody tr");
const many = (count, topic) => Array.from({ length: count }, (_, n) => [topic, `message ${n}`]);

describe("bridges", { timeout: 600_000 }, () => {
  let browser, bridged;
  before(async () => {
    browser = await launch();
    bridged = await Bridged.start();
  });
  after(async () => {
    endAll();
    await browser?.close();
    await bridged?.stop();
  });

  async function openBridges(options) {
    const page = await openSignedIn(browser, bridged.broker, options);
    await page.getByRole("navigation").getByRole("link", { name: "Bridges" }).click();
    await page.getByRole("heading", { name: "Bridges", exact: true }).waitFor();
    return page;
  }

  async function openLetters(page, name) {
    await card(page, name).getByRole("link", { name: `Dead letters of bridge ${name}` }).click();
    await page.getByRole("heading", { name: `Dead letters of ${name}` }).waitFor();
  }

  test("a broker without bridges says where to read of them", async () => {
    const alone = await Broker.start(WITH_TOKEN);
    const page = await openSignedIn(browser, alone);
    assert.ok(await page.getByRole("link", { name: /^Bridges: / }).isHidden());
    await page.getByRole("navigation").getByRole("link", { name: "Bridges" }).click();
    await page.getByText("No bridges are configured.").waitFor();
    await page.getByText("docs/bridging.md").waitFor();
    await page.shot("bridges-none");
    await page.done();
    await alone.stop();
  });

  test("the state of each bridge is shown, its queue, and why it is not connected", async () => {
    await bridged.publish(...many(20, "up/a"), ...many(9, "down/a"));
    const page = await openSignedIn(browser, bridged.broker);
    await page.getByRole("link", { name: "Bridges: 1 of 2 connected" }).click();
    await page.getByRole("heading", { name: "Bridges", exact: true }).waitFor();
    await pill(page, "up", "Connected").waitFor();
    assert.match(await card(page, "up").locator("time").innerText(), /^for /);
    await until(() => fact(page, "up", "Address").innerText(), bridged.remote.url);
    await until(() => fact(page, "up", "Protocol").innerText(), "MQTT 5.0");
    await until(() => fact(page, "up", "Forwarded").innerText(), "20 messages");
    await until(() => fact(page, "up", "Oldest message").innerText(), "none waits");
    await pill(page, "down", /Waiting|Connecting/).waitFor();
    await card(page, "down").getByText(/^Last error.*refused/i).waitFor();
    assert.match(await fact(page, "down", "Reconnects").innerText(), /^\d+ \(not reachable\)$/);
    await card(page, "down").getByText(/^9 of 10 messages, /).waitFor();
    await pill(page, "down", "Queue 90% full").waitFor();
    assert.match(await card(page, "down").locator(".fill").getAttribute("class"), /warn/);
    assert.ok(await pill(page, "up", "Queue").isHidden());
    assert.match(await fact(page, "down", "Oldest message").innerText(), /seconds? old$/);
    await page.shot("bridges");
    await card(page, "down").getByRole("link", { name: "Session and queue of bridge down" }).click();
    await page.getByRole("heading", { name: "bridge:down" }).waitFor();
    await until(() => page.getByRole("region", { name: "Queue" }).locator("tbody tr").count(), 9);
    await page.done();
  });

  test("a bridge is paused after a question, goes on queueing, and sends all when it is resumed", async () => {
    const receiver = await connect(bridged.remote, "receiver", { clean: true, properties: {} });
    await receiver.subscribeAsync("up/paused", { qos: 1 });
    const page = await openBridges();
    await pill(page, "up", "Connected").waitFor();
    await button(page, "up", "Pause").click();
    const question = page.getByRole("dialog", { name: "Pause up?" });
    await question.getByRole("button", { name: "Cancel" }).click();
    await until(() => question.count(), 0);
    await pill(page, "up", "Connected").waitFor();
    await button(page, "up", "Pause").click();
    await page.shot("bridge-pause");
    await question.getByRole("button", { name: "Pause bridge" }).click();
    await page.getByText("up was paused.").waitFor();
    await pill(page, "up", "Paused").waitFor();
    await until(() => page.evaluate(() => document.activeElement.textContent), "Resume bridge up");
    await bridged.publish(...many(3, "up/paused"));
    await card(page, "up").getByText(/^3 of 10,000,000 messages, /).waitFor();
    await page.shot("bridge-paused");
    const arrived = once(receiver, "message");
    await button(page, "up", "Resume").click();
    const resume = page.getByRole("dialog", { name: "Resume up?" });
    await resume.getByText("It connects and sends what waits: 3 messages.").waitFor();
    await resume.getByRole("button", { name: "Resume bridge" }).click();
    await page.getByText("up was resumed.").waitFor();
    await pill(page, "up", "Connected").waitFor();
    assert.equal((await arrived)[1].toString(), "message 0");
    await card(page, "up").getByText(/^0 of 10,000,000 messages, /).waitFor();
    await page.done();
  });

  test("a bridge that waits is connected at once", async () => {
    const page = await openBridges();
    const before = Number((await fact(page, "down", "Reconnects").innerText()).match(/^\d+/)[0]);
    await button(page, "down", "Connect now").click();
    await page.getByText("down connects.").waitFor();
    await until(async () => Number((await fact(page, "down", "Reconnects").innerText()).match(/^\d+/)[0]) > before);
    await page.done();
  });

  test("dead letters are shown with their reason, and are deleted after a question", async () => {
    const topic = "up/<img src=x onerror=globalThis.pwned=1>";
    const payload = "<svg onload=globalThis.pwned=1>".padEnd(LARGEST + 100, ".");
    await bridged.publish([topic, payload], ["up/secret/exe.\u202etxt", Buffer.from([0, 1, 255])], ["up/secret/b", ""]);
    const page = await openBridges();
    await until(() => fact(page, "up", "Dead letters").innerText(), "3 since the start");
    await openLetters(page, "up");
    await until(() => letters(page).count(), 3);
    const [large, binary, empty] = await Promise.all([0, 1, 2].map((n) => letters(page).nth(n).locator("td").allInnerTexts()));
    assert.equal(large[0], topic);
    assert.match(large[1], /^Packet too large \(0x95\)$/);
    assert.match(large[2], /ago$|^just now$/);
    assert.equal(large[3], "2.10 KiB");
    assert.match(large[4], /^<svg onload=globalThis\.pwned=1>\.+…$/);
    assert.deepEqual([binary[0], binary[1], binary[4]], ["up/secret/exe.\\u{202e}txt", "Not authorized (0x87)", "00 01 ff"]);
    assert.equal(empty[4], "empty");
    await page.shot("dead-letters");
    await letters(page).first().getByRole("button", { name: "Show" }).click();
    const shown = page.getByRole("dialog", { name: `Dead letter to ${topic}` });
    await shown.getByText(payload).waitFor();
    await shown.getByText("the same").waitFor();
    await page.shot("dead-letter");
    await page.keyboard.press("Escape");
    await letters(page).first().getByRole("button", { name: "Delete" }).click();
    const question = page.getByRole("dialog", { name: "Delete this dead letter?" });
    await question.getByRole("button", { name: "Cancel" }).click();
    await until(() => question.count(), 0);
    assert.equal(await letters(page).count(), 3);
    await letters(page).first().getByRole("button", { name: "Delete" }).click();
    await question.getByText(topic).waitFor();
    await question.getByRole("button", { name: "Delete dead letter" }).click();
    await page.getByText("The dead letter was deleted.").waitFor();
    await until(() => letters(page).count(), 2);
    // Its button is gone: the keyboard goes on from the heading.
    await until(() => page.evaluate(() => document.activeElement.textContent), "Dead letters of up");
    await page.getByRole("button", { name: "Delete all" }).click();
    const all = page.getByRole("dialog", { name: "Delete all dead letters of up?" });
    await all.getByRole("button", { name: "Delete all" }).click();
    await page.getByText("2 dead letters were deleted.").waitFor();
    await page.getByText("There are no dead letters.").waitFor();
    assert.ok(await page.getByRole("button", { name: "Delete all" }).isHidden());
    assert.equal(await page.evaluate(() => globalThis.pwned), undefined);
    assert.equal(await page.locator("main img, main svg").count(), 0);
    await page.done();
  });

  test("bridges that come, stop and go are followed, and leave their dead letters", async () => {
    const page = await openBridges();
    await until(() => page.locator(".bridge").count(), 2);
    const { url } = bridged.remote;
    bridged.configure([...bridged.usual, bridge("gone", url), bridge("strict", url, 'on_refused = "stop"')]);
    await pill(page, "gone", "Connected").waitFor();
    await pill(page, "strict", "Connected").waitFor();
    await bridged.publish(["gone/secret/a", "a"], ["strict/secret/a", "a"], ["strict/b", "b"], ["up/secret/c", "c"]);
    await pill(page, "strict", "Stopped").waitFor();
    await card(page, "strict").getByText(/^2 of /).waitFor();
    await button(page, "strict", "Resume").click();
    await page.getByRole("dialog", { name: "Resume strict?" }).getByText("If that message is refused again, it stops again.").waitFor();
    await page.keyboard.press("Escape");
    await until(() => fact(page, "gone", "Dead letters").innerText(), "1 since the start");
    await page.shot("bridges-all", { fullPage: true });
    bridged.configure(bridged.usual);
    await until(() => page.locator(".bridge").count(), 2);
    await page.getByRole("link", { name: "All dead letters" }).click();
    await page.getByRole("heading", { name: "Dead letters", exact: true }).waitFor();
    await until(() => letters(page).count(), 2);
    assert.ok(await page.getByRole("button", { name: "Delete all" }).isHidden());
    await page.shot("dead-letters-all");
    await letters(page).getByRole("link", { name: "gone" }).click();
    await page.getByRole("heading", { name: "Dead letters of gone" }).waitFor();
    await page.getByRole("button", { name: "Delete all" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete all" }).click();
    await page.getByText("1 dead letter was deleted.").waitFor();
    await page.getByRole("link", { name: "All bridges" }).click();
    await page.getByRole("link", { name: "All dead letters" }).click();
    await until(() => letters(page).count(), 1);
    await page.done();
  });
});
