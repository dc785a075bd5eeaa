// What is shown instead of the console: asking for the token, and how to turn the API on.

import { api, readiness, token } from "./api.js";
import { h, say } from "./dom.js";
import { LOOK } from "./state.js";

/** Asks for the token. `done` is called with one that the broker took. */
export function signIn(main, note, done) {
  const input = h("input", {
    id: "token", type: "password", name: "token", required: true, autocomplete: "current-password",
    spellcheck: "false", autocapitalize: "off", "aria-describedby": "token-note token-error",
  });
  const error = h("p", { id: "token-error", className: "error", role: "alert" });
  const button = h("button", { className: "primary", type: "submit" }, "Sign in");
  const form = h("form", null,
    // For password managers, which keep a name with each password.
    h("input", { type: "text", name: "username", value: "ferrymq", autocomplete: "username", hidden: true }),
    h("div", null, h("label", { for: "token" }, "API token"), input), error, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    say(error, "");
    try {
      // A copied token often brings a space or a line's end along.
      const bearer = input.value.trim();
      if (/[^\x21-\x7e]/.test(bearer)) throw Object.assign(new Error(), { status: 401 });
      await api("overview", { bearer }).catch((problem) => { if (problem.status !== 503) throw problem; });
      token.set(bearer);
      done();
    } catch (problem) {
      input.setAttribute("aria-invalid", "true");
      say(error, problem.status === 401 ? "The token is not valid."
        : problem.status === 0 ? "The broker does not answer. Try again." : problem.message);
      input.select();
    } finally {
      button.disabled = false;
    }
  });
  main.replaceChildren(h("section", { className: "card gate" },
    h("h1", { tabindex: "-1" }, "Sign in"),
    note && h("p", { className: "error" }, note),
    h("p", { id: "token-note", className: "note" },
      "The token that the broker was started with (", h("code", null, "http.token"), " or ", h("code", null, "http.token_file"),
      "). It is kept for this tab only."),
    form));
  input.focus();
  return () => {};
}

/** Says how to turn the API on, and what the readiness probe tells. */
export function turnOn(main, again) {
  const state = h("span", { className: "pill" }, "…");
  const reason = h("span", { className: "note" });
  main.replaceChildren(h("section", { className: "card gate" },
    h("h1", { tabindex: "-1" }, "The console needs a token"),
    h("p", null, "This page shows what the broker's HTTP API tells, and the API is off until it has a token. To turn it on:"),
    h("ol", null,
      h("li", null, "1. Make a token of at least 16 characters, in a file that only the broker can read:",
        h("pre", { tabindex: "0", "aria-label": "Making a token" }, "(umask 077; openssl rand -hex 32 > ferrymq.token)")),
      h("li", null, "2. Name the file in the configuration, or give the token in the environment:",
        h("pre", { tabindex: "0", "aria-label": "Giving the token" }, "[http]\ntoken_file = \"ferrymq.token\"\n\n# or: FERRYMQ_HTTP__TOKEN=...")),
      h("li", null, "3. Restart the broker. This page notices by itself.")),
    h("div", { className: "state live-data" }, h("span", null, "The broker now:"), state, reason)));
  async function look() {
    if (document.hidden) return;
    try {
      const ready = await readiness();
      const [text, kind] = LOOK[ready.state] ?? [ready.state, ""];
      say(state, text);
      state.className = `pill ${kind}`;
      say(reason, ready.state === "ready" ? "" : ready.reason ?? "");
      await again();
    } catch (error) {
      say(state, "No answer");
      state.className = "pill bad";
      say(reason, "trying again");
    }
  }
  look();
  const timer = setInterval(look, 2_000);
  return () => clearInterval(timer);
}
