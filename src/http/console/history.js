// Rates and percentiles out of counters that only grow. Pure: it has no clock and asks
// nobody.

/** Seconds that the charts show. */
export const SPAN = 300;
/** Seconds over which a percentile is taken: one poll alone sees too few commits. */
const WINDOW = 10;
/** Between polls further apart than this the line is broken: the page was hidden. */
const GAP = 15;

const sum = (numbers) => numbers.reduce((total, n) => total + n, 0);
const totals = (counters) => sum(Object.values(counters ?? {}));

/** The value below which `share` of the counts lie, by straight lines within a bucket;
    null without a count. What lies above all bounds counts as the last bound. */
export function percentile(bounds, counts, share) {
  const all = sum(counts);
  if (all === 0) return null;
  let below = 0;
  for (let i = 0; i < bounds.length; i += 1) {
    if (below + counts[i] >= share * all && counts[i] > 0) {
      const from = i === 0 ? 0 : bounds[i - 1];
      return from + (bounds[i] - from) * ((share * all - below) / counts[i]);
    }
    below += counts[i];
  }
  return bounds.at(-1);
}

/** Remembers what the overview said over the last minutes. */
export class History {
  samples = [];

  /** Whether there is a hole before `uptime`, which the broker's own memory could fill. */
  lacks(uptime) {
    return !this.samples.length || uptime - this.samples.at(-1).t > GAP;
  }

  /** Takes an overview in. Starts anew if the broker was started anew, or if it has told
      its own memory of the last minutes. */
  add(overview) {
    const last = this.samples.at(-1);
    if (last && last.startedAt === overview.started_at && last.t >= overview.uptime_seconds) return;
    if (overview.history) {
      this.samples = overview.history.map((sample) => ({
        t: sample.uptime_seconds,
        startedAt: overview.started_at,
        received: sample.received_total,
        delivered: sample.delivered_total,
        dropped: sample.dropped_total,
        refused: sample.refused_total,
        bounds: overview.persistence?.commit_duration.bounds_seconds ?? [],
        commits: sample.commit_counts,
      })).filter((sample) => sample.t < overview.uptime_seconds);
    } else if (last && last.startedAt !== overview.started_at) {
      this.samples = [];
    }
    const commit = overview.persistence?.commit_duration;
    this.samples.push({
      t: overview.uptime_seconds,
      startedAt: overview.started_at,
      received: overview.messages.received_total,
      delivered: overview.messages.delivered_total,
      dropped: totals(overview.messages.dropped_total),
      refused: totals(overview.messages.refused_total),
      bounds: commit?.bounds_seconds ?? [],
      commits: commit?.counts ?? [],
    });
    const oldest = overview.uptime_seconds - SPAN - WINDOW;
    while (this.samples[0].t < oldest) this.samples.shift();
  }

  /** Points for the chart of throughput: messages a second in and out. */
  throughput() {
    return this.pairs((before, now) => ({
      a: (now.received - before.received) / (now.t - before.t),
      b: (now.delivered - before.delivered) / (now.t - before.t),
    }));
  }

  /** Points for the chart of commits: median and 99th percentile, in seconds. */
  commits() {
    return this.pairs((before, now, index) => {
      let first = index - 1;
      while (first > 0 && now.t - this.samples[first].t < WINDOW) first -= 1;
      return this.quantiles(this.samples[first], now);
    });
  }

  /** Median and 99th percentile over all that is remembered. */
  commitsOverall() {
    return this.samples.length < 2 ? { a: null, b: null } : this.quantiles(this.samples[0], this.samples.at(-1));
  }

  /** What was lost within the span. */
  losses() {
    const [first, last] = [this.samples[0], this.samples.at(-1)];
    return first ? { dropped: last.dropped - first.dropped, refused: last.refused - first.refused, seconds: last.t - first.t }
      : { dropped: 0, refused: 0, seconds: 0 };
  }

  quantiles(before, now) {
    const counts = now.commits.map((n, i) => n - (before.commits[i] ?? 0));
    return { a: percentile(now.bounds, counts, 0.5), b: percentile(now.bounds, counts, 0.99) };
  }

  /** One point for each two neighbours; `x` is in seconds before the last sample. */
  pairs(point) {
    const end = this.samples.at(-1)?.t ?? 0;
    const points = [];
    for (let i = 1; i < this.samples.length; i += 1) {
      const [before, now] = [this.samples[i - 1], this.samples[i]];
      if (now.t - before.t > GAP) points.push({ x: end - now.t, a: null, b: null });
      points.push({ x: end - now.t, ...point(before, now, i) });
    }
    return points.filter((p) => p.x <= SPAN);
  }
}
