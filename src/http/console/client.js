// One client: its state, what can be done with it, its subscriptions and its queue.

import { api, segment } from "./api.js";
import { confirm, toast } from "./dialog.js";
import { foreign, h, say, visible } from "./dom.js";
import { ago, bytes, count, dateTime, duration, plural, transport } from "./format.js";
import { queue, subscriptions } from "./lists.js";

function facts(session) {
  const connected = session.state === "connected";
  const expiry = session.expiry_seconds;
  return [
    ["Protocol", session.version ? `MQTT ${session.version}` : "–"],
    ["Address", session.remote ?? "–"],
    ["Listener", session.listener ?? "–"],
    ["Transport", transport(session.transport)],
    ["User", session.user ?? (connected ? "anonymous" : "–")],
    connected ? ["Connected", session.connected_at ? ago(session.connected_at) : "–"]
      : ["Away", session.disconnected_at ? ago(session.disconnected_at) : "–"],
    ["Kept", expiry === 0 ? "while connected" : expiry === null ? "for good" : `${duration(expiry)} after it leaves`],
    ["Durable", session.durable ? "yes, on disk" : "no, in memory"],
    ["Keep alive", session.keep_alive_seconds ? duration(session.keep_alive_seconds) : "–"],
    ["Waiting", `${plural(session.queued_messages, "message")}, ${bytes(session.queued_bytes)}`],
    ["In flight", `${count(session.inflight_messages)} of ${count(session.receive_maximum)}`],
    ["Subscriptions", count(session.subscriptions)],
    ["Will", session.has_will ? "yes" : "no"],
  ];
}

/** Shows a client. Its facts follow the broker; the lists are fetched when asked for. */
export function client(main, clientId) {
  const path = `sessions/${segment(clientId)}`;
  const state = h("span", { className: "pill", id: "session-state" }, "…");
  const list = h("dl", { className: "facts" });
  const problem = h("p", { className: "error", role: "alert" });
  const disconnect = h("button", { type: "button", onclick: askDisconnect }, "Disconnect");
  const remove = h("button", { type: "button", className: "danger", onclick: askDelete }, "Delete session");
  const parts = [subscriptions(path), queue(path)];
  const rest = h("div", { className: "stack", hidden: true },
    h("section", { className: "card live-data", "aria-label": "State" }, list), parts.map((part) => part.card));
  main.replaceChildren(
    h("a", { className: "back", href: "#/clients" }, "All clients"),
    h("div", { className: "title" }, h("h1", { tabindex: "-1" }, foreign(clientId)), state,
      h("div", { className: "actions" }, disconnect, remove)),
    problem, rest);
  let current = null;
  let stopped = false;

  async function refresh() {
    try {
      const session = await api(path);
      if (stopped) return;
      if (!current) parts.forEach((part) => part.load());
      current = session;
      show(session);
    } catch (error) {
      if (stopped || error.status === 0 || error.status === 401) return;
      say(problem, error.status === 404 ? "There is no such session (any more)." : error.message);
      if (error.status === 404) gone();
    }
  }

  function gone() {
    say(state, "Gone");
    state.className = "pill";
    disconnect.hidden = remove.hidden = rest.hidden = true;
    current = null;
  }

  function show(session) {
    const connected = session.state === "connected";
    say(problem, "");
    say(state, connected ? "Connected" : "Waiting");
    state.className = connected ? "pill good" : "pill hollow";
    disconnect.hidden = !connected;
    remove.hidden = rest.hidden = false;
    const all = facts(session);
    if (!list.children.length) list.replaceChildren(...all.map(() => h("div", null, h("dt"), h("dd"))));
    all.forEach(([name, value], index) => {
      say(list.children[index].firstChild, name);
      say(list.children[index].lastChild, visible(value));
    });
    list.title = connected && session.connected_at ? `Connected at ${dateTime(session.connected_at)}` : "";
  }

  function askDisconnect() {
    confirm({
      title: `Disconnect ${clientId}?`,
      text: current.durable || current.expiry_seconds !== 0
        ? "The broker sends DISCONNECT and closes the connection. Session and queue stay, and the client may come back at once."
        : "The broker sends DISCONNECT and closes the connection. Its session ends with it; the client may come back at once.",
      option: current.has_will && "Do not publish its will",
      button: "Disconnect",
      async act(withoutWill) {
        await api(`${path}/disconnect`, { method: "POST", query: { without_will: withoutWill || null } });
        toast(`${visible(clientId)} was disconnected.`);
        await refresh();
      },
    });
  }

  function askDelete() {
    confirm({
      title: `Delete the session of ${clientId}?`,
      text: `${plural(current.queued_messages, "waiting message")} and ${plural(current.subscriptions, "subscription")} are removed for good. This cannot be undone.`,
      button: "Delete session",
      async act() {
        await api(path, { method: "DELETE" });
        toast(`The session of ${visible(clientId)} was deleted.`);
        location.hash = "#/clients";
      },
    });
  }

  refresh();
  return { update: null, refresh, stop: () => { stopped = true; } };
}
