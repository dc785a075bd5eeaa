// Bridges to other brokers: the state of each, and what can be done with it.

import { api, segment } from "./api.js";
import { confirm, toast } from "./dialog.js";
import { foreign, h, say, visible } from "./dom.js";
import { bytes, count, dateTime, duration, plural } from "./format.js";
import { meter } from "./meter.js";

/** From this share on a queue is said to be filling up, as by the alert. */
const FILLING = 0.8;

/** The words and the colour of a state, by its name in the API. */
const LOOK = {
  connected: ["Connected", "good"],
  connecting: ["Connecting", ""],
  waiting: ["Waiting", "warn"],
  paused: ["Paused", "hollow"],
  stopped: ["Stopped", "bad"],
};

/** Why a connection had to be established again, by the API's names. */
const REASONS = {
  unreachable: "not reachable",
  refused: "refused",
  lost: "connection lost",
  disconnected: "disconnected by the remote broker",
  ended: "ended by this broker",
};

/** How many bridges are connected, in words. */
export function connectedOf(all) {
  return `${count(all.filter((bridge) => bridge.state === "connected").length)} of ${count(all.length)} connected`;
}

function reconnects(by) {
  const reasons = Object.entries(by).filter(([, n]) => n > 0);
  const sum = reasons.reduce((before, [, n]) => before + n, 0);
  if (sum === 0) return "none";
  const each = reasons.map(([why, n]) => [reasons.length > 1 && count(n), REASONS[why] ?? why].filter(Boolean).join(" "));
  return `${count(sum)} (${each.join(", ")})`;
}

function facts(bridge) {
  return [
    ["Address", bridge.address ?? "–"],
    ["Protocol", bridge.version ? `MQTT ${bridge.version}` : "–"],
    ["Oldest message", bridge.queued_messages > 0 ? `${duration(bridge.oldest_age_seconds || 0.5)} old` : "none waits"],
    ["Forwarded", plural(bridge.forwarded, "message")],
    ["Received", plural(bridge.received, "message")],
    ["Dead letters", `${count(bridge.dead_letters)} since the start`],
    ["Reconnects", reconnects(bridge.reconnects)],
  ];
}

/** What went wrong last, and how often it was tried since. */
function trouble(bridge) {
  if (!bridge.last_error) return "";
  const tried = bridge.state !== "connected" && bridge.attempts > 1 ? ` (${plural(bridge.attempts, "attempt")})` : "";
  return `Last error${tried}: ${visible(bridge.last_error)}`;
}

/** Shows all bridges. They follow the broker. */
export function bridges(main) {
  const found = h("p", { className: "note", role: "status" });
  const place = h("div", { className: "stack live-data" });
  const cards = new Map();
  let asked = 0;
  let shown = 0;
  let stopped = false;
  main.replaceChildren(
    h("div", { className: "title" }, h("h1", { tabindex: "-1" }, "Bridges"), found,
      h("div", { className: "actions" }, h("a", { href: "#/dead-letters" }, "All dead letters"))),
    place);

  async function refresh() {
    const mine = asked += 1;
    try {
      const all = await api("bridges");
      // A slow answer must not take the place of a newer one.
      if (stopped || mine < shown) return;
      shown = mine;
      show(all);
    } catch (error) {
      if (!stopped && error.status !== 0 && error.status !== 401) say(found, error.message);
    }
  }

  function show(all) {
    say(found, all.length ? connectedOf(all) : "");
    const names = all.map((bridge) => bridge.name);
    if (!place.children.length || names.join() !== [...cards.keys()].join()) {
      const before = new Map(cards);
      cards.clear();
      for (const name of names) cards.set(name, before.get(name) ?? card(name, refresh));
      place.replaceChildren(...(all.length ? [...cards.values()].map((one) => one.box) : [none()]));
    }
    for (const bridge of all) cards.get(bridge.name).update(bridge);
  }

  refresh();
  return { refresh, stop: () => { stopped = true; } };
}

function none() {
  return h("section", { className: "card" },
    h("p", { className: "empty" }, "No bridges are configured. A bridge exchanges messages with another broker: add ",
      h("code", null, "[bridges.NAME]"), " to the configuration, as docs/bridging.md describes."));
}

/** The card of one bridge; `refresh` is called when something was done. */
function card(name, refresh) {
  let current = null;
  const id = `bridge-${name}`;
  const button = (onclick, word) => h("button", { type: "button", className: "small", onclick },
    word, h("span", { className: "hidden-text" }, ` bridge ${name}`));
  const word = h("span");
  const state = h("span", { className: "pill" });
  const since = h("time", { className: "note" });
  const filling = h("span", { className: "pill warn", hidden: true });
  const now = button(connect, "Connect now");
  const toggle = button(() => (rests(current) ? askResume() : askPause()), word);
  const error = h("p");
  const queue = meter("Queue");
  const list = h("dl", { className: "facts" });
  const session = h("a", null, "Session and queue", h("span", { className: "hidden-text" }, ` of bridge ${name}`));
  const letters = h("a", { href: `#/dead-letters?bridge=${encodeURIComponent(name)}` },
    "Dead letters", h("span", { className: "hidden-text" }, ` of bridge ${name}`));
  const box = h("section", { className: "card bridge", "aria-labelledby": id },
    h("div", { className: "title" }, h("h2", { id }, foreign(name)), state, since, filling,
      h("div", { className: "actions" }, now, toggle)),
    error, queue.box, list, h("p", { className: "links" }, session, letters));

  function update(bridge) {
    current = bridge;
    const [text, look] = LOOK[bridge.state] ?? [visible(bridge.state), ""];
    say(state, text);
    state.className = `pill ${look}`;
    say(since, bridge.since ? `for ${duration(Math.max(0, (Date.now() - new Date(bridge.since).getTime()) / 1000))}` : "");
    since.title = bridge.since ? `Since ${dateTime(bridge.since)}` : "";
    if (bridge.since) since.dateTime = bridge.since;
    say(word, rests(bridge) ? "Resume" : "Pause");
    // While it connects too, so that the button does not come and go with each attempt.
    const idle = bridge.state !== "waiting" && bridge.state !== "connecting";
    if (idle && document.activeElement === now) toggle.focus({ preventScroll: true });
    now.hidden = idle;
    say(error, trouble(bridge));
    error.className = bridge.state === "connected" || bridge.state === "paused" ? "note" : "error";
    error.hidden = !bridge.last_error;
    session.href = `#/clients/${encodeURIComponent(bridge.session)}`;
    showQueue(bridge);
    const all = facts(bridge);
    if (!list.children.length) list.replaceChildren(...all.map(([title]) => h("div", null, h("dt", null, title), h("dd"))));
    all.forEach(([, value], index) => say(list.children[index].lastChild, visible(value)));
  }

  function showQueue({ queued_messages: queued, max_queued_messages: most, queued_bytes: size }) {
    const share = most > 0 ? queued / most : 0;
    queue.set(queued, most, `${count(queued)} of ${plural(most, "message")}, ${bytes(size)}`);
    filling.hidden = share < FILLING;
    say(filling, share >= 1 ? "Queue full" : `Queue ${Math.floor(share * 100)}% full`);
  }

  async function connect() {
    try {
      await api(`bridges/${segment(name)}/resume`, { method: "POST" });
      toast(`${name} connects.`);
      await refresh();
    } catch (problem) {
      toast(problem.message);
    }
  }

  function askPause() {
    confirm({
      title: `Pause ${name}?`,
      text: "Its connection is closed and its queue goes on filling, until it is resumed or the broker is restarted.",
      button: "Pause bridge",
      async act() {
        await api(`bridges/${segment(name)}/pause`, { method: "POST" });
        toast(`${name} was paused.`);
        await refresh();
      },
    });
  }

  function askResume() {
    const waiting = plural(current.queued_messages, "message");
    confirm({
      title: `Resume ${name}?`,
      text: current.state === "stopped"
        ? `It connects and sends the message that was refused again, then what waits behind it: ${waiting} in all. If that message is refused again, it stops again.`
        : `It connects and sends what waits: ${waiting}.`,
      button: "Resume bridge",
      async act() {
        await api(`bridges/${segment(name)}/resume`, { method: "POST" });
        toast(`${name} was resumed.`);
        await refresh();
      },
    });
  }

  return { box, update };
}

/** Whether it connects only when it is resumed. */
const rests = (bridge) => bridge.state === "paused" || bridge.state === "stopped";
