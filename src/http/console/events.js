// The list of recent events, newest first.

import { foreign, h, visible } from "./dom.js";
import { dateTime, timeOfDay } from "./format.js";

const KEPT = 200;

function row(event) {
  const fields = Object.entries(event.fields ?? {}).map(([name, value]) =>
    h("span", { className: "field" }, `${visible(name)} `, foreign(value, "")));
  return h("li", { className: `is-${String(event.level).toLowerCase()}` },
    h("time", { datetime: event.time, title: dateTime(event.time) }, timeOfDay(event.time)),
    h("span", { className: "level" }, visible(event.level)),
    h("span", { className: "text" }, foreign(event.message, ""), fields));
}

/** Makes the list; `add` takes new events, oldest first, and `null` to begin anew. */
export function events() {
  const empty = h("li", { className: "empty" }, "No events yet.");
  // Not live for screen readers: a busy broker would talk without end. It can be
  // focused, so that the keyboard scrolls it.
  const list = h("ol", { className: "events", tabindex: "0", "aria-label": "Recent events" }, empty);
  return {
    list,
    add(items) {
      if (items === null) return list.replaceChildren(empty);
      if (!items.length) return undefined;
      empty.remove();
      list.prepend(...items.map(row).reverse());
      while (list.children.length > KEPT) list.lastChild.remove();
      return undefined;
    },
  };
}
