// The service's JSON API: what was read is kept with its ETag, so that a poll that brings nothing new costs nothing.

const MOST_KEPT = 100;
const kept = new Map();

// An answer that is no success, in the words of the API; `status` 0 where there was none.
class Refused extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

export async function get(path, signal) {
  const known = kept.get(path);
  const answer = await ask(path, { signal, headers: known ? { "If-None-Match": known.tag } : {} });
  if (answer.status === 304) {
    // What is neither in the body nor part of its tag may be another now.
    return Object.assign(known, age(answer));
  }
  await complain(answer);
  const pages = answer.headers.get("X-Pagination");
  const found = {
    body: await answer.json(),
    tag: answer.headers.get("ETag") ?? "",
    pages: pages ? JSON.parse(pages) : null,
    hasMore: answer.headers.has("X-Next-Page-Token"),
    ...age(answer),
  };
  kept.delete(path);
  if (found.tag) kept.set(path, found);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return found;
}

const age = (answer) => ({
  asOf: answer.headers.get("X-Data-As-Of"),
  stale: answer.headers.get("X-Data-Stale") === "true",
  mock: answer.headers.get("X-Data-Source") === "mock",
});

export async function send(method, path, body) {
  const answer = await ask(path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  await complain(answer);
  return answer.json();
}

// How far this machine's clock is before the service's.
let ahead = 0;

// The service's time, in milliseconds: ages are told by it, and not by a clock that may be an hour wrong.
export const now = () => Date.now() - ahead;

async function ask(path, options) {
  try {
    // The cache is ours: the browser's would hide a 304 from us.
    const answer = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
    const told = Date.parse(answer.headers.get("Date"));
    if (told) ahead = Math.abs(Date.now() - told) < 2000 ? 0 : Date.now() - told;
    return answer;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The service does not answer. Check that it runs, and your connection to it.");
  }
}

async function complain(answer) {
  if (answer.ok) return;
  let detail = `The service answered with the status ${answer.status}.`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch { /* what answered is something between us and the service */ }
  if (answer.status === 401 && document.body.dataset.page !== "sign_in") {
    location.assign(`/ui/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  throw new Refused(detail, answer.status);
}

// Draw now, and again every so often while somebody looks. Asked anew while it still reads, it ends that reading.
export function poll(draw, seconds) {
  let timer;
  let reading;
  const turn = async () => {
    clearTimeout(timer);
    reading?.abort();
    const mine = new AbortController();
    reading = mine;
    await draw(mine.signal);
    if (reading !== mine) return;
    reading = undefined;
    if (!document.hidden) timer = setTimeout(turn, seconds * 1000);
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden && !reading) turn();
  });
  turn();
  return turn;
}

export const path = {
  model: (name) => `/ui/model/${encodeURIComponent(name)}`,
  version: (name, version, what) => `/models/${encodeURIComponent(name)}/${encodeURIComponent(version)}/${what}`,
  of: (name, what) => `/model/${encodeURIComponent(name)}/${what}`,
};

export const query = (values) => {
  const found = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined));
  return found.size ? `?${found}` : "";
};
