// Registering a version for monitoring, changing its settings, and removing it: dialogs that say what the API says.

import { path, send } from "./api.js";
import { h, named, show } from "./dom.js";
import { choices, mayWrite, tell, wrong } from "./shell.js";

// What is in the way of a click is asked in a dialog; it closes when what it was for is done.
function dialog(title, content, verb, act, done) {
  // What opened it may be another button when it is done: the focus then goes to one beside.
  const place = document.activeElement.closest("tr, li") ?? document.getElementById("main");
  const said = h("div");
  const button = h("button", { class: "main" }, verb);
  const form = h("form", { class: "panel" },
    h("h2", { id: "dialog-title" }, title), content, said,
    h("div", { class: "row" }, button, h("button", { type: "button", onclick: () => opened.close() }, "Cancel")));
  const opened = h("dialog", { "aria-labelledby": "dialog-title" }, form);
  let acting = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (acting) return;
    acting = true;
    button.textContent = `${verb} …`;
    show(said);
    try {
      const told = await act(form);
      opened.close();
      tell(told);
      await done();
      if (document.activeElement === document.body) ((place.isConnected && place.querySelector("button")) || document.getElementById("main")).focus({ preventScroll: true });
    } catch (error) {
      show(said, wrong(error));
    }
    button.textContent = verb;
    acting = false;
  });
  opened.addEventListener("close", () => opened.remove());
  document.body.append(opened);
  opened.showModal();
}

const labelled = (label, field) => h("label", {}, label, field);
const text = (name, value, more = {}) => h("input", { name, value: value ?? "", autocomplete: "off", ...more });
const choice = (name, chosen, options) => h("select", { name }, options.map(([value, words]) => h("option", { value, selected: value === chosen }, words)));

// What is a number is sent as one; of anything else the API says what is wrong. JSON knows no infinity.
const given = (value) => (value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : value.trim());

const isEmpty = (value) => value !== null && typeof value === "object" && Object.keys(value).length === 0;

const some = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => value !== "" && !isEmpty(value)));

const own = (values, name) => (Object.hasOwn(values, name) ? values[name] : undefined);

// The change that makes one settings of another (RFC 7396): what is gone is null. A baseline is replaced whole. A metric
// may be named like something that every object has.
export function difference(old, wanted, depth = 0) {
  const part = (name) => {
    const [before, after] = [own(old, name), own(wanted, name)];
    if (after === undefined) return null;
    return typeof after === "object" && before !== undefined && name !== "baseline" && depth < 2 ? difference(before, after, depth + 1) : after;
  };
  return Object.fromEntries([...new Set([...Object.keys(old), ...Object.keys(wanted)])].map((name) => [name, part(name)]));
}

function settingsForm(settings, metrics) {
  const { limits = {}, direction = {}, alarm = {}, baseline = {}, silence_hours: silence } = settings;
  const kind = "version" in baseline ? "version" : "from" in baseline ? "period" : "points";
  const rows = h("tbody");
  const add = (metric = "") => rows.append(h("tr", {},
    h("td", {}, text("metric", metric, { list: "metrics", "aria-label": "Metric", placeholder: "metric" })),
    h("td", {}, text("min", own(limits, metric)?.min, { inputmode: "decimal", "aria-label": `Least ${metric}`, size: 6 })),
    h("td", {}, text("max", own(limits, metric)?.max, { inputmode: "decimal", "aria-label": `Most ${metric}`, size: 6 })),
    h("td", {}, h("select", { name: "better", "aria-label": `Which ${metric} is better` },
      [["", "by its name"], ...choices.direction].map(([value, words]) => h("option", { value, selected: value === (own(direction, metric) ?? "") }, words)))),
    h("td", {}, h("button", { type: "button", "aria-label": `Take ${metric || "this row"} out`, onclick: (event) => event.target.closest("tr").remove() }, "✕"))));
  const known = [...new Set([...Object.keys(limits), ...Object.keys(direction)])];
  known.forEach((metric) => add(metric));
  if (!known.length) add();
  const kinds = {
    points: labelled("How many", text("points", baseline.points, { inputmode: "numeric", placeholder: "20" })),
    period: [labelled("From", text("from", baseline.from, { placeholder: "2026-01-01T00:00:00Z" })), labelled("To", text("to", baseline.to, { placeholder: "2026-01-31T00:00:00Z" }))],
    version: labelled("Version", text("version", baseline.version, { inputmode: "numeric" })),
  };
  const of = h("div", { class: "row" }, kinds[kind]);
  const select = choice("baseline", kind, [["points", "its first points"], ["period", "its points of a period"], ["version", "another version"]]);
  select.addEventListener("change", () => of.replaceChildren(...[kinds[select.value]].flat()));
  return [
    h("fieldset", {}, h("legend", {}, "Held against"), h("div", { class: "row" }, labelled("Baseline", select), of)),
    h("fieldset", {}, h("legend", {}, "Drifting when a rule fired"), h("div", { class: "row" },
      labelled("at this many", text("m", alarm.m, { inputmode: "numeric", placeholder: "3", size: 4 })), labelled("of the last", text("n", alarm.n, { inputmode: "numeric", placeholder: "5", size: 4 })))),
    labelled("Degraded when nothing was logged for more than (hours)", text("silence_hours", silence, { inputmode: "decimal", placeholder: "never" })),
    h("fieldset", {}, h("legend", {}, "Limits"),
      h("table", { class: "limits" }, h("thead", {}, h("tr", {}, ["Metric", "Least", "Most", "Better", ""].map((one) => h(one ? "th" : "td", one ? { scope: "col" } : {}, one)))), rows),
      h("datalist", { id: "metrics" }, metrics.map((metric) => h("option", { value: metric }))),
      h("button", { type: "button", onclick: () => { add(); rows.lastChild.querySelector("input").focus(); } }, "Add a metric")),
  ];
}

function settingsOf(form) {
  const raw = (name) => (form.elements[name]?.value ?? "").trim();
  const value = (name) => given(raw(name));
  const rows = [...form.querySelectorAll(".limits tbody tr")].map((row) => [...row.querySelectorAll("input, select")].map((field) => field.value.trim()))
    .filter(([metric, min, max]) => metric || min || max);
  const twice = rows.map(([metric]) => metric).find((metric, at, all) => all.indexOf(metric) < at);
  if (twice !== undefined) throw new Error(`limits: ${twice} stands there twice.`);
  // A metric of which nothing is said is an oversight: the API says so.
  const limits = rows.filter(([, min, max, better]) => min || max || !better).map(([metric, min, max]) => [metric, some({ min: given(min), max: given(max) })]);
  const direction = rows.map(([metric, , , better]) => [metric, better]).filter(([, better]) => better);
  const baseline = { points: some({ points: value("points") }), period: { from: raw("from"), to: raw("to") }, version: { version: raw("version") } }[raw("baseline")];
  return some({
    limits: Object.fromEntries(limits), direction: Object.fromEntries(direction), alarm: some({ m: value("m"), n: value("n") }), baseline, silence_hours: value("silence_hours"),
  });
}

const WHO = "control-tower.registered-by";

// `row` is a model version as the API lists it, `registration` its entry in `/monitoring`, or null.
export function edit(name, row, registration, done) {
  const metrics = Object.keys({ ...row.metrics, ...registration?.metrics }).sort();
  const to = path.version(name, row.version, "monitor");
  const version = named(name, ` v${row.version}`);
  if (registration) {
    dialog(["Settings of ", version], settingsForm(registration.settings, metrics), "Save", async (form) => {
      await send("PATCH", to, { settings: difference(registration.settings, settingsOf(form)) });
      return `The settings of ${name} version ${row.version} are saved.`;
    }, done);
    return;
  }
  dialog(["Monitor ", version], [
    labelled("Type", choice("model_type", row.model_type, choices.model_type)),
    labelled("Registered by", text("registered_by", localStorage.getItem(WHO), { placeholder: document.body.dataset.who || "anonymous" })),
    h("details", {}, h("summary", {}, "Settings (each has a default)"), h("div", { class: "panel" }, settingsForm({}, metrics))),
  ], "Monitor", async (form) => {
    const by = form.elements.registered_by.value.trim();
    await send("POST", to, { model_type: form.elements.model_type.value, ...(by ? { registered_by: by } : {}), settings: settingsOf(form) });
    if (by) localStorage.setItem(WHO, by);
    return `${name} version ${row.version} is monitored.`;
  }, done);
}

export function remove(name, version, done) {
  dialog(["Remove ", named(name, ` v${version}`), " from monitoring?"], h("p", {}, "It is checked no more. What was found of it stays in MLflow."), "Remove", async () => {
    await send("DELETE", path.version(name, version, "monitor"));
    return `${name} version ${version} is not monitored any more.`;
  }, done);
}

// The way to register a version, for who may.
export function monitorButton(name, row, done) {
  return mayWrite ? h("button", { type: "button", "aria-label": `Monitor ${name} version ${row.version}`, onclick: () => edit(name, row, null, done) }, "Monitor …") : null;
}
