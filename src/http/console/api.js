// The broker's HTTP API: the token, requests, and problems (RFC 9457) as errors.

const KEY = "ferrymq-token";
const TIMEOUT = 8_000;

/** What went wrong with a request. `status` 0: there was no answer. */
export class Problem extends Error {
  constructor(status, title, detail) {
    super(detail || title);
    this.status = status;
    this.title = title;
  }
}

/** For this tab only; gone when it is closed. */
export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (value) => sessionStorage.setItem(KEY, value),
  clear: () => sessionStorage.removeItem(KEY),
};

/** Paths are relative to the page, so that it also works below a path of a proxy. */
function address(path, query) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

async function ask(path, { method = "GET", query, bearer = token.get() } = {}) {
  let answer;
  try {
    answer = await fetch(address(path, query), {
      method,
      cache: "no-store",
      credentials: "omit",
      referrerPolicy: "no-referrer",
      headers: { ...(bearer && { authorization: `Bearer ${bearer}` }), ...(method === "POST" && { "content-type": "application/json" }) },
      body: method === "POST" ? "{}" : undefined,
      signal: AbortSignal.timeout(TIMEOUT),
    });
  } catch (error) {
    throw new Problem(0, "No answer", error.message);
  }
  const type = answer.headers.get("content-type") ?? "";
  const body = /json/.test(type) ? await answer.json().catch(() => null) : null;
  if (!answer.ok) throw Object.assign(new Problem(answer.status, body?.title ?? answer.statusText, body?.detail), { body });
  return body;
}

/** A request to /api/v1. Answers its JSON, or throws a Problem. */
export const api = (path, options) => ask(`api/v1/${path}`, options);

/** The readiness probe's words, also while the broker is not ready. */
export async function readiness() {
  try {
    return await ask("readyz", { bearer: null });
  } catch (error) {
    if (error.body?.state) return error.body;
    throw error;
  }
}

/** Whether the API is there at all. Known without a token. */
export const isOn = async () => (await ask("console/api", { bearer: null })).on;

/** One segment of a path. With the mark of the API in front, so that `..` stays what it is. */
export const segment = (text) => "~" + encodeURIComponent(text);
