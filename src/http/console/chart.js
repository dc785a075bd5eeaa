// A small line chart of two series over the last minutes.

import { h, s, say } from "./dom.js";
import { SPAN } from "./history.js";

const LEFT = 52;
const BOTTOM = 20;
const TOP = 8;
const RIGHT = 6;

/** The smallest of 1, 2, 5 times a power of ten that is not below `value`. */
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= value * (1 - 1e-9));
}

/**
 * Makes a chart. `series` names a and b, `format` writes a value, `least` is the lowest
 * top of the scale, `none` is said while there is nothing to draw.
 */
export function chart({ title, series, format, least, none }) {
  const values = { a: h("b"), b: h("b") };
  const legend = h("ul", { className: "legend" }, ["a", "b"].map((key) =>
    h("li", null, h("span", { className: key }, h("i")), series[key], values[key])));
  const svg = s("svg", { role: "img" });
  const empty = h("div", { className: "none" }, none);
  const box = h("div", { className: "chart" }, svg, empty);
  let points = [];
  let cursor = null;

  function draw() {
    const width = Math.max(box.clientWidth, 200);
    const height = box.clientHeight || 168;
    const known = points.flatMap((p) => [p.a, p.b]).filter(Number.isFinite);
    const top = nice(Math.max(least, ...known));
    const x = (ago) => LEFT + (width - LEFT - RIGHT) * (1 - ago / SPAN);
    const y = (value) => TOP + (height - TOP - BOTTOM) * (1 - value / top);
    const shown = cursor === null ? points.at(-1)
      : points.reduce((best, p) => (Math.abs(p.x - cursor) < Math.abs(best.x - cursor) ? p : best), points[0] ?? null);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren(
      ...[0, 0.5, 1].map((part) => s("g", null,
        s("line", { className: "rule", x1: LEFT, x2: width - RIGHT, y1: y(part * top), y2: y(part * top) }),
        s("text", { x: LEFT - 8, y: y(part * top) + 4, "text-anchor": "end" }, format(part * top)))),
      ...(width < 420 ? [300, 150, 0] : [300, 240, 180, 120, 60, 0]).map((ago) => s("text", {
        x: x(ago), y: height - 3, "text-anchor": ago === 0 ? "end" : ago === SPAN ? "start" : "middle",
      }, ago === 0 ? "now" : `${ago / 60} min`)),
      s("path", { className: "area a", d: area(points, "a", x, y) }),
      s("path", { className: "line b", d: line(points, "b", x, y) }),
      s("path", { className: "line a", d: line(points, "a", x, y) }),
    );
    if (cursor !== null && shown) {
      svg.append(s("line", { className: "cursor", x1: x(shown.x), x2: x(shown.x), y1: TOP, y2: height - BOTTOM }));
    }
    empty.hidden = known.length > 0;
    for (const key of ["a", "b"]) say(values[key], format(shown?.[key] ?? NaN));
    const spoken = ["a", "b"].map((key) => `${series[key]} ${format(points.at(-1)?.[key] ?? NaN)}`);
    svg.setAttribute("aria-label", `${title}, last 5 minutes; now: ${spoken.join(", ")}`);
  }

  svg.addEventListener("pointermove", (event) => {
    const area = svg.getBoundingClientRect();
    cursor = SPAN * (1 - (event.clientX - area.left - LEFT) / (area.width - LEFT - RIGHT));
    draw();
  });
  svg.addEventListener("pointerleave", () => {
    cursor = null;
    draw();
  });
  new ResizeObserver(draw).observe(box);
  return { box, legend, update(next) { points = next; draw(); } };
}

/** Pieces of neighbours that both have a value. */
function pieces(points, key) {
  const all = [[]];
  for (const p of points) {
    if (Number.isFinite(p[key])) all.at(-1).push(p);
    else if (all.at(-1).length) all.push([]);
  }
  return all.filter((piece) => piece.length);
}

const at = (value) => value.toFixed(1);

function line(points, key, x, y) {
  return pieces(points, key).map((piece) => {
    const steps = piece.map((p) => `${at(x(p.x))} ${at(y(p[key]))}`);
    // A single point is a short line, else it would not be seen.
    return steps.length === 1 ? `M${steps[0]}h1` : `M${steps.join("L")}`;
  }).join("");
}

function area(points, key, x, y) {
  return pieces(points, key).filter((piece) => piece.length > 1).map((piece) => {
    const steps = piece.map((p) => `${at(x(p.x))} ${at(y(p[key]))}`);
    return `M${at(x(piece[0].x))} ${at(y(0))}L${steps.join("L")}L${at(x(piece.at(-1).x))} ${at(y(0))}Z`;
  }).join("");
}
