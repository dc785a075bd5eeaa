// Banned addresses, in pages, each with a button that lifts its ban.

import { api, segment } from "./api.js";
import { confirm, toast } from "./dialog.js";
import { foreign, h } from "./dom.js";
import { ago, count } from "./format.js";
import { paged } from "./lists.js";

/** Shows the list. It is fetched when asked for: bans are rare. */
export function bans(main) {
  const list = paged({
    title: "Banned addresses",
    path: "bans",
    columns: [["Address", "wrap"], ["Ends", "nowrap"], ["Failed log-ins", "number roomy"], ["Banned by", "roomy"], ["", ""]],
    cells: (ban) => [
      foreign(ban.address), h("time", { datetime: ban.until }, ago(ban.until)),
      ban.failures ? count(ban.failures) : "–", ban.reason === "operator" ? "an operator" : "the broker",
      h("button", { type: "button", className: "small", "data-key": ban.address, onclick: () => ask(ban.address) },
        "Lift", h("span", { className: "hidden-text" }, ` the ban of ${ban.address}`)),
    ],
    empty: "No address is banned.",
  });

  function ask(address) {
    confirm({
      title: `Lift the ban of ${address}?`,
      text: "Its failed log-ins are forgotten, and it may connect at once.",
      button: "Lift ban",
      async act() {
        await api(`bans/${segment(address)}`, { method: "DELETE" });
        toast(`${address} may connect again.`);
        await list.load();
      },
    });
  }

  main.replaceChildren(h("div", { className: "title" }, h("h1", { tabindex: "-1" }, "Bans")), list.card);
  list.load();
  return {};
}
