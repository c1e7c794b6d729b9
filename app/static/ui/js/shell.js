// What all pages share: the state of the connection, the button to refresh, the parts of a page, filters, the session.

import { get, poll, send } from "./api.js";
import { ago, h, many, note, show } from "./dom.js";

const connection = document.getElementById("connection");
const banner = document.getElementById("banner");
const refresh = document.getElementById("refresh");

export const role = document.body.dataset.role;
export const mayWrite = role === "write" || role === "admin";

// What the fields offer, by the name of the field: pairs of a value of the API and its words.
export const choices = JSON.parse(document.body.dataset.choices);

const base = document.body.dataset.mlflow;
export const hasMlflow = base !== "";

// A link into MLflow's own pages, where their address is known.
function mlflow(address, label, ...children) {
  return hasMlflow ? h("a", { href: `${base}/#/${address}`, rel: "noreferrer", "aria-label": label }, children) : null;
}

export const inMlflow = {
  version: (name, version, text = "MLflow") => mlflow(`models/${encodeURIComponent(name)}/versions/${version}`, `${name} version ${version} in MLflow`, text),
  experiment: (id, name) => mlflow(`experiments/${encodeURIComponent(id)}/runs?workflowType=machine_learning`, `Experiment ${name} in MLflow`, "MLflow"),
  run: (experiment, run, text) => mlflow(`experiments/${encodeURIComponent(experiment)}/runs/${encodeURIComponent(run)}`, `Run ${run} in MLflow`, text),
};

// After so long one wants to know that something goes on.
const PATIENCE_MS = 500;
const GONE = 404;
const parts = [];

// A part of a page, that is read and drawn by itself, and again with each poll. Where that fails, what stood there stays
// under the reason, unless it is of something else: `of` tells what is asked for.
export function part(place, draw, { seconds = 10, of = () => location.search } = {}) {
  const said = h("div");
  place.before(said);
  let shown;
  const turn = poll(async (signal) => {
    const asked = of();
    if (shown !== asked) place.setAttribute("aria-busy", "true");
    const waiting = setTimeout(() => { if (shown !== asked) show(said, note("Reading …")); }, PATIENCE_MS);
    try {
      await draw(signal);
      shown = asked;
      show(said);
    } catch (error) {
      if (signal.aborted) return;
      if (shown !== asked || error.status === GONE) show(place);
      show(said, wrong(error));
    } finally {
      clearTimeout(waiting);
    }
    place.removeAttribute("aria-busy");
  }, seconds);
  parts.push(turn);
  return turn;
}

export const redraw = () => Promise.all(parts.map((turn) => turn()));

export const wrong = (error) => h("p", { class: "error", role: "alert" }, error.message);

// Say what was done to those who do not see it.
export function tell(words) {
  document.getElementById("told").textContent = words;
}

// What is to be said of the age of what was read.
export function aged({ stale, mock }) {
  if (mock) return note("This is sample data: MLflow cannot be reached, and nothing was ever read from it.");
  return stale ? note("This is older than it should be: refreshes fail. See ", h("a", { href: "/ui/system" }, "System"), ".") : null;
}

let lastRefresh = null;
let wasDown = false;

async function drawState() {
  try {
    const { body } = await get("/health");
    lastRefresh = body.cache_status?.last_refresh ?? lastRefresh;
    const down = body.mlflow_connection !== "connected";
    // What failed for want of MLflow is drawn anew when it is back.
    if (wasDown && !down) recovered();
    wasDown = down;
    show(connection,
      h("span", { class: `word ${down ? "degraded" : "healthy"}` }, down ? "! MLflow unreachable" : "✓ MLflow connected"),
      h("span", { class: "quiet" }, body.cache_status?.is_refreshing ? " refreshing …" : lastRefresh && [" refreshed ", ago(lastRefresh)]));
    show(banner, down && h("p", {}, lastRefresh
      ? ["MLflow does not answer. What you see was refreshed ", ago(lastRefresh), "."]
      : "MLflow does not answer, and nothing was read from it yet."));
  } catch (error) {
    wasDown = true;
    show(connection, h("span", { class: "word drifting" }, "✕ No answer"));
    show(banner, h("p", {}, error.message, lastRefresh && [" What you see was refreshed ", ago(lastRefresh), "."]));
  }
}

function recovered() {
  const said = document.getElementById("refresh-said");
  if (said) show(said);
  redraw();
}

const asked = () => new URLSearchParams(location.search);

// What is asked for, from the address: pages can be linked to, and the back button goes back.
export const chosen = () => Object.fromEntries(asked());

function go(found, replace) {
  const text = found.toString();
  const address = location.pathname + (text ? `?${text}` : "");
  if (address === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  dispatchEvent(new Event("asked"));
}

// Set what is asked for; what is empty is taken out of the address. Other than by paging, one begins at the first page.
export function ask(values, replace = false) {
  const found = asked();
  if (!("page" in values)) found.delete("page");
  for (const [name, value] of Object.entries(values)) {
    if (value === "" || value === null) found.delete(name); else found.set(name, value);
  }
  go(found, replace);
}

// A form whose fields stand in the address. What is typed counts when the fingers rest.
export function filters(form) {
  const fields = [...form.elements].filter((field) => field.name);
  const fill = () => {
    const found = asked();
    for (const field of fields) {
      const given = found.get(field.name) ?? "";
      const choices = field.options && [...field.options].map((option) => option.value);
      // What the API takes and the list does not offer: another way to write it, or a choice of its own.
      if (choices && given !== "" && !choices.includes(given)) {
        const same = choices.find((choice) => choice.toLowerCase() === given.toLowerCase());
        if (same === undefined) field.append(h("option", { value: given }, given));
        field.value = same ?? given;
        continue;
      }
      if (field.type === "checkbox") field.checked = given === field.value;
      // Nothing asked for: a list without a choice for that stays as it is.
      else if (choices && given === "" && !choices.includes("")) continue;
      else if (document.activeElement !== field || field.value.trim() !== given) field.value = given;
    }
  };
  // A field that shows what the address has leaves it as it is there.
  const read = (replace) => {
    const found = asked();
    const valueOf = (field) => (field.type === "checkbox" && !field.checked ? "" : field.value.trim());
    const isThere = (field) => {
      const [shown, there] = [valueOf(field), found.get(field.name) ?? ""];
      return field.options ? shown.toLowerCase() === there.toLowerCase() : shown === there;
    };
    ask(Object.fromEntries(fields.filter((field) => !isThere(field)).map((field) => [field.name, valueOf(field)])), replace);
  };
  let resting;
  form.addEventListener("input", (event) => {
    clearTimeout(resting);
    if (event.target.type === "search") resting = setTimeout(read, 200, true);
    else if (event.target.type !== "text") read();
  });
  form.addEventListener("change", (event) => { if (event.target.type === "text") read(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); clearTimeout(resting); read(); });
  form.addEventListener("reset", (event) => { event.preventDefault(); clearTimeout(resting); ask(Object.fromEntries(fields.map((field) => [field.name, ""]))); });
  addEventListener("asked", fill);
  fill();
}

addEventListener("popstate", () => dispatchEvent(new Event("asked")));

// Where in a list one is, and the way to the pages beside. Past the end it leads back.
export function pager(pages) {
  const page = Number(chosen().page) || 1;
  const last = Math.max(1, pages.total_pages);
  if (last < 2 && page <= last) return null;
  const to = (target, word) => h("button", { type: "button", disabled: target < 1 || target > last, onclick: () => ask({ page: target === 1 ? "" : String(target) }) }, word);
  return h("nav", { class: "pager", "aria-label": "Pages of the list" },
    to(Math.min(page - 1, last), "Previous"), h("span", {}, page > last ? `past the end of ${many(last, "page")}` : `page ${page} of ${last}, ${pages.total} in all`), to(page + 1, "Next"));
}

// A list that holds nothing: because of the filters, because of the page, or at all.
export function empty(pages, filtering, ...nothing) {
  if (pages && pages.total > 0) return [note("This page of the list is past its end."), pager(pages)];
  return note(filtering ? "Nothing matches the filters." : nothing);
}

// While it refreshes the button keeps the keyboard's focus, so it is not disabled but deaf.
async function refreshNow() {
  if (refresh.ariaDisabled === "true") return;
  const said = document.getElementById("refresh-said");
  const bar = document.getElementById("refresh-bar");
  const began = Date.now();
  refresh.ariaDisabled = "true";
  bar.hidden = false;
  show(said);
  const usual = await get("/cache/info").then(({ body }) => body.refresh.duration_seconds, () => null);
  const tick = () => {
    const seconds = (Date.now() - began) / 1000;
    refresh.textContent = `Refreshing, ${Math.round(seconds)} s`;
    // How far it is, as the one before tells: a little is always left.
    if (usual) bar.value = 1 - Math.exp((-2 * seconds) / usual);
  };
  const ticking = setInterval(tick, 200);
  tick();
  try {
    const { models_synced: count } = await send("POST", "/cache/refresh");
    show(said, h("span", { class: "quiet" }, `${many(count, "model version")} read`));
  } catch (error) {
    show(said, h("span", { class: "error" }, error.message));
  }
  clearInterval(ticking);
  bar.hidden = true;
  bar.removeAttribute("value");
  refresh.textContent = "Refresh";
  refresh.ariaDisabled = "false";
  drawState();
  redraw();
}

if (refresh) refresh.onclick = refreshNow;

const signOut = document.getElementById("sign-out");
if (signOut) {
  signOut.onclick = async () => {
    try {
      await send("DELETE", "/ui/session");
      location.assign("/ui/sign-in");
    } catch (error) {
      show(banner, h("p", {}, error.message));
    }
  };
}

addEventListener("keydown", (event) => {
  const filter = document.getElementById("filter");
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if (event.key === "/" && filter && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    filter.focus();
  }
});

if (connection) poll(drawState, 10);
