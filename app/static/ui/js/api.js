// The service's JSON API: what was read is kept with its ETag, so that a poll that brings nothing new costs nothing.

const kept = new Map();

export class Refused extends Error {}

export async function get(path) {
  const known = kept.get(path);
  const answer = await ask(path, { headers: known ? { "If-None-Match": known.tag } : {} });
  if (answer.status === 304) return known;
  await complain(answer);
  const body = await answer.json();
  const pages = answer.headers.get("X-Pagination");
  const found = {
    body,
    tag: answer.headers.get("ETag") ?? "",
    pages: pages ? JSON.parse(pages) : null,
    asOf: answer.headers.get("X-Data-As-Of"),
    stale: answer.headers.get("X-Data-Stale") === "true",
    mock: answer.headers.get("X-Data-Source") === "mock",
  };
  if (kept.size > 200) kept.clear();
  if (found.tag) kept.set(path, found);
  return found;
}

export async function send(method, path, body) {
  const answer = await ask(path, {
    method,
    headers: body === undefined ? {} : { "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  await complain(answer);
  return answer.json();
}

async function ask(path, options) {
  try {
    // The cache is ours: the browser's would hide a 304 from us.
    return await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  } catch {
    throw new Refused("The service does not answer. Check that it runs.");
  }
}

async function complain(answer) {
  if (answer.ok) return;
  let detail = `HTTP ${answer.status}`;
  try {
    detail = (await answer.json()).detail ?? detail;
  } catch { /* not the service's own answer */ }
  if (answer.status === 401 && document.body.dataset.page !== "sign_in") {
    location.assign(`/ui/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  throw new Refused(detail);
}

// Draw now, and again every so often while somebody looks. Who asks while it draws gets it drawn once more.
export function poll(draw, seconds = 10) {
  let timer;
  let running = false;
  let again = false;
  const turn = async () => {
    clearTimeout(timer);
    if (running) {
      again = true;
      return;
    }
    running = true;
    try {
      do {
        again = false;
        if (!document.hidden) await draw();
      } while (again);
    } finally {
      running = false;
      timer = setTimeout(turn, seconds * 1000);
    }
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) turn(); });
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
