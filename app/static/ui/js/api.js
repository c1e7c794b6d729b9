// The service's JSON API. Answers are kept with their ETags, so that a poll that brings nothing new costs a 304.

const MOST_KEPT = 100;
const kept = new Map();

// The answer was an error, and the message is the API's own; `status` is 0 where there was no answer.
class RequestFailed extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

// The answer to a GET: `{body, tag, pages, hasMore, asOf, stale, mock}`.
export async function get(path, signal) {
  const known = kept.get(path);
  const response = await request(path, { signal, headers: known ? { "If-None-Match": known.tag } : {} });
  if (response.status === 304) {
    // The age may have changed: it is neither in the body nor part of its tag.
    return Object.assign(known, ageOf(response));
  }
  await throwIfFailed(response);
  const pages = response.headers.get("X-Pagination");
  const answer = {
    body: await response.json(),
    tag: response.headers.get("ETag") ?? "",
    pages: pages ? JSON.parse(pages) : null,
    hasMore: response.headers.has("X-Next-Page-Token"),
    ...ageOf(response),
  };
  kept.delete(path);
  if (answer.tag) kept.set(path, answer);
  if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  return answer;
}

const ageOf = ({ headers }) => ({
  asOf: headers.get("X-Data-As-Of"),
  stale: headers.get("X-Data-Stale") === "true",
  mock: headers.get("X-Data-Source") === "mock",
});

export async function send(method, path, body, signal) {
  const response = await request(path, {
    method,
    signal,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  await throwIfFailed(response);
  return response.json();
}

// How many milliseconds this machine's clock is ahead of the service's. Ages are computed with the service's time,
// because this machine's clock may be hours wrong.
const clock = { aheadMs: 0 };

// The service's time, in milliseconds.
export const now = () => Date.now() - clock.aheadMs;

async function request(path, options) {
  try {
    // The browser's own cache would hide a 304 from `get`.
    const response = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
    const date = Date.parse(response.headers.get("Date"));
    if (date) clock.aheadMs = Math.abs(Date.now() - date) < 2000 ? 0 : Date.now() - date;
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestFailed("The service does not answer. Check that it is running, and check your connection.");
  }
}

async function throwIfFailed(response) {
  if (response.ok) return;
  let detail = `The service answered with status ${response.status}.`;
  try {
    detail = (await response.json()).detail ?? detail;
  } catch { /* A proxy between this page and the service answered. */ }
  if (response.status === 401 && document.body.dataset.page !== "sign_in") {
    location.assign(`/ui/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  throw new RequestFailed(detail, response.status);
}

// Draw now, and again every so many seconds while the page is visible. Returns a function that draws at once; it aborts
// a reading that is under way.
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

// A query string of the values that are set; "" where there is none.
export const query = (values) => {
  const isSet = ([, value]) => value !== "" && value !== null && value !== undefined;
  const parameters = new URLSearchParams(Object.entries(values).filter(isSet));
  return parameters.size ? `?${parameters}` : "";
};
