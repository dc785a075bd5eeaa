// Numbers, sizes and times in words. Pure.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const moment = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const NONE = "–";

/** 12,345 */
export function count(value) {
  return Number.isFinite(value) ? whole.format(value) : NONE;
}

/** With about three digits: 0.42, 8.3, 950, 12,400. */
export function rate(value) {
  if (!Number.isFinite(value)) return NONE;
  if (value === 0) return "0";
  const digits = value < 1 ? 2 : value < 100 ? 1 : 0;
  return new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);
}

/** 1.5 GiB; binary units, as in the configuration. */
export function bytes(value) {
  if (!Number.isFinite(value)) return NONE;
  let unit = 0;
  while (value >= 1024 && unit < 5) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits).replace(/\.0+$/, "")} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]}`;
}

/** A latency in seconds: 350 µs, 2.4 ms, 1.2 s. */
export function latency(seconds) {
  if (!Number.isFinite(seconds)) return NONE;
  if (seconds === 0) return "0";
  if (seconds < 0.001) return `${whole.format(seconds * 1e6)} µs`;
  if (seconds < 1) return `${rate(seconds * 1e3)} ms`;
  return `${rate(seconds)} s`;
}

const UNITS = [["year", 31_557_600], ["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** A time in words, two units at most: "3 hours 20 minutes". */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return NONE;
  if (seconds < 1) return seconds > 0 ? "less than a second" : "0 seconds";
  const parts = [];
  let rest = Math.floor(seconds);
  for (const [name, size] of UNITS) {
    const n = Math.floor(rest / size);
    if (n > 0) parts.push(`${whole.format(n)} ${name}${n === 1 ? "" : "s"}`);
    else if (parts.length) break;
    rest -= n * size;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** The same, rounded to one unit for what is an estimate: "about 3 hours". */
export function roughly(seconds) {
  if (seconds > UNITS[0][1] * 10) return "more than 10 years";
  return `about ${inOneUnit(seconds)}`;
}

function inOneUnit(seconds) {
  const [name, size] = UNITS.find(([, size]) => seconds >= size) ?? UNITS.at(-1);
  return plural(Math.max(1, Math.round(seconds / size)), name);
}

/** The time of day of an RFC 3339 time. */
export function timeOfDay(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? NONE : clock.format(date);
}

/** Date and time of an RFC 3339 time. */
export function dateTime(text) {
  const date = new Date(text);
  return !text || Number.isNaN(date.getTime()) ? NONE : moment.format(date);
}

/** "in 5 minutes", "12 seconds ago". */
export function ago(text, now = Date.now()) {
  const seconds = (now - new Date(text).getTime()) / 1000;
  if (!Number.isFinite(seconds)) return NONE;
  if (Math.abs(seconds) < 1) return "just now";
  const words = inOneUnit(Math.abs(seconds));
  return seconds > 0 ? `${words} ago` : `in ${words}`;
}

const TRANSPORTS = { mqtt: "TCP", mqtts: "TLS", ws: "WebSocket", wss: "WebSocket, TLS", unix: "Unix socket" };

/** What a connection runs over, from its listener's protocol. */
export function transport(protocol) {
  return TRANSPORTS[protocol] ?? protocol ?? NONE;
}

/** One thing or many: plural(2, "message"). */
export function plural(n, noun, many = `${noun}s`) {
  return `${count(n)} ${n === 1 ? noun : many}`;
}
