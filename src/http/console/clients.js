// Searching clients: a list of sessions, in pages.

import { api } from "./api.js";
import { foreign, h, say, swap, table } from "./dom.js";
import { ago, bytes, count, transport } from "./format.js";
import { clientLink, statePill } from "./overview.js";

const PAGE = 50;
/** Longer than between two strokes of a person who types. */
const PAUSE = 250;

const COLUMNS = [["Client", "wrap"], ["State", ""], ["Messages", "number"], ["Size", "number roomy"], ["User", "wrap roomy"], ["Transport", "roomy"], ["Since", "roomy nowrap"], ["Address", "roomy nowrap"]];

function cells(session) {
  const connected = session.state === "connected";
  const since = connected ? session.connected_at : session.disconnected_at;
  return [
    clientLink(session.client_id), statePill(connected), count(session.queued_messages), bytes(session.queued_bytes),
    session.user ? foreign(session.user) : connected ? "anonymous" : "–", transport(session.transport),
    since ? h("time", { datetime: since }, ago(since)) : "–", session.remote ? foreign(session.remote) : "–",
  ];
}

function select(id, label, choices, value, onchange) {
  const element = h("select", { id, onchange }, choices.map(([name, text]) => h("option", { value: name, selected: name === value }, text)));
  return [h("div", null, h("label", { for: id }, label), element), element];
}

/** Shows the list. The search stands in the address, so that going back finds it again. */
export function clients(main, query) {
  const place = h("div");
  const found = h("p", { className: "note", role: "status" });
  const more = h("button", { type: "button", className: "more", hidden: true, onclick: () => load(true) }, "Show more");
  const search = h("input", { id: "search", type: "search", value: query.get("search") ?? "", autocomplete: "off", spellcheck: "false", placeholder: "Part of a client id" });
  const [state, stateBox] = select("state-filter", "State", [["", "All"], ["connected", "Connected"], ["waiting", "Waiting"]], query.get("state") ?? "", () => load());
  const [sort, sortBox] = select("sort", "Order", [["queued", "Longest queue"], ["client_id", "Client id"]], query.get("sort") ?? "queued", () => load());
  const form = h("form", { className: "tools", role: "search" },
    h("div", { className: "grow" }, h("label", { for: "search" }, "Search a client"), search), state, sort);
  main.replaceChildren(h("div", { className: "title" }, h("h1", { tabindex: "-1" }, "Clients"), found), form,
    h("section", { className: "card live-data" }, place, more));
  let sessions = [];
  let next = null;
  let turn = 0;
  let drawn = "";
  let timer;
  form.addEventListener("submit", (event) => { event.preventDefault(); load(); });
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(load, PAUSE); });

  async function load(append = false, quiet = false) {
    clearTimeout(timer);
    const asked = { search: search.value, state: stateBox.value, sort: sortBox.value };
    const mine = turn += 1;
    if (append !== true && !quiet) remember(asked);
    try {
      const page = await api("sessions", { query: { ...asked, limit: PAGE, cursor: append === true ? next : null } });
      // A slow answer must not take the place of a newer one.
      if (mine !== turn) return;
      const shown = append === true ? sessions.length : 0;
      sessions = append === true ? [...sessions, ...page.items] : page.items;
      next = page.next;
      // Times pass by themselves: that alone is told twice a minute.
      const now = JSON.stringify([sessions, Math.floor(Date.now() / 30_000)]);
      if (now !== drawn && swap(place, sessions.length ? table("Sessions", COLUMNS, sessions.map(cells)) : h("p", { className: "empty" }, "No session matches."))) drawn = now;
      more.hidden = !next;
      say(found, `${count(sessions.length)}${next ? " or more" : ""} found`);
      if (append === true) place.querySelectorAll("tbody a")[shown]?.focus();
    } catch (error) {
      if (mine === turn) say(found, error.message);
    }
  }

  function remember(asked) {
    // The address may name another view by now.
    if (!/^#\/clients(\?|$)/.test(location.hash)) return;
    const search = new URLSearchParams(Object.entries(asked).filter(([name, value]) => value && !(name === "sort" && value === "queued")));
    history.replaceState(null, "", `#/clients${search.size ? `?${search}` : ""}`);
  }

  load();
  return { update: null, stop: () => { clearTimeout(timer); turn += 1; }, refresh: () => sessions.length <= PAGE && document.activeElement !== search && load(false, true) };
}
