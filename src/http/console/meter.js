// A bar that fills up: one thing against its limit.

import { h, say } from "./dom.js";

/** The bar; it changes its colour from 80% and from 95%. */
export function meter(name) {
  const text = h("span");
  const fill = h("div", { className: "fill" });
  const track = h("div", { className: "track", role: "meter", "aria-label": name, "aria-valuemin": "0", "aria-valuemax": "100" }, fill);
  const box = h("div", { className: "meter" }, h("div", { className: "head" }, h("b", null, name), text), track);
  return {
    box,
    set(used, limit, words) {
      const share = limit > 0 ? Math.min(1, used / limit) : 0;
      say(text, words);
      track.hidden = !(limit > 0);
      fill.style.width = `${(share * 100).toFixed(1)}%`;
      fill.className = `fill ${share >= 0.95 ? "bad" : share >= 0.8 ? "warn" : ""}`;
      track.setAttribute("aria-valuenow", (share * 100).toFixed(0));
      track.setAttribute("aria-valuetext", words);
    },
  };
}
