// What all pages share: the state of the connection, the button to refresh, errors, the session.

import { get, poll, send } from "./api.js";
import { ago, h, show } from "./dom.js";

const connection = document.getElementById("connection");
const banner = document.getElementById("banner");

export const role = document.body.dataset.role;
export const mayWrite = role === "write" || role === "admin";

export function mlflow(address, ...children) {
  const base = document.body.dataset.mlflow;
  return base ? h("a", { href: `${base}/#/${address}`, rel: "noreferrer" }, children) : null;
}

export function failed(place, error) {
  show(place, h("p", { class: "error", role: "alert" }, error.message));
}

async function drawState() {
  try {
    const { body } = await get("/health");
    const down = body.mlflow_connection !== "connected";
    show(connection,
      h("span", { class: down ? "word degraded" : "word healthy" }, down ? "! MLflow unreachable" : "✓ MLflow connected"),
      h("span", { class: "quiet" }, " data ", ago(body.cache_status?.last_refresh)));
    show(banner, down && h("p", {}, "MLflow does not answer. What you see was read ", ago(body.cache_status?.last_refresh), "."));
  } catch (error) {
    show(connection, h("span", { class: "word drifting" }, "✕ No answer"));
    show(banner, h("p", {}, error.message));
  }
}

let redraw = () => {};

// Draw a page, and again with each poll; an error stands where the page would be.
export function page(place, draw, seconds) {
  redraw = poll(async () => {
    try {
      await draw();
    } catch (error) {
      if (!place.childElementCount || place.querySelector(":scope > .error")) failed(place, error);
    }
  }, seconds);
  return redraw;
}

// Filters live in the address, so that a page can be linked to, and the back button goes back.
export function filters(form, changed) {
  const fill = () => {
    const found = new URLSearchParams(location.search);
    for (const field of form.elements) if (field.name) field.value = found.get(field.name) ?? "";
  };
  const read = () => {
    const found = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) found.set(name, value);
    return found;
  };
  const go = (replace) => {
    const found = read().toString();
    const address = location.pathname + (found ? `?${found}` : "");
    if (address === location.pathname + location.search) return;
    history[replace ? "replaceState" : "pushState"](null, "", address);
    changed();
  };
  fill();
  form.addEventListener("submit", (event) => { event.preventDefault(); go(false); });
  form.addEventListener("input", (event) => go(event.target.type === "search"));
  form.addEventListener("reset", () => setTimeout(() => go(false)));
  addEventListener("popstate", () => { fill(); changed(); });
  return () => Object.fromEntries(new URLSearchParams(location.search));
}

export function pager(pages, page, go) {
  if (!pages || pages.total_pages < 2) return null;
  const to = (target, word) => h("button", { type: "button", "data-key": word, disabled: !target, onclick: () => go(target) }, word);
  return h("nav", { class: "pager", "aria-label": "Pages of the list" },
    to(page > 1 ? page - 1 : 0, "Previous"),
    h("span", {}, `page ${page} of ${pages.total_pages}, ${pages.total} in all`),
    to(page < pages.total_pages ? page + 1 : 0, "Next"));
}

export function goTo(name, value) {
  const found = new URLSearchParams(location.search);
  if (value) found.set(name, value); else found.delete(name);
  const text = found.toString();
  history.pushState(null, "", location.pathname + (text ? `?${text}` : ""));
  dispatchEvent(new PopStateEvent("popstate"));
}

const refresh = document.getElementById("refresh");
refresh?.addEventListener("click", async () => {
  refresh.disabled = true;
  refresh.textContent = "Refreshing …";
  try {
    await send("POST", "/cache/refresh");
    refresh.textContent = "Refreshed";
  } catch (error) {
    show(banner, h("p", {}, error.message));
    refresh.textContent = "Refresh";
  } finally {
    refresh.disabled = false;
    setTimeout(() => { refresh.textContent = "Refresh"; }, 3000);
    drawState();
    redraw();
  }
});

document.getElementById("sign-out")?.addEventListener("click", async () => {
  await send("DELETE", "/ui/session");
  location.assign("/ui/sign-in");
});

document.addEventListener("keydown", (event) => {
  const filter = document.getElementById("filter");
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && filter && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    filter.focus();
  }
});

if (connection) poll(drawState, 10);
