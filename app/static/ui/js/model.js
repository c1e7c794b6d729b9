// One registered model: its versions, what they measure, how they compare, what happened.

import { get, path, query } from "./api.js";
import { draw, isDrawable, summary } from "./chart.js";
import { ago, h, none, note, number, pairs, show, table } from "./dom.js";
import { edit, monitorButton, remove } from "./monitor.js";
import { aged, ask, chosen, filters, inMlflow, mayWrite, part } from "./shell.js";
import { VERDICTS, badge, events, reasons } from "./verdict.js";
import { timeline } from "./timeline.js";

// As the address has it: markup would change some of what a name may hold.
const name = decodeURIComponent(location.pathname.split("/")[3]);
const place = Object.fromEntries(["versions", "lines", "charts", "comparison", "history"].map((id) => [id, document.getElementById(id)]));
const STEP = 20;
const MOST_LINES = 5;
const MOST_CHIPS = 20;
const MOST_EVENTS = 200;
const MOST_POINTS = 100;
// Charts at first, and with each press of the button. Each metric is a request to MLflow, so that of more no more are read.
const STEP_METRICS = 8;
const FEW_METRICS = 24;
// What of an address the service takes, less what surrounds the names.
const LONGEST_QUERY = 6000;
// What is drawn is read from MLflow: when it was checked anew, when asked otherwise, and now and then.
const READ_AGAIN_MS = 120_000;

// The parts that are the same whatever is asked for.
const alike = () => "";

let drawnOf = "";
let mock = false;
let versions = [];
let registered = new Map();
let rows = STEP;
let metrics = STEP_METRICS;

filters(document.getElementById("choice"));

const form = document.getElementById("compare");
// Before the fields are read into the address.
form.addEventListener("input", ({ target }) => {
  const { baseline, candidate } = form.elements;
  if (target === baseline) keepApart(candidate, baseline);
  if (target === candidate) keepApart(baseline, candidate);
  paired = { baseline: baseline.value, candidate: candidate.value };
});
filters(form);

const drawTable = part(place.versions, async (signal) => {
  const [found, watched] = await Promise.all([get(path.of(name, "versions"), signal), get(`/monitoring${query({ name, page_size: 1000 })}`, signal)]);
  versions = found.body;
  registered = new Map(watched.body.filter((row) => row.model_name === name).map((row) => [row.model_version, row]));
  drawVersions(found);
  document.getElementById("compare-section").hidden = versions.length < 2;
  fillChoices();
  drawLines();
  const state = found.tag + watched.tag;
  if (state === drawnOf) return;
  if (drawnOf) drawHistory();
  drawnOf = state;
  drawCharts();
}, { of: alike });

const drawHistory = part(place.history, async (signal) => {
  const { body, pages } = await get(`/monitoring/history${query({ name, page_size: MOST_EVENTS })}`, signal);
  show(place.history, body.length
    ? [timeline(body), events(body, (event) => h("strong", {}, `v${event.version}`)), pages.total > body.length && note(`and ${pages.total - body.length} before`)]
    : note("No version of this model was ever monitored."));
}, { seconds: READ_AGAIN_MS / 1000, of: alike });

const changed = () => Promise.all([drawTable(), drawHistory()]);

function drawVersions(found) {
  if (!versions.length) {
    show(place.versions, note("This model has no version yet."));
    return;
  }
  mock = found.mock;
  show(place.versions, aged(found),
    table("Versions", ["Version", "Stage", "Aliases", "Type", "Made", "Verdict", "Why", "More", ...(mayWrite ? ["Monitoring"] : [])], inOrder().slice(0, rows).map(line)),
    versions.length > rows && h("button", { type: "button", class: "more", onclick: () => { rows += 5 * STEP; drawVersions(found); } }, `Show more of ${versions.length}`));
}

// The newest first; of many, those that serve or are watched come before.
function inOrder() {
  if (versions.length <= STEP) return versions;
  const matters = (row) => registered.has(row.version) || row.aliases.length > 0 || row.stage === "Production" || row.stage === "Staging";
  return [...versions.filter(matters), ...versions.filter((row) => !matters(row))];
}

function line(row) {
  const watched = registered.get(row.version);
  return {
    key: row.version,
    cells: [
      `v${row.version}`, row.stage === "None" ? none() : row.stage, row.aliases.join(", ") || none(), row.model_type ?? none(), ago(row.creation_timestamp),
      watched ? [badge(watched.verdict), " ", h("span", { class: "quiet" }, ago(watched.since))] : badge(null),
      watched ? reasons(watched.reasons, watched.verdict) : none(), details(row, watched),
      ...(mayWrite ? [watched
        ? h("div", { class: "row" },
          h("button", { type: "button", "aria-label": `Settings of version ${row.version}`, onclick: () => edit(name, row, watched, changed) }, "Settings …"),
          h("button", { type: "button", "aria-label": `Remove version ${row.version} from monitoring`, onclick: () => remove(name, row.version, changed) }, "Remove …"))
        : mock ? none() : monitorButton(name, row, changed)] : []),
    ],
  };
}

function details(row, watched) {
  return h("details", {}, h("summary", { "aria-label": `More of version ${row.version}` }, "more"), pairs({
    ...(row.description ? { "Description": row.description } : {}),
    "Last changed": ago(row.last_updated_timestamp),
    "Source run": row.run_id ?? "none",
    ...(row.stage === "None" ? {} : { "Stage by": row.stage_source }),
    ...(Object.keys(row.metrics).length ? { "Metrics of the source run": Object.entries(row.metrics).map(([metric, value]) => h("div", {}, `${metric} ${number(value)}`)) } : {}),
    ...(Object.keys(row.tags).length ? { "Tags": Object.entries(row.tags).map(([key, value]) => h("div", {}, `${key}: ${value}`)) } : {}),
    ...(watched ? { "Registered by": [h("bdi", {}, watched.registered_by), ", ", ago(watched.registered_at)], "Settings": Object.keys(watched.settings).length ? h("code", {}, JSON.stringify(watched.settings)) : "the defaults" } : {}),
  }), inMlflow.version(name, row.version, "open in MLflow"));
}

// The versions to draw: those asked for, else the monitored ones, else the newest.
function drawnVersions() {
  const asked = (chosen().draw ?? "").split(",").filter((version) => versions.some((row) => row.version === version));
  const usual = registered.size ? versions.filter((row) => registered.has(row.version)) : versions.slice(0, 1);
  return (asked.length ? asked : usual.map((row) => row.version)).slice(0, MOST_LINES);
}

function drawLines() {
  const shown = drawnVersions();
  const offered = [...new Set([...shown, ...versions.filter((row) => registered.has(row.version)).map((row) => row.version), ...versions.slice(0, MOST_CHIPS).map((row) => row.version)])]
    .slice(0, MOST_CHIPS).sort((a, b) => b - a);
  const toggle = (version) => ask({ draw: (shown.includes(version) ? shown.filter((one) => one !== version) : [...shown, version].slice(-MOST_LINES)).join(",") });
  show(place.lines, offered.map((version) => h("button", { type: "button", class: "chip", "data-key": version, "aria-pressed": String(shown.includes(version)), onclick: () => toggle(version) }, `v${version}`)),
    shown.length === MOST_LINES && h("span", { class: "quiet" }, `${MOST_LINES} at most are drawn`));
}

let read = { state: "", at: 0, found: [], all: 0 };

// The metrics that are known of the versions to draw, the worst first. Runs that evaluate a version may have more.
function known(shown) {
  const ranks = new Map();
  const add = (metric, rank) => ranks.set(metric, Math.min(ranks.get(metric) ?? rank, rank));
  for (const version of shown) {
    for (const metric of Object.keys(versions.find((row) => row.version === version).metrics)) add(metric, VERDICTS.length);
    for (const [metric, { verdict }] of Object.entries(registered.get(version)?.metrics ?? {})) add(metric, VERDICTS.indexOf(verdict));
  }
  return [...ranks.keys()].sort((a, b) => ranks.get(a) - ranks.get(b) || a.localeCompare(b));
}

async function series(version, days, names, signal) {
  const parts = [[]];
  for (const name of names) {
    if (new URLSearchParams([...parts.at(-1), name].map((one) => ["metric", one])).toString().length > LONGEST_QUERY) parts.push([]);
    parts.at(-1).push(name);
  }
  const found = await Promise.all(parts.map((part) => get(`${path.version(name, version, "series")}?${new URLSearchParams([["days", days], ...part.map((one) => ["metric", one])])}`, signal)));
  return { version, metrics: found.flatMap(({ body }) => Object.entries(body.metrics)) };
}

const drawCharts = part(place.charts, async (signal) => {
  // What there is to draw is known when the versions are.
  if (!drawnOf) return;
  const shown = drawnVersions();
  const { days = "90" } = chosen();
  const names = known(shown);
  const asked = names.length > FEW_METRICS ? names.slice(0, metrics) : [];
  const state = JSON.stringify([shown, days, asked, drawnOf]);
  if (state !== read.state || Date.now() - read.at > READ_AGAIN_MS) {
    const found = await Promise.all(shown.map((version) => series(version, days, asked, signal)));
    read = { state, at: Date.now(), found, all: asked.length ? names.length : 0 };
  }
  drawMetrics();
}, { seconds: 30, of: () => query({ draw: chosen().draw, days: chosen().days }) });

addEventListener("asked", () => {
  drawLines();
  drawCharts();
  compare();
});

function drawMetrics() {
  const lines = new Map();
  for (const { version, metrics: of } of read.found) {
    for (const [metric, one] of of) {
      if (one.points.length) lines.set(metric, [...(lines.get(metric) ?? []), { ...one, version, metric }]);
    }
  }
  const rank = (metric) => Math.min(...lines.get(metric).map((one) => VERDICTS.indexOf(one.verdict)));
  const names = [...lines.keys()].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  const isLine = (metric) => lines.get(metric).some((one) => one.points.length > 1);
  const many = names.filter(isLine);
  const shown = many.slice(0, metrics);
  const single = names.filter((metric) => !isLine(metric)).flatMap((metric) => lines.get(metric));
  const isChart = (metric) => chosen().table !== "yes" && isDrawable(lines.get(metric));
  const all = read.all || many.length;
  show(place.charts,
    !names.length && note("No metric was logged in these days."),
    shown.some(isChart) && note("The band is the baseline and what is in line with it, a dashed line is a limit, and ✕ is a point where a rule fired. Times are in UTC."),
    shown.map((metric) => figure(metric, lines.get(metric), isChart(metric))),
    single.length > 0 && [h("h3", {}, "Fewer than 2 points: nothing to draw yet"), points("Single values", single)],
    all > metrics && h("button", { type: "button", class: "more", onclick: () => { metrics += STEP_METRICS; drawCharts(); } }, `Show more of ${all} metrics`));
  for (const metric of shown.filter(isChart)) {
    const chart = place.charts.querySelector(`[data-metric="${CSS.escape(metric)}"]`);
    const now = JSON.stringify(lines.get(metric));
    if (chart.drawnOf !== now) {
      draw(chart, lines.get(metric));
      chart.drawnOf = now;
    }
  }
}

// A chart is drawn into its place by uPlot: what is there stays.
function figure(metric, lines, isChart) {
  return h("figure", { class: "figure", "data-key": `${isChart ? "chart" : "table"} ${metric}` },
    h("figcaption", {}, h("h3", {}, metric), h("ul", { class: "legend" }, lines.map((one, at) => h("li", {}, h("span", { class: `swatch ink-line-${at % 5}`, "aria-hidden": "true" }, ["━", "╍", "┅", "╌", "┄"][at % 5]), ` v${one.version} `, badge(one.verdict), !registered.has(one.version) && h("span", { class: "quiet" }, " if it were monitored"),
      ` ${number(one.last)}`, h("span", { class: "quiet" }, [
        one.baseline && `baseline ${number(one.baseline.mean)} ± ${number(one.baseline.std)}`, limits(one.limits), one.population,
      ].filter(Boolean).map((words) => ` · ${words}`)))))),
    !isChart ? points(metric, lines) : [h("div", { class: "chart", "data-kept": true, "data-metric": metric, role: "img", "aria-label": summary(metric, lines) }), h("p", { class: "readout", "aria-hidden": "true", "data-kept": true }, " ")]);
}

function limits(of) {
  if (!of) return "";
  return [of.min !== null && `at least ${number(of.min)}`, of.max !== null && `at most ${number(of.max)}`].filter(Boolean).join(", ");
}

function points(title, lines) {
  const left = Math.max(...lines.map((one) => one.points.length)) - MOST_POINTS;
  const found = lines.flatMap((one) => one.points.slice(-MOST_POINTS).reverse().map((point, at) => ({ ...point, metric: one.metric, version: one.version, at })));
  return [
    table(title, ["Metric", "Version", "Time", "Value", "Source", "Rules that fired"],
      found.map((point) => ({ key: `${point.metric} ${point.version} ${point.at}`, cells: [point.metric, `v${point.version}`, point.time, number(point.value), point.source, point.fired.join(", ") || none()] }))),
    left > 0 && note(`The newest ${MOST_POINTS} points of a version. ${left} more are in the API: `, h("code", {}, `${path.version(name, lines[0].version, "series")}${query({ metric: lines[0].metric })}`)),
  ];
}

// The version that a choice names: a number is one, an alias stands for one.
const versionOf = (choice) => versions.find((row) => row.version === choice || row.aliases.includes(choice))?.version;

// What was chosen last, to be given to the other field where one takes the other's version.
let paired = {};

function fillChoices() {
  const names = [...new Set(versions.flatMap((row) => row.aliases)), ...versions.map((row) => row.version)];
  const { baseline, candidate } = form.elements;
  for (const [select, wanted, rest] of [[baseline, "champion", versions[1] ?? versions[0]], [candidate, "challenger", versions[0]]]) {
    if ([...select.options].map((option) => option.value).join() === names.join()) continue;
    const asked = chosen()[select.name] || select.value || (names.includes(wanted) ? wanted : rest?.version ?? names[0]);
    select.replaceChildren(...names.map((one) => h("option", { value: one, selected: one === asked }, /^\d+$/.test(one) ? `version ${one}` : one)));
  }
  if (!chosen().candidate) keepApart(candidate, baseline);
  paired = { baseline: baseline.value, candidate: candidate.value };
}

// A version is not compared with itself: the other field takes what this one had, or any other version.
function keepApart(field, fixed) {
  if (!fixed.value || versionOf(field.value) !== versionOf(fixed.value)) return;
  const other = [paired[fixed.name], ...versions.map((row) => row.version)].find((one) => one && versionOf(one) !== versionOf(fixed.value));
  if (other) field.value = other;
}

const compare = part(place.comparison, async (signal) => {
  const { baseline, candidate, margin } = chosen();
  if (!baseline || !candidate) {
    show(place.comparison);
    return;
  }
  const { body } = await get(path.of(name, "compare") + query({ baseline, candidate, margin }), signal);
  const answer = { true: "not worse", false: "worse, or not shown to be as good" }[body.non_inferior] ?? "cannot be told";
  const told = (value) => ({ true: "yes", false: "no" }[value] ?? none());
  show(place.comparison,
    h("p", {}, `Version ${body.candidate.version} against version ${body.baseline.version}: `, h("strong", {}, answer), ` (margin ${body.margin})`),
    body.metrics.length ? table("Comparison", ["Metric", "Baseline", "Candidate", "Difference", "Better", "Not worse", "Why"], body.metrics.map((row) => ({
      key: row.metric, cells: [row.metric, number(row.baseline), number(row.candidate), number(row.difference), told(row.better), told(row.non_inferior), row.reason],
    }))) : note("Neither version has a metric."));
}, { seconds: READ_AGAIN_MS / 1000, of: () => query({ baseline: chosen().baseline, candidate: chosen().candidate, margin: chosen().margin }) });
