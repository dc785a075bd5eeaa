// Elements out of plain values. Text only ever becomes a text node: client ids, topics
// and payloads are chosen by strangers.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name === "className" ? "class" : name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element: attributes, `on...` listeners, then children (text or elements). */
export function h(name, props, ...children) {
  return fill(document.createElement(name), props, children);
}

/** The same for SVG. */
export function s(name, props, ...children) {
  return fill(document.createElementNS(SVG, name), props, children);
}

// Controls, what turns the direction of text, and what has no width: shown as escapes, so
// that no name can look like another one or reorder what stands beside it.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]/gu;

/** A stranger's text, with everything in it to be seen. */
export function visible(text) {
  return String(text).replace(UNSEEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** A stranger's text as an element that keeps its direction to itself. */
export function foreign(text, className = "mono") {
  return h("bdi", { className }, visible(text));
}

/** Sets text only if it changes, so that screen readers are told of changes alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A table with its (visually hidden) caption. Columns are [title, class]; one without a
    title has the buttons. */
export function table(caption, columns, rows) {
  const head = columns.map(([title, className]) => h("th", { scope: "col", className }, title || h("span", { className: "hidden-text" }, "Actions")));
  const body = rows.map((cells) => h("tr", null,
    cells.map((cell, index) => h("td", { className: columns[index][1] }, cell))));
  // What scrolls must be reachable by keyboard.
  return h("div", { className: "table", role: "region", tabindex: "0", "aria-label": caption },
    h("table", null, h("caption", null, caption), h("thead", null, h("tr", null, head)), h("tbody", null, body)));
}

let pressed = null;
addEventListener("pointerdown", (event) => { pressed = event.target; }, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { pressed = null; }, true);

/** Replaces the children of `element`, and keeps the focus on what stood there before if
    its `data-key` is there again. Not while something in it is being pressed, which would
    take the click away: false then. */
export function swap(element, ...children) {
  if (pressed && element.contains(pressed)) return false;
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.closest("[data-key]")?.dataset.key;
  const scrolled = element.scrollTop;
  const region = focused?.getAttribute("role") === "region";
  element.replaceChildren(...children);
  element.scrollTop = scrolled;
  if (key) element.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  else if (region) element.querySelector('[role="region"]')?.focus({ preventScroll: true });
  return true;
}
