// What the page computes from counters, without a browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bytes, duration, latency, rate, roughly } from "../../src/http/console/format.js";
import { History, percentile } from "../../src/http/console/history.js";
import { decoded, preview, readable } from "../../src/http/console/payload.js";

const BOUNDS = [0.001, 0.01, 0.1];

function overview(t, received, counts = [0, 0, 0, 0], startedAt = "2026-01-01T00:00:00Z") {
  return {
    started_at: startedAt, uptime_seconds: t,
    messages: { received_total: received, delivered_total: 2 * received, dropped_total: { expired: received / 10 }, refused_total: {} },
    persistence: { commit_duration: { bounds_seconds: BOUNDS, counts } },
  };
}

test("a percentile lies within the bucket that its share falls into", () => {
  assert.equal(percentile(BOUNDS, [0, 0, 0, 0], 0.5), null);
  assert.equal(percentile(BOUNDS, [100, 0, 0, 0], 0.5), 0.0005);
  assert.ok(Math.abs(percentile(BOUNDS, [50, 50, 0, 0], 0.99) - 0.00982) < 1e-9);
  assert.equal(percentile(BOUNDS, [1, 0, 0, 99], 0.99), 0.1);
});

test("rates are differences over the broker's own time", () => {
  const past = new History();
  past.add(overview(100, 1000));
  past.add(overview(102, 1500));
  past.add(overview(103, 1500));
  assert.deepEqual(past.throughput(), [{ x: 1, a: 250, b: 500 }, { x: 0, a: 0, b: 0 }]);
  assert.deepEqual(past.losses(), { dropped: 50, refused: 0, seconds: 3 });
});

test("a pause breaks the line, and a restart begins a new one", () => {
  const past = new History();
  past.add(overview(100, 1000));
  past.add(overview(160, 1600));
  assert.deepEqual(past.throughput().map((p) => p.a), [null, 10]);
  past.add(overview(1, 5, [0, 0, 0, 0], "2026-01-01T00:10:00Z"));
  assert.equal(past.samples.length, 1);
});

test("what the broker remembers stands before what the page has seen", () => {
  const past = new History();
  assert.ok(past.lacks(100));
  const memory = [90, 95].map((t) => ({ uptime_seconds: t, received_total: t * 10, delivered_total: 0, dropped_total: 0, refused_total: 0, commit_counts: [t, 0, 0, 0] }));
  past.add({ ...overview(100, 1000, [100, 0, 0, 0]), history: memory });
  assert.deepEqual(past.throughput().map((p) => [p.x, p.a]), [[5, 10], [0, 10]]);
  assert.equal(past.commits().at(-1).a, 0.0005);
  assert.ok(!past.lacks(102) && past.lacks(130));
});

test("commits are looked at over several polls, and none is no zero", () => {
  const past = new History();
  past.add(overview(100, 0, [0, 0, 0, 0]));
  past.add(overview(102, 0, [100, 0, 0, 0]));
  past.add(overview(104, 0, [100, 0, 0, 0]));
  assert.deepEqual(past.commits().map((p) => p.a), [0.0005, 0.0005]);
  past.add(overview(130, 0, [100, 0, 0, 0]));
  assert.equal(past.commits().at(-1).a, null);
});

test("only the last minutes are kept", () => {
  const past = new History();
  for (let t = 0; t < 2000; t += 2) past.add(overview(t, t));
  assert.ok(past.samples.length < 160);
});

test("numbers are written for people", () => {
  assert.deepEqual([0, 1023, 1536, 10 * 2 ** 30, 123 * 2 ** 20].map(bytes), ["0 B", "1023 B", "1.50 KiB", "10 GiB", "123 MiB"]);
  assert.deepEqual([0.00035, 0.0024, 1.25].map(latency), ["350 µs", "2.4 ms", "1.3 s"]);
  assert.deepEqual([0, 0.123, 8.26, 12345].map(rate), ["0", "0.12", "8.3", "12,345"]);
  assert.deepEqual([0, 0.5, 1, 61, 3600, 90061].map(duration), ["0 seconds", "less than a second", "1 second", "1 minute 1 second", "1 hour", "1 day 1 hour"]);
  assert.deepEqual([40, 5_400, 1e10].map(roughly), ["about 40 seconds", "about 2 hours", "more than 10 years"]);
  assert.equal(ago("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:20:10Z")), "20 minutes ago");
  assert.deepEqual([NaN, undefined, null].map(latency), ["–", "–", "–"]);
});

test("a payload that is text is shown as text, also if it is cut within a character", () => {
  const utf8 = new TextEncoder();
  assert.deepEqual(readable(utf8.encode("21 °C\n")), ["21 °C\n", "Text"]);
  const cut = utf8.encode("21 °").subarray(0, 4);
  assert.deepEqual(readable(cut, true), ["21 ", "Text"]);
  assert.deepEqual(readable(cut), ["000000  32 31 20 c2                                      21 .", "Bytes"]);
  assert.deepEqual(readable(decoded("AAE=")), ["000000  00 01                                            ..", "Bytes"]);
  assert.deepEqual(readable(decoded(null)), ["", "Empty"]);
});

test("a preview is one line and tells that there is more", () => {
  const of = (text, cut) => preview(new TextEncoder().encode(text), cut);
  assert.equal(of('{\n  "a": 1\r\n}'), '{ "a": 1 }');
  assert.equal(of("a", true), "a…");
  assert.equal(of("🚢".repeat(40)), "🚢".repeat(40));
  assert.equal(of("🚢".repeat(41)), `${"🚢".repeat(40)}…`);
  assert.equal(preview(new Uint8Array(12)), "00 00 00 00 00 00 00 00 00 00 00 00");
  assert.equal(preview(new Uint8Array(13)), "00 00 00 00 00 00 00 00 00 00 00 00…");
});
