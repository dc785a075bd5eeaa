// The first view: what an operator looks for first.

import { api } from "./api.js";
import { connectedOf } from "./bridges.js";
import { chart } from "./chart.js";
import { foreign, h, say, swap, table, visible } from "./dom.js";
import { events } from "./events.js";
import { ago, bytes, count, duration, latency, plural, rate, roughly } from "./format.js";
import { meter } from "./meter.js";

const REASONS = {
  queue_full: "Queue full",
  expired: "Expired while waiting",
  slow_consumer: "Receiver too slow (QoS 0)",
  too_large: "Larger than the receiver takes",
  memory_limit: "Memory limit",
  session_ended: "Session ended",
  not_authorized: "Not authorized",
  disk_full: "Disk full",
  retained_limit: "Retained limit",
};

/** A link to a client's view. */
export function clientLink(clientId) {
  return h("a", { href: `#/clients/${encodeURIComponent(clientId)}`, "data-key": clientId }, foreign(clientId));
}

/** One figure with a line below it. */
function tile(title) {
  const value = h("p", { className: "value" });
  const note = h("p", { className: "note" });
  return { box: h("section", { className: "card tile" }, h("h2", null, title), value, note), value, note };
}

function card(className, title, aside, ...content) {
  return h("section", { className: `card ${className}` }, h("header", null, h("h2", null, title), aside), ...content);
}

/** Shows the overview; `update` is called with each answer of the broker. */
export function overview(main) {
  const tiles = { in: tile("Messages in"), out: tile("Messages out"), sessions: tile("Connected sessions"), queued: tile("Waiting messages") };
  const traffic = chart({ title: "Messages a second", series: { a: "in", b: "out" }, format: rate, least: 10, none: "Collecting…" });
  const commits = chart({ title: "Commit latency", series: { a: "p50", b: "p99" }, format: latency, least: 0.001, none: "No commits in the last minutes" });
  const meters = { database: meter("Database"), wal: meter("Write-ahead log"), volume: meter("Volume") };
  const forecast = h("p", { className: "note aside" });
  const storage = h("div", { className: "meters" }, meters.database.box, meters.wal.box, meters.volume.box);
  const writes = h("dl", { className: "facts slim" });
  const facts = h("dl", { className: "facts slim" });
  const bridges = h("a", { className: "note aside", href: "#/bridges", hidden: true });
  const reloadError = h("p", { className: "error", role: "status" });
  const queues = h("div");
  const losses = h("div");
  const lossNote = h("p", { className: "note aside" });
  const log = events();
  const heading = h("h1", { tabindex: "-1" }, "Overview");
  main.replaceChildren(
    h("div", { className: "title covered" }, heading),
    h("div", { className: "grid live-data" },
      h("div", { className: "tiles" }, Object.values(tiles).map((t) => t.box)),
      card("half", "Messages a second", traffic.legend, traffic.box),
      card("half", "Commit latency", commits.legend, commits.box),
      card("half", "Storage", forecast, storage, writes),
      card("half", "Longest queues", h("a", { className: "note aside", href: "#/clients" }, "All clients"), queues),
      h("div", { className: "third short" },
        card("", "Dropped and refused", lossNote, losses),
        card("", "In the broker", bridges, facts, reloadError)),
      card("two-thirds", "Recent events", h("p", { className: "note aside" }, "Newest first"), log.list)));

  return {
    events: log.add,
    async refresh() {
      // A failure shows in the request for the rest, which is made as often.
      const all = await api("bridges").catch(() => null);
      if (!all) return;
      bridges.hidden = all.length === 0;
      say(bridges, `Bridges: ${connectedOf(all)}`);
    },
    update(now, history) {
      const throughput = history.throughput();
      const { a, b } = throughput.at(-1) ?? { a: NaN, b: NaN };
      figure(tiles.in, rate(a), "/s", `${count(now.messages.received_total)} since the start`);
      figure(tiles.out, rate(b), "/s", `${count(now.messages.delivered_total)} since the start`);
      figure(tiles.sessions, count(now.sessions.connected), "", `${count(now.sessions.waiting)} waiting for their client`);
      const oldest = now.persistence?.oldest_message_age_seconds;
      figure(tiles.queued, count(now.messages.queued), "", oldest > 0 ? `oldest: ${duration(oldest)}` : now.messages.queued > 0 ? "in memory only" : "none waits");
      traffic.update(throughput);
      commits.update(history.commits());
      showStorage(now.persistence, { meters, storage, forecast });
      showWrites(now.persistence, writes);
      showFacts(now, facts);
      say(reloadError, now.last_reload?.error ? `Not reloaded: ${visible(now.last_reload.error)}` : "");
      showQueues(queues, now.longest_queues);
      showLosses(losses, lossNote, now.messages, history.losses());
    },
  };
}

function figure(t, value, unit, note) {
  if (t.value.dataset.shown !== value) {
    t.value.dataset.shown = value;
    t.value.replaceChildren(value, unit ? h("small", null, ` ${unit}`) : "");
  }
  say(t.note, note);
}

function showStorage(p, { meters, storage, forecast }) {
  storage.hidden = !p;
  if (!p) {
    say(forecast, "Persistence is off: nothing survives the process.");
  } else {
    const database = p.max_size_bytes ? `${bytes(p.database_size_bytes)} of ${bytes(p.max_size_bytes)}` : bytes(p.database_size_bytes);
    meters.database.set(p.database_size_bytes - p.free_bytes, p.max_size_bytes, p.free_bytes > 0 ? `${database}, ${bytes(p.free_bytes)} of it free` : database);
    meters.wal.set(p.wal_size_bytes, p.wal_limit_bytes, `${bytes(p.wal_size_bytes)} of ${bytes(p.wal_limit_bytes)}`);
    const left = `${bytes(p.volume_available_bytes)} free`;
    meters.volume.set(p.volume_size_bytes - p.volume_available_bytes, p.volume_size_bytes, p.volume_size_bytes ? `${left} of ${bytes(p.volume_size_bytes)}` : left);
    say(forecast, p.seconds_to_full === null ? "Not filling up" : `At this pace full in ${roughly(p.seconds_to_full)}`);
    forecast.className = p.seconds_to_full !== null && p.seconds_to_full < 86_400 ? "note aside error" : "note aside";
  }
}

function showWrites(p, writes) {
  list(writes, p ? [
    ["Writes that wait", count(p.pending_writes)],
    ["Transactions", count(p.commits_total)],
    ["Messages written", count(p.committed_messages_total)],
    ["Writes elided", count(p.elided_messages_total)],
  ] : []);
}

function showFacts(now, facts) {
  list(facts, [
    ["Retained messages", `${count(now.messages.retained)} (${bytes(now.messages.retained_bytes)})`],
    ["Subscriptions", count(now.sessions.subscriptions)],
    ["In flight", count(now.messages.in_flight)],
    ["Messages in memory", bytes(now.messages.memory_bytes)],
    ["Last reload", reloaded(now.last_reload)],
  ]);
}

function reloaded(last) {
  if (!last) return "none yet";
  return last.error ? `failed ${ago(last.at)}` : ago(last.at);
}

/** Names and values; only what changes is touched. */
function list(place, entries) {
  if (place.children.length !== entries.length) {
    place.replaceChildren(...entries.map(([name]) => h("div", null, h("dt", null, name), h("dd"))));
  }
  entries.forEach(([, value], index) => say(place.children[index].lastChild, value));
}

function showQueues(place, queues) {
  const shown = JSON.stringify(queues);
  if (place.dataset.shown === shown) return;
  const done = swap(place, !queues.length ? h("p", { className: "empty" }, "No queued messages.")
    : table("Longest queues", [["Client", "wrap"], ["Messages", "number"], ["Size", "number roomy"], ["State", ""]],
    queues.map((q) => [clientLink(q.client_id), count(q.queued), bytes(q.queued_bytes), statePill(q.connected)])));
  if (done) place.dataset.shown = shown;
}

/** Connected or waiting, as a coloured word. */
export function statePill(connected) {
  return h("span", { className: connected ? "pill good" : "pill hollow" }, h("span", { className: "word" }, connected ? "Connected" : "Waiting"));
}

function showLosses(place, note, messages, recent) {
  const rows = [["Dropped", messages.dropped_total], ["Refused", messages.refused_total]].flatMap(([kind, counters]) =>
    Object.entries(counters).filter(([, n]) => n > 0).map(([reason, n]) => [kind, REASONS[reason] ?? visible(reason), n]));
  const lost = recent.dropped + recent.refused;
  say(note, rows.length === 0 ? "" : lost > 0 ? `${plural(lost, "message")} in the last ${duration(recent.seconds)}` : "none lately");
  note.className = lost > 0 ? "note aside error" : "note aside";
  const shown = JSON.stringify(rows);
  if (place.dataset.shown === shown) return;
  place.dataset.shown = shown;
  swap(place, rows.length === 0 ? h("p", { className: "empty" }, "Nothing was dropped or refused since the start.")
    : table("Dropped and refused since the start", [["What", ""], ["Why", ""], ["Since the start", "number"]],
      rows.map(([kind, reason, n]) => [kind, reason, count(n)])));
}
