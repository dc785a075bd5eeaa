// Lists in pages: a client's subscriptions and its queue; and the payload of one message.

import { api } from "./api.js";
import { show, toast } from "./dialog.js";
import { foreign, h, say, swap, table, visible } from "./dom.js";
import { ago, bytes, count } from "./format.js";
import { PAYLOAD, decoded, readable } from "./payload.js";

const PAGE = 25;

/**
 * A card with a list that is fetched page by page. `query`: more of what is asked for;
 * `loaded` is called with all items that are shown.
 */
export function paged({ title, path, query = {}, columns, cells, empty, loaded }) {
  const place = h("div");
  const note = h("p", { className: "note", role: "status" });
  const more = h("button", { type: "button", className: "more", hidden: true, onclick: () => load(true) }, "Show more");
  const again = h("button", { type: "button", className: "small", onclick: () => load() }, "Refresh");
  const card = h("section", { className: "card" },
    h("header", null, h("h2", null, title), note, h("span", { className: "aside" }, again)), place, more);
  let items = [];
  let next = null;

  async function load(append = false) {
    try {
      const page = await api(path, { query: { ...query, limit: PAGE, cursor: append ? next : null } });
      const before = append ? items.length : 0;
      items = append ? [...items, ...page.items] : page.items;
      next = page.next;
      swap(place, items.length ? table(title, columns, items.map((item, index) => cells(item, index))) : h("p", { className: "empty" }, empty));
      say(note, items.length ? `${count(items.length)}${next ? " shown, there are more" : ""}` : "");
      more.hidden = !next;
      loaded?.(items);
      if (append) place.querySelectorAll("tbody tr")[before]?.querySelector("button")?.focus();
    } catch (error) {
      say(note, error.message);
    }
  }
  return { card, load };
}

/** What the client has subscribed to. */
export function subscriptions(path) {
  return paged({
    title: "Subscriptions",
    path: `${path}/subscriptions`,
    columns: [["Filter", "wrap"], ["QoS", "number"], ["Options", "roomy"]],
    cells: (item) => [foreign(item.filter), String(item.qos), options(item)],
    empty: "No subscriptions.",
  });
}

function options(item) {
  const words = [item.no_local && "no local", item.retain_as_published && "retain as published",
    item.identifier && `identifier ${item.identifier}`].filter(Boolean);
  return words.length ? words.join(", ") : "–";
}

/** What waits for the client. */
export function queue(path) {
  return paged({
    title: "Queue",
    path: `${path}/queue`,
    columns: [["Topic", "wrap"], ["QoS", "number"], ["Size", "number"], ["Waiting since", "roomy nowrap"], ["State", "roomy"], ["Payload", ""]],
    cells: (item) => [
      foreign(item.topic), String(item.qos), bytes(item.size_bytes),
      item.published_at ? h("time", { datetime: item.published_at }, ago(item.published_at)) : "–",
      String(item.state ?? "").replaceAll("_", " "),
      h("button", { type: "button", className: "small", "data-key": item.delivery_id, onclick: () => payload(path, item) },
        "Show", h("span", { className: "hidden-text" }, ` payload of message ${item.delivery_id}`)),
    ],
    empty: "No message waits for it.",
  });
}

/** Fetches and shows one message's payload. */
async function payload(path, item) {
  try {
    const before = String(BigInt(item.delivery_id) - 1n);
    const page = await api(`${path}/queue`, { query: { cursor: before, limit: 1, payload: PAYLOAD } });
    const found = page.items.find((other) => String(other.delivery_id) === String(item.delivery_id));
    if (!found) return toast("This message does not wait any more.");
    return show(["Payload of ", foreign(item.topic)], payloadOf(found));
  } catch (error) {
    return toast(error.message);
  }
}

/** A message's payload, and what it is, from the message as the API sends it. */
export function payloadOf({ payload: base64, payload_truncated: cut, payload_bytes: all }) {
  const data = decoded(base64);
  const [text, kind] = readable(data, cut);
  return [
    h("p", { className: "note" }, `${kind}${cut ? `, the first ${bytes(data.length)} of ${bytes(all)}` : ""}`),
    h("pre", { tabindex: "0", "aria-label": "Payload" }, lines(text)),
  ];
}

/** Text with everything in it to be seen but what makes its lines. */
const lines = (text) => text.split(/(\r?\n|\t)/).map((part, index) => (index % 2 ? part : visible(part))).join("");
