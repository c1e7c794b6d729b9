// What all pages share: the state of the connection, refreshing, the parts of a page, the address, the session.

import { get, poll, send } from "./api.js";
import { ago, h, many, note, show } from "./dom.js";

const banner = document.getElementById("banner");

// What the visitor may do: the roles of the access key.
const roles = document.body.dataset.roles.split(" ");
export const mayWrite = roles.includes("write");
export const mayAdminister = roles.includes("admin");

// Whether versions can be proposed, and by whom.
export const promotes = document.body.dataset.promotes === "true";
export const mayPropose = promotes && mayWrite;
export const mayApprove = promotes && roles.includes("approve");
export const who = document.body.dataset.who;

// What the fields offer, by the name of the field: pairs of a value of the API and its words.
export const choices = JSON.parse(document.body.dataset.choices);

const base = document.body.dataset.mlflow;
export const hasMlflow = base !== "";

// A link to a page of MLflow; null where the address of MLflow's pages is not set.
function mlflow(address, label, ...children) {
  return hasMlflow ? h("a", { href: `${base}/#/${address}`, rel: "noreferrer", "aria-label": label }, children) : null;
}

export const inMlflow = {
  version: (name, version, text = "MLflow") =>
    mlflow(`models/${encodeURIComponent(name)}/versions/${version}`, `${name} version ${version} in MLflow`, text),
  experiment: (id, name) =>
    mlflow(`experiments/${encodeURIComponent(id)}/runs?workflowType=machine_learning`,
      `Experiment ${name} in MLflow`, "MLflow"),
  run: (experiment, run, text) =>
    mlflow(`experiments/${encodeURIComponent(experiment)}/runs/${encodeURIComponent(run)}`,
      `Run ${run} in MLflow`, text),
};

// A reading that takes longer is announced.
const PATIENCE_MS = 500;
const GONE = 404;
const parts = [];

// The `of` of a part that does not depend on the address.
export const always = () => "";

// A part of a page, which is read and drawn by itself, and again with each poll. `of()` identifies what the part shows.
// Where a poll fails, the reason stands above what was drawn before; what was drawn of something else is removed.
export function part(place, draw, { seconds = 10, of = () => location.search } = {}) {
  const message = h("div");
  place.before(message);
  let shown;
  const turn = poll(async (signal) => {
    const wanted = of();
    if (shown !== wanted) place.setAttribute("aria-busy", "true");
    const waiting = setTimeout(() => { if (shown !== wanted) show(message, note("Loading…")); }, PATIENCE_MS);
    try {
      await draw(signal);
      shown = wanted;
      show(message);
    } catch (error) {
      if (signal.aborted) return;
      if (shown !== wanted || error.status === GONE) show(place);
      show(message, errorNote(error));
    } finally {
      clearTimeout(waiting);
    }
    place.removeAttribute("aria-busy");
  }, seconds);
  parts.push(turn);
  return turn;
}

export const redraw = () => Promise.all(parts.map((turn) => turn()));

export const errorNote = (error) => h("p", { class: "error", role: "alert" }, error.message);

// Tell users of screen readers what was done.
export function announce(words) {
  document.getElementById("announcement").textContent = words;
}

// A note where an answer is sample data, or older than it should be.
export function ageNote({ stale, mock }) {
  if (mock) return note("This is sample data. MLflow cannot be reached, and nothing has been read from it yet.");
  if (!stale) return null;
  const system = h("a", { href: "/ui/system" }, "System");
  return note("This data is older than it should be, because refreshes fail. See ", system, ".");
}

const parameters = () => new URLSearchParams(location.search);

// The parameters of the address as an object. They hold filters and choices, so that a page can be linked to, and the
// browser's back button takes a choice back.
export const addressValues = () => Object.fromEntries(parameters());

// The values of a parameter that may be repeated.
export const addressList = (name) => parameters().getAll(name);

// Change parameters of the address. Empty ones are removed, and a list is repeated. Any other change than of the page
// leads to the first page.
export function setAddress(values, replace = false) {
  const wanted = parameters();
  if (!("page" in values)) wanted.delete("page");
  for (const [name, value] of Object.entries(values)) {
    wanted.delete(name);
    for (const each of [value].flat()) if (each !== "" && each !== null) wanted.append(name, each);
  }
  const text = wanted.toString();
  const address = location.pathname + (text ? `?${text}` : "");
  if (address === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  dispatchEvent(new Event("address"));
}

addEventListener("popstate", () => dispatchEvent(new Event("address")));

export const onAddress = (act) => addEventListener("address", () => act());

const TYPING_RESTS_MS = 200;

// Bind the fields of a form to the parameters of the address. A search field is read when the typing rests.
export function filters(form) {
  const fields = [...form.elements].filter((field) => field.name);
  const fill = () => {
    const wanted = parameters();
    for (const field of fields) fillField(field, wanted.get(field.name) ?? "");
  };
  const read = (replace) => {
    const there = parameters();
    const changed = fields.filter((field) => !isInAddress(field, there.get(field.name) ?? ""));
    setAddress(Object.fromEntries(changed.map((field) => [field.name, valueOf(field)])), replace);
  };
  let resting;
  form.addEventListener("input", (event) => {
    clearTimeout(resting);
    if (event.target.type === "search") resting = setTimeout(read, TYPING_RESTS_MS, true);
    else if (event.target.type !== "text") read();
  });
  form.addEventListener("change", (event) => { if (event.target.type === "text") read(); });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(resting);
    read();
  });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    clearTimeout(resting);
    setAddress(Object.fromEntries(fields.map((field) => [field.name, ""])));
  });
  onAddress(fill);
  fill();
}

const valueOf = (field) => (field.type === "checkbox" && !field.checked ? "" : field.value.trim());

// The API ignores the case of choices, so another case in the address is left as it is.
function isInAddress(field, value) {
  const shown = valueOf(field);
  return field.options ? shown.toLowerCase() === value.toLowerCase() : shown === value;
}

function fillField(field, value) {
  if (field.type === "checkbox") {
    field.checked = value === field.value;
  } else if (field.options) {
    const offered = [...field.options].map((option) => option.value);
    const same = offered.find((option) => option === value)
      ?? offered.find((option) => option.toLowerCase() === value.toLowerCase());
    // Without a parameter, a field that offers no empty choice keeps its own.
    if (value === "" && same === undefined) return;
    // The API takes more than the field offers.
    if (same === undefined) field.append(h("option", { value }, value));
    field.value = same ?? value;
  } else if (document.activeElement !== field || field.value.trim() !== value) {
    field.value = value;
  }
}

// The state of the connection, in the head of every page.
function connectionState(place) {
  let lastRefresh = null;
  let wasDown = false;
  const draw = async () => {
    try {
      const { body } = await get("/health");
      lastRefresh = body.cache_status?.last_refresh ?? lastRefresh;
      const isDown = body.mlflow_connection !== "connected";
      // What failed without MLflow is drawn again when MLflow is back.
      if (wasDown && !isDown) recovered();
      wasDown = isDown;
      const isRefreshing = body.cache_status?.is_refreshing;
      show(place,
        h("span", { class: `word ${isDown ? "degraded" : "healthy"}` },
          isDown ? "! MLflow unreachable" : "✓ MLflow connected"),
        h("span", { class: "quiet" },
          isRefreshing ? " refreshing…" : lastRefresh && [" refreshed ", ago(lastRefresh)]));
      show(banner, isDown && h("p", {}, lastRefresh
        ? ["MLflow does not answer. This page shows data that was refreshed ", ago(lastRefresh), "."]
        : "MLflow does not answer. Nothing has been read from it yet."));
    } catch (error) {
      wasDown = true;
      show(place, h("span", { class: "word drifting" }, "✕ Service unreachable"));
      show(banner,
        h("p", {}, error.message, lastRefresh && [" This page shows data that was refreshed ", ago(lastRefresh), "."]));
    }
  };
  return poll(draw, 10);
}

function recovered() {
  const result = document.getElementById("refresh-result");
  if (result) show(result);
  redraw();
}

// While a refresh runs the button stays enabled, so that it keeps the focus, and ignores clicks.
function refreshButton(button, drawConnection) {
  const result = document.getElementById("refresh-result");
  const bar = document.getElementById("refresh-bar");
  button.onclick = async () => {
    if (button.ariaDisabled === "true") return;
    const began = Date.now();
    button.ariaDisabled = "true";
    bar.hidden = false;
    show(result);
    const usual = await get("/cache/info").then(({ body }) => body.refresh.duration_seconds, () => null);
    const tick = () => {
      const seconds = (Date.now() - began) / 1000;
      button.textContent = `Refreshing… ${Math.round(seconds)} s`;
      // An estimate by the duration of the last refresh, which never reaches the end.
      if (usual) bar.value = 1 - Math.exp((-2 * seconds) / usual);
    };
    const ticking = setInterval(tick, 200);
    tick();
    try {
      const { models_synced: count, registrations_error: error } = await send("POST", "/cache/refresh");
      show(
        result,
        h("span", { class: "quiet" }, `${many(count, "model version")} read`),
        ...(error ? [" ", h("span", { class: "error" }, `Registrations: ${error}`)] : []),
      );
    } catch (error) {
      show(result, h("span", { class: "error" }, error.message));
    }
    clearInterval(ticking);
    bar.hidden = true;
    bar.removeAttribute("value");
    button.textContent = "Refresh";
    button.ariaDisabled = "false";
    drawConnection();
    redraw();
  };
}

async function signOut() {
  try {
    await send("DELETE", "/ui/session");
    location.assign("/ui/sign-in");
  } catch (error) {
    show(banner, h("p", {}, error.message));
  }
}

addEventListener("keydown", (event) => {
  const filter = document.getElementById("filter");
  const isTyping = event.target.closest?.("input, textarea, select, dialog");
  if (event.key === "/" && filter && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    filter.focus();
  }
});

const drawConnection = connectionState(document.getElementById("connection"));
const refresh = document.getElementById("refresh");
if (refresh) refreshButton(refresh, drawConnection);
const signOutButton = document.getElementById("sign-out");
if (signOutButton) signOutButton.onclick = signOut;
