// The dialogs that register a version for monitoring, change its settings, and remove it.

import { path, send } from "./api.js";
import { dialog, labelled, selectField, textField } from "./dialog.js";
import { h, named, number } from "./dom.js";
import { previewPlace } from "./preview.js";
import { choices, mayWrite, who } from "./shell.js";
import { VERDICTS, badge } from "./verdict.js";

// A number is sent as a number. Any other text is sent as it is, for the API to refuse; so is infinity, which JSON does
// not have.
function parsed(text) {
  const trimmed = text.trim();
  return trimmed !== "" && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}

const isEmpty = (value) => value !== null && typeof value === "object" && Object.keys(value).length === 0;

const withoutEmpty = (values) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== "" && !isEmpty(value)));

// A metric may have the name of something that every object has.
const own = (values, name) => (Object.hasOwn(values, name) ? values[name] : undefined);

// The merge patch (RFC 7396) that makes `wanted` of the settings `old`: what was removed is null. A baseline is
// replaced as a whole.
export function difference(old, wanted, depth = 0) {
  const patch = (name) => {
    const [before, after] = [own(old, name), own(wanted, name)];
    if (after === undefined) return null;
    const isMerged = typeof after === "object" && before !== undefined && name !== "baseline" && depth < 2;
    return isMerged ? difference(before, after, depth + 1) : after;
  };
  const names = new Set([...Object.keys(old), ...Object.keys(wanted)]);
  return Object.fromEntries([...names].map((name) => [name, patch(name)]));
}

const BASELINES = [
  ["points", "the first points"], ["period", "the points of a period"], ["version", "another version"],
];
const LIMIT_COLUMNS = ["Metric", "Now", "Min", "Max", "Better", ""];
// Of more metrics the worst are listed. Others can be added by their names.
const MOST_LISTED = 30;

function baselineFields(baseline) {
  const kind = "version" in baseline ? "version" : "from" in baseline ? "period" : "points";
  const fieldsOf = {
    points: [labelled("How many", textField("points", baseline.points, { inputmode: "numeric", placeholder: "20" }))],
    period: [
      labelled("From", textField("from", baseline.from, { placeholder: "2026-01-01T00:00:00Z" })),
      labelled("To", textField("to", baseline.to, { placeholder: "2026-01-31T00:00:00Z" })),
    ],
    version: [labelled("Version", textField("version", baseline.version, { inputmode: "numeric" }))],
  };
  const fields = h("div", { class: "row" }, fieldsOf[kind]);
  const select = selectField("baseline", kind, BASELINES);
  select.addEventListener("change", () => fields.replaceChildren(...fieldsOf[select.value]));
  return h("div", { class: "row" }, labelled("Baseline", select), fields);
}

// `metrics` are those of the version, with their present figures: `{name, figures}`.
function limitFields({ limits = {}, direction = {} }, metrics) {
  const rows = h("tbody");
  const cells = (metric) => {
    const bound = (name, value, label) =>
      h("td", {}, textField(name, value, { inputmode: "decimal", "aria-label": label, size: 6 }));
    return [
      bound("min", own(limits, metric)?.min, `Min ${metric}`.trim()),
      bound("max", own(limits, metric)?.max, `Max ${metric}`.trim()),
      h("td", {}, selectField("better", own(direction, metric) ?? "", [["", "by name"], ...choices.direction],
        { "aria-label": `Better direction ${metric}`.trim() })),
    ];
  };
  const list = ({ name, figures }) => rows.append(h("tr", { "data-listed": true },
    h("th", { scope: "row" }, named(name), h("input", { type: "hidden", name: "metric", value: name })),
    h("td", {}, figures),
    cells(name),
    h("td", {})));
  const addAndFocus = () => {
    rows.append(h("tr", {},
      h("td", { colspan: 2 },
        textField("metric", "", { list: "metrics", "aria-label": "Metric", placeholder: "metric" })),
      cells(""),
      h("td", {}, h("button", {
        type: "button", "aria-label": "Remove this row", onclick: (event) => event.target.closest("tr").remove(),
      }, "✕"))));
    rows.lastChild.querySelector("input").focus();
  };
  const isSet = ({ name }) => Object.hasOwn(limits, name) || Object.hasOwn(direction, name);
  const known = new Set(metrics.map(({ name }) => name));
  const others = [...new Set([...Object.keys(limits), ...Object.keys(direction)])].filter((name) => !known.has(name));
  const listed = [
    ...metrics.filter((metric) => isSet(metric)),
    ...others.map((name) => ({ name, figures: "no point yet" })),
    ...metrics.filter((metric) => !isSet(metric)),
  ];
  listed.slice(0, Math.max(MOST_LISTED, others.length + metrics.filter(isSet).length)).forEach(list);
  const head = (column) => (column ? h("th", { scope: "col" }, column) : h("td", {}));
  return [
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table: Limits" },
      h("table", { class: "limits" }, h("thead", {}, h("tr", {}, LIMIT_COLUMNS.map(head))), rows)),
    h("datalist", { id: "metrics" }, metrics.map(({ name }) => h("option", { value: name }))),
    h("button", { type: "button", onclick: addAndFocus }, "Add a metric"),
  ];
}

function settingsFields(settings, metrics) {
  const { alarm = {}, baseline = {}, silence_hours: silence } = settings;
  const count = (name, placeholder) => textField(name, alarm[name], { inputmode: "numeric", placeholder, size: 4 });
  return [
    h("fieldset", {}, h("legend", {}, "Compare with"), baselineFields(baseline)),
    h("fieldset", {}, h("legend", {}, "Drifting when a rule fired"), h("div", { class: "row" },
      labelled("at this many points", count("m", "3")),
      labelled("of the last (points)", count("n", "5")))),
    labelled("Degraded when nothing was logged for more than (hours)",
      textField("silence_hours", silence, { inputmode: "decimal", placeholder: "never" })),
    h("fieldset", {}, h("legend", {}, "Limits"), limitFields(settings, metrics)),
  ];
}

// The settings as the form has them: what is empty has its default, and is left out.
function settingsOf(form) {
  const text = (name) => (form.elements[name]?.value ?? "").trim();
  const value = (name) => parsed(text(name));
  const rows = [...form.querySelectorAll(".limits tbody tr")]
    .map((row) => {
      const [metric, ...others] = [...row.querySelectorAll("input, select")].map((field) => field.value);
      const isListed = "listed" in row.dataset;
      return [isListed ? metric : metric.trim(), ...others.map((value) => value.trim()), isListed];
    })
    .filter(([metric, min, max, better, isListed]) => (isListed ? min || max || better : metric || min || max));
  const twice = rows.map(([metric]) => metric).find((metric, index, all) => all.indexOf(metric) < index);
  if (twice !== undefined) throw new Error(`limits: ${twice} is listed twice.`);
  // A metric without limits and direction is sent, so that the API refuses it: something was forgotten.
  const limits = rows.filter(([, min, max, better]) => min || max || !better)
    .map(([metric, min, max]) => [metric, withoutEmpty({ min: parsed(min), max: parsed(max) })]);
  const direction = rows.map(([metric, , , better]) => [metric, better]).filter(([, better]) => better);
  const baseline = {
    points: withoutEmpty({ points: value("points") }),
    period: { from: text("from"), to: text("to") },
    version: { version: text("version") },
  };
  return withoutEmpty({
    limits: Object.fromEntries(limits),
    direction: Object.fromEntries(direction),
    alarm: withoutEmpty({ m: value("m"), n: value("n") }),
    baseline: baseline[text("baseline")],
    silence_hours: value("silence_hours"),
  });
}

// Where the browser keeps the name of who registered last.
const REGISTERED_BY = "control-tower.registered-by";

// The metrics of a version, the worst first, with their present figures.
function presentMetrics(row, registration) {
  const judged = registration?.metrics ?? {};
  const rank = (name) => (Object.hasOwn(judged, name) ? VERDICTS.indexOf(judged[name].verdict) : VERDICTS.length);
  return Object.keys({ ...row.metrics, ...judged })
    .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b))
    .map((name) => ({ name, figures: figures(own(judged, name), row.metrics[name]) }));
}

function figures(judged, offline) {
  if (!judged) return h("span", { class: "quiet" }, `offline ${number(offline)}`);
  const base = judged.baseline && ` baseline ${number(judged.baseline.mean)} ± ${number(judged.baseline.std)}`;
  return [
    badge(judged.verdict), ` ${number(judged.last)}`,
    h("div", { class: "quiet" }, [judged.population === "training" && " offline", base].filter(Boolean).join(", ")),
  ];
}

// In the functions below `row` is a model version as the API lists it, and `registration` its entry in `/monitoring`.
function register(name, row, done) {
  const by = textField("registered_by", localStorage.getItem(REGISTERED_BY), {
    placeholder: who || "anonymous",
  });
  const fields = h("div", { class: "panel" }, settingsFields({}, presentMetrics(row)));
  const preview = previewPlace(name, row.version, () => settingsOf(fields.closest("form")));
  const settings = h("details", {}, h("summary", {}, "Settings (optional)"), fields, preview.place);
  settings.addEventListener("toggle", () => { if (settings.open) preview.read(); });
  fields.addEventListener("change", preview.readSoon);
  dialog({
    title: ["Monitor ", named(name, ` v${row.version}`)],
    content: [
      labelled("Type", selectField("model_type", row.model_type, choices.model_type)),
      labelled("Registered by", by),
      settings,
    ],
    verb: "Monitor",
    act: async (form) => {
      const registrant = by.value.trim();
      await send("POST", path.version(name, row.version, "monitor"), {
        model_type: form.elements.model_type.value,
        ...(registrant ? { registered_by: registrant } : {}),
        settings: settingsOf(form),
      });
      if (registrant) localStorage.setItem(REGISTERED_BY, registrant);
      return `${name} version ${row.version} is monitored.`;
    },
    done,
  });
}

function changeSettings(name, row, registration, done) {
  const fields = h("div", { class: "panel" }, settingsFields(registration.settings, presentMetrics(row, registration)));
  const wanted = () => difference(registration.settings, settingsOf(fields.closest("form")));
  const preview = previewPlace(name, row.version, wanted);
  fields.addEventListener("change", preview.readSoon);
  dialog({
    title: ["Settings of ", named(name, ` v${row.version}`)],
    content: [fields, preview.place],
    verb: "Save",
    act: async () => {
      await send("PATCH", path.version(name, row.version, "monitor"), { settings: wanted() });
      return `The settings of ${name} version ${row.version} are saved.`;
    },
    done,
  });
  preview.read();
}

function remove(name, row, done) {
  dialog({
    title: ["Remove ", named(name, ` v${row.version}`), " from monitoring?"],
    content: h("p", {}, "It will no longer be checked. Its history stays in MLflow."),
    verb: "Remove",
    act: async () => {
      await send("DELETE", path.version(name, row.version, "monitor"));
      return `${name} version ${row.version} is no longer monitored.`;
    },
    done,
  });
}

// The button that registers a version; null for roles that may not.
export function monitorButton(name, row, done) {
  if (!mayWrite) return null;
  return h("button", {
    type: "button", "aria-label": `Monitor ${name} version ${row.version}`, onclick: () => register(name, row, done),
  }, "Monitor…");
}

// The buttons that change the settings of a monitored version, and remove it. For screen readers `words` stand before
// the number of the version.
export function monitoringButtons(name, row, registration, done, words) {
  return h("div", { class: "row" },
    h("button", {
      type: "button", "aria-label": `Settings of ${words} ${row.version}`,
      onclick: () => changeSettings(name, row, registration, done),
    }, "Settings…"),
    h("button", {
      type: "button", "aria-label": `Remove ${words} ${row.version} from monitoring`,
      onclick: () => remove(name, row, done),
    }, "Remove…"));
}
