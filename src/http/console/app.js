// Starts the page: which view is shown, and the poll that keeps it live.

import { api, isOn, readiness, token } from "./api.js";
import { bans } from "./bans.js";
import { bridges } from "./bridges.js";
import { client } from "./client.js";
import { clients } from "./clients.js";
import { deadLetters } from "./dead-letters.js";
import { toast } from "./dialog.js";
import { say, visible } from "./dom.js";
import { duration } from "./format.js";
import { History } from "./history.js";
import { overview } from "./overview.js";
import { signIn, turnOn } from "./signin.js";
import { LOOK } from "./state.js";

/** Between two looks at the broker, while the page is to be seen. */
const EVERY = 1_500;

const $ = (id) => document.getElementById(id);
const main = $("main");
const past = new History();
const log = { after: 0, items: [] };
let view = null;
let latest = null;
let startedAt = null;
let timer = null;
let polling = false;
/** Counted up when what runs is void: signed out, or another token. */
let turn = 0;

function chrome(shown) {
  for (const id of ["nav", "live", "sign-out"]) $(id).hidden = !shown;
  $("state").hidden = !shown || !latest;
  if (!shown) {
    banner("");
    say($("foot"), "");
    main.classList.remove("stale");
  }
}

function banner(text, bad = false) {
  $("banner").className = bad ? "banner bad" : "banner";
  say($("banner"), text);
}

function leave() {
  turn += 1;
  view?.stop?.();
  view = null;
  clearTimeout(timer);
}

/** Shows the view that the address names. */
function route(focus = true) {
  view?.stop?.();
  const [path, query] = location.hash.slice(1).split("?");
  const id = path.match(/^\/clients\/(.+)$/)?.[1];
  if (id !== undefined) view = client(main, decoded(id));
  else if (path === "/clients") view = clients(main, new URLSearchParams(query));
  else if (path === "/bridges") view = bridges(main);
  else if (path === "/dead-letters") view = deadLetters(main, new URLSearchParams(query));
  else if (path === "/bans") view = bans(main);
  else view = overview(main);
  const name = path.match(/^\/(clients|bridges|dead-letters|bans)/)?.[1] ?? "overview";
  for (const link of $("nav").children) {
    const current = link.dataset.view.split(" ").includes(name);
    if (current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  view.events?.(log.items);
  if (latest) view.update?.(latest, past);
  window.scrollTo(0, 0);
  // Whoever cannot see the change of the view is told by its heading.
  if (focus) main.querySelector("h1")?.focus({ preventScroll: true });
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function show(now) {
  if (startedAt !== null && startedAt !== now.started_at) toast("The broker was restarted.");
  if (startedAt !== now.started_at) {
    startedAt = now.started_at;
    Object.assign(log, { after: 0, items: [] });
    view.events?.(null);
  }
  latest = now;
  past.add(now);
  const [text, kind] = LOOK[now.state] ?? [visible(now.state), ""];
  say($("state"), text);
  $("state").className = `pill ${kind}`;
  $("state").hidden = false;
  document.title = now.state === "ready" ? "FerryMQ" : `${text} · FerryMQ`;
  say($("foot"), `FerryMQ ${now.version} · up for ${duration(now.uptime_seconds)}`);
  view.update?.(now, past);
}

function live(kind, text) {
  $("live").className = `live ${kind}`;
  say($("live"), text);
}

async function poll() {
  if (polling || document.hidden) return;
  polling = true;
  clearTimeout(timer);
  const mine = turn;
  try {
    let now = await api("overview", { query: { history: latest ? null : true } });
    // After a pause, or of another process: what happened meanwhile.
    if (!now.history && (now.started_at !== startedAt || past.lacks(now.uptime_seconds))) {
      now = await api("overview", { query: { history: true } });
    }
    if (mine !== turn) return;
    show(now);
    const { items, last } = await api("events", { query: { after: log.after } });
    if (mine !== turn) return;
    log.after = last;
    log.items = [...log.items, ...items].slice(-200);
    view.events?.(items);
    view.refresh?.();
    banner(now.state === "ready" ? "" : `${visible(now.state_text)}.`, now.state === "poisoned");
    main.classList.remove("stale");
    live("on", "Live");
  } catch (problem) {
    if (mine === turn) await failed(problem);
  } finally {
    polling = false;
    clearTimeout(timer);
    if (mine === turn) timer = setTimeout(poll, EVERY);
    // Signed in anew while the last answer was on its way.
    else if (!$("nav").hidden) poll();
  }
}

async function failed(problem) {
  if (problem.status === 401) return ask("The token is no longer valid. Sign in again.");
  if (problem.status === 404) return offer();
  main.classList.add("stale");
  if (problem.status === 503) {
    const ready = await readiness().catch(() => null);
    live("off", "Waiting");
    return banner(`The broker is not ready: ${visible(ready?.reason ?? problem.message)}.`);
  }
  live("off", "No connection");
  return banner(problem.status === 0 ? "Connection lost, trying again." : `The broker answered with an error: ${visible(problem.message)}`, true);
}

function ask(note) {
  leave();
  token.clear();
  latest = null;
  chrome(false);
  view = { stop: signIn(main, note, start) };
}

function offer() {
  leave();
  latest = null;
  chrome(false);
  const mine = turn;
  view = { stop: turnOn(main, async () => {
    if (await isOn() && mine === turn) begin(true);
  }) };
}

function start() {
  leave();
  past.samples = [];
  Object.assign(log, { after: 0, items: [] });
  startedAt = null;
  chrome(true);
  live("", "Connecting");
  route();
  poll();
}

/** By whether the API is on, and whether there is a token to try. */
function begin(on) {
  if (!on) offer();
  else if (token.get()) start();
  else ask(null);
}

window.addEventListener("hashchange", () => { if (latest || !$("nav").hidden) route(); });
document.addEventListener("visibilitychange", () => {
  if ($("nav").hidden) return;
  if (document.hidden) {
    clearTimeout(timer);
    live("", "Paused");
  } else poll();
});
$("sign-out").addEventListener("click", () => ask(null));
$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

begin(await isOn().catch(() => true));
