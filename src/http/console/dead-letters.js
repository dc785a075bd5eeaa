// Dead letters: what the other ends of bridges have refused for good. Of one bridge, or of
// all, also of those that are not configured any more.

import { api, segment } from "./api.js";
import { confirm, show, toast } from "./dialog.js";
import { foreign, h, visible } from "./dom.js";
import { ago, bytes, dateTime, plural } from "./format.js";
import { paged, payloadOf } from "./lists.js";
import { PAYLOAD, decoded, preview } from "./payload.js";

/** Bytes of each payload that the list asks for. */
const BEGINNING = 160;

const COLUMNS = [["Topic", "wrap"], ["Reason", "wrap"], ["Refused", "roomy nowrap"], ["Size", "number roomy"], ["Payload", "wrap roomy"], ["", "row-actions"]];

const address = (bridge) => `#/dead-letters?bridge=${encodeURIComponent(bridge)}`;

/** The reason code's name and number, or what happened if there was none. */
function reason(letter) {
  if (letter.reason === null) return visible(letter.detail);
  const name = letter.reason_text ?? "unknown reason";
  return `${name[0].toUpperCase()}${name.slice(1)} (0x${letter.reason.toString(16).padStart(2, "0").toUpperCase()})`;
}

/** Shows the list. It is fetched when asked for: dead letters are rare. */
export function deadLetters(main, query) {
  const bridge = query.get("bridge") ?? "";
  const removeAll = h("button", { type: "button", className: "danger", hidden: true, onclick: askAll }, "Delete all");
  const list = paged({
    title: bridge ? "Dead letters" : "Dead letters of all bridges",
    path: "dead-letters",
    query: { bridge, payload: BEGINNING },
    columns: bridge ? COLUMNS : [["Bridge", "wrap"], ...COLUMNS],
    cells: (letter) => (bridge ? cells(letter) : [h("a", { href: address(letter.bridge) }, foreign(letter.bridge)), ...cells(letter)]),
    empty: "There are no dead letters.",
    loaded: (letters) => { removeAll.hidden = !bridge || !letters.length; },
  });
  main.replaceChildren(
    h("a", { className: "back", href: "#/bridges" }, "All bridges"),
    h("div", { className: "title" },
      h("h1", { tabindex: "-1" }, "Dead letters", bridge ? [" of ", foreign(bridge)] : ""),
      h("div", { className: "actions" }, removeAll)),
    list.card);

  function cells(letter) {
    const about = h("span", { className: "hidden-text" }, ` dead letter ${letter.id}`);
    return [
      foreign(letter.topic), reason(letter), h("time", { datetime: letter.failed_at }, ago(letter.failed_at)), bytes(letter.payload_bytes),
      letter.payload_bytes ? foreign(preview(decoded(letter.payload), letter.payload_truncated)) : "empty",
      h("div", null,
        h("button", { type: "button", className: "small", "data-key": `show-${letter.id}`, onclick: () => open(letter) }, "Show", about),
        h("button", { type: "button", className: "small danger", "data-key": `delete-${letter.id}`, onclick: () => ask(letter) }, "Delete", about.cloneNode(true))),
    ];
  }

  function ask(letter) {
    confirm({
      title: "Delete this dead letter?",
      text: ["The message to ", foreign(letter.topic), `, ${bytes(letter.payload_bytes)}, is removed for good. This cannot be undone.`],
      button: "Delete dead letter",
      async act() {
        await api(`dead-letters/${segment(String(letter.id))}`, { method: "DELETE" }).catch((error) => {
          // Deleted elsewhere, or given up for a newer one.
          if (error.status !== 404) throw error;
        });
        toast("The dead letter was deleted.");
        await list.load();
      },
    });
  }

  function askAll() {
    confirm({
      title: `Delete all dead letters of ${bridge}?`,
      text: "All of its dead letters are removed for good, also those that are not shown here. This cannot be undone.",
      button: "Delete all",
      async act() {
        const { removed } = await api("dead-letters", { method: "DELETE", query: { bridge } });
        toast(`${plural(removed, "dead letter")} ${removed === 1 ? "was" : "were"} deleted.`);
        await list.load();
      },
    });
  }

  list.load();
  return {};
}

/** Fetches and shows a dead letter. */
async function open({ id }) {
  try {
    const letter = await api(`dead-letters/${segment(String(id))}`, { query: { payload: PAYLOAD } });
    show(["Dead letter to ", foreign(letter.topic)],
      h("dl", { className: "facts" }, facts(letter).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, visible(value))))),
      payloadOf(letter));
  } catch (error) {
    toast(error.status === 404 ? "This dead letter is not there any more." : error.message);
  }
}

function facts(letter) {
  return [
    ["Bridge", letter.bridge],
    ["Refused", dateTime(letter.failed_at)],
    ["Reason", reason(letter)],
    ["What happened", letter.detail],
    ["Published", dateTime(letter.published_at)],
    ["Topic at the remote broker", letter.remote_topic ?? "the same"],
    ["QoS", String(letter.qos)],
    ["Retain", letter.retain ? "yes" : "no"],
    ["Expires", letter.expires_at ? dateTime(letter.expires_at) : "never"],
    ["Content type", letter.content_type],
    ["Response topic", letter.response_topic],
    ["Correlation data", letter.correlation_data && `${letter.correlation_data} (Base64)`],
    ["User properties", letter.user_properties.map(({ name, value }) => `${name}: ${value}`).join(", ")],
  ].filter(([, value]) => value);
}
