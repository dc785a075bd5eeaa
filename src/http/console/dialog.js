// Questions, and short notes of what was done. `showModal` keeps the focus within the
// dialog and gives it back to where it was.

import { h, say, visible } from "./dom.js";

let timer;

/** Says something at the lower edge for a few seconds, and to screen readers. */
export function toast(text) {
  const place = document.getElementById("toast");
  say(place, text);
  clearTimeout(timer);
  timer = setTimeout(() => say(place, ""), 6_000);
}

function open(dialog) {
  dialog.addEventListener("close", () => {
    dialog.remove();
    // What had the focus may be gone, such as the row of what was deleted.
    if (document.activeElement === document.body) document.querySelector("main h1")?.focus({ preventScroll: true });
  });
  // A click on the backdrop is one on the dialog itself, outside its form.
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/**
 * Asks before something is done. `act` is called with whether the box was checked; what
 * it throws is shown, and the dialog stays.
 */
export function confirm({ title, text, button, option, act }) {
  const problem = h("p", { className: "error", role: "alert" });
  const box = option && h("input", { type: "checkbox" });
  const go = h("button", { className: "danger", type: "submit" }, button);
  const cancel = h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Cancel");
  const form = h("form", { method: "dialog" },
    h("h2", { id: "question" }, visible(title)),
    h("p", { id: "explanation" }, text),
    option && h("label", { className: "check" }, box, option),
    problem,
    h("div", { className: "buttons" }, cancel, go));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await act(box?.checked ?? false);
      dialog.close();
    } catch (error) {
      say(problem, error.message);
    } finally {
      go.disabled = false;
    }
  });
  const dialog = open(h("dialog", { "aria-labelledby": "question", "aria-describedby": "explanation" }, form));
}

/** Shows something to read. */
export function show(title, ...content) {
  const dialog = open(h("dialog", { className: "wide", "aria-labelledby": "shown" },
    h("form", { method: "dialog" },
      h("h2", { id: "shown" }, title),
      ...content,
      h("div", { className: "buttons" }, h("button", { type: "submit", autofocus: true }, "Close")))));
}
