// A chart of each metric of the chosen versions, or a table of its points.

import { get, path, query } from "../api.js";
import { drawChart, isDrawable, secondsOf, summary } from "../chart.js";
import { h, none, note, number, show, table } from "../dom.js";
import { firedInWords } from "../fired.js";
import { moreButton } from "../list.js";
import { addressValues, announce, filters, onAddress, part, setAddress } from "../shell.js";
import { VERDICTS, badge } from "../verdict.js";
import { saveCsv } from "./csv.js";
import { marksOf } from "./timeline.js";

// Where the values of a line are from, by its population.
const ORIGINS = { production: "production", training: "offline" };
const MOST_LINES = 5;
const MOST_CHIPS = 20;
const MOST_POINTS = 100;
const SWATCHES = ["━", "╍", "┅", "╌", "┄"];
// How many charts there are at first, and how many more with each press of the button.
const STEP = 8;
// Each metric is a request to MLflow. Of more metrics than this, only those that are shown are read.
const FEW_METRICS = 24;
// The service takes addresses up to some length; what surrounds the names of the metrics is subtracted.
const LONGEST_QUERY = 6000;
// Points are read from MLflow: when the verdicts changed, when something else is to be drawn, and every so often.
const READ_AGAIN_MS = 120_000;

// `offerVersions` draws the buttons that choose versions, `draw` the charts, and `drawMarks` redraws their marks.
export function metricCharts(model) {
  const place = document.getElementById("charts");
  const form = document.getElementById("choice");
  const whole = document.getElementById("whole");
  const chips = document.getElementById("lines");
  let most = STEP;
  // What was read last: `key` identifies it, `of` what was asked for, `at` is when, `total` how many metrics there are
  // where not all were read.
  let last = { key: "", of: null, at: 0, series: [], total: 0 };

  const offerVersions = () => {
    const drawn = drawnVersions(model);
    const toggle = (version) => {
      const isDrawn = drawn.includes(version);
      const wanted = isDrawn ? drawn.filter((other) => other !== version) : [...drawn, version].slice(-MOST_LINES);
      setAddress({ draw: wanted.join(",") });
    };
    const chip = (version) => h("button", {
      type: "button", class: "chip", "data-key": version, "aria-pressed": String(drawn.includes(version)),
      onclick: () => toggle(version),
    }, `v${version}`);
    show(chips,
      offeredVersions(model, drawn).map(chip),
      drawn.length === MOST_LINES && h("span", { class: "quiet" }, `The charts show at most ${MOST_LINES} versions.`));
  };

  const drawLast = () => drawMetrics(place, model, last, most, () => {
    most += STEP;
    draw();
  });
  // What the charts show. What was read of something else is not drawn.
  const of = () => query({ draw: addressValues().draw, days: addressValues().days });
  // Draw what was read, with other marks. What was not read yet is drawn with them anyway.
  const drawMarks = () => { if (last.of === of()) drawLast(); };

  const draw = part(place, async (signal) => {
    // There is nothing to draw until the versions are read.
    if (!model.tag) return;
    const versions = drawnVersions(model);
    const { days = "90" } = addressValues();
    const known = knownMetrics(model, versions);
    const metrics = known.length > FEW_METRICS ? known.slice(0, most) : [];
    const key = JSON.stringify([versions, days, metrics, model.tag]);
    if (key !== last.key || Date.now() - last.at > READ_AGAIN_MS) {
      const series = await Promise.all(versions.map((version) => read(model, version, days, metrics, signal)));
      last = { key, of: of(), at: Date.now(), series, total: metrics.length ? known.length : 0 };
    }
    whole.hidden = !zoomed();
    drawLast();
  }, { seconds: 30, of });

  filters(form);
  // Another period is shown as a whole.
  form.elements.days.addEventListener("input", () => zoom(null));
  whole.onclick = () => {
    zoom(null);
    form.elements.days.focus();
  };
  onAddress(() => {
    offerVersions();
    draw();
  });
  return { offerVersions, draw, drawMarks };
}

// The versions to draw: those in the address, else the monitored ones, else the newest.
function drawnVersions({ versions, registrations }) {
  const known = versions.map((row) => row.version);
  const chosen = (addressValues().draw ?? "").split(",").filter((version) => known.includes(version));
  const usual = registrations.size ? known.filter((version) => registrations.has(version)) : known.slice(0, 1);
  return (chosen.length ? chosen : usual).slice(0, MOST_LINES);
}

// The versions that have a button: the drawn, the monitored and the newest ones.
function offeredVersions({ versions, registrations }, drawn) {
  const known = versions.map((row) => row.version);
  const monitored = known.filter((version) => registrations.has(version));
  const offered = [...new Set([...drawn, ...monitored, ...known.slice(0, MOST_CHIPS)])];
  return offered.slice(0, MOST_CHIPS).sort((a, b) => b - a);
}

// The known metrics of the versions, the worst first. Runs that evaluate a version may have further metrics.
function knownMetrics({ versions, registrations }, drawn) {
  const ranks = new Map();
  const add = (metric, rank) => ranks.set(metric, Math.min(ranks.get(metric) ?? rank, rank));
  for (const version of drawn) {
    const ofSourceRun = Object.keys(versions.find((row) => row.version === version).metrics);
    for (const metric of ofSourceRun) add(metric, VERDICTS.length);
    const checked = Object.entries(registrations.get(version)?.metrics ?? {});
    for (const [metric, { verdict }] of checked) add(metric, VERDICTS.indexOf(verdict));
  }
  return [...ranks.keys()].sort((a, b) => ranks.get(a) - ranks.get(b) || a.localeCompare(b));
}

// The series of a version: `{version, metrics}`, where `metrics` are pairs of a name and its series. Without names of
// metrics all of them are read.
async function read({ name }, version, days, metrics, signal) {
  const parameters = (names) => names.map((metric) => ["metric", metric]);
  const batches = [[]];
  for (const metric of metrics) {
    const length = new URLSearchParams(parameters([...batches.at(-1), metric])).toString().length;
    if (length > LONGEST_QUERY) batches.push([]);
    batches.at(-1).push(metric);
  }
  const address = (names) =>
    `${path.version(name, version, "series")}?${new URLSearchParams([["days", days], ...parameters(names)])}`;
  const answers = await Promise.all(batches.map((names) => get(address(names), signal)));
  return { version, metrics: answers.flatMap(({ body }) => Object.entries(body.metrics)) };
}

// A line is the series of a metric of one version: `{metric, version, points, verdict, marks, ...}`. Lines by metric.
function linesByMetric(series, holders) {
  const lines = new Map();
  for (const { version, metrics } of series) {
    const marks = marksOf(version, holders);
    for (const [metric, values] of metrics) {
      if (!values.points.length) continue;
      lines.set(metric, [...(lines.get(metric) ?? []), { ...values, version, metric, marks }]);
    }
  }
  return lines;
}

export const secondsFrom = (text) => Date.parse(text ?? "") / 1000;

const isoOf = (seconds) => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;

// The period that was zoomed to, in seconds; null where all is shown.
export function zoomed() {
  const { from, to } = addressValues();
  const span = [secondsFrom(from), secondsFrom(to)];
  return span[0] < span[1] ? span : null;
}

export function zoom(span) {
  if (!span) {
    setAddress({ from: "", to: "" });
    return;
  }
  const [from, to] = span.map(isoOf);
  if (from < to) setAddress({ from, to });
}

// The period of all charts: the one that was zoomed to, else from the first point to the last one.
function spanOf(lines) {
  const times = lines.flatMap(({ points }) => [points[0], points.at(-1)].map(secondsOf));
  const [from, to] = [Math.min(...times), Math.max(...times)];
  return zoomed() ?? (from < to ? [from, to] : [from - 1, to + 1]);
}

// The points of lines that the charts show.
function inSpan(lines) {
  const [from, to] = zoomed() ?? [-Infinity, Infinity];
  const isShown = (point) => secondsOf(point) >= from && secondsOf(point) <= to;
  return lines.map((line) => ({ ...line, points: line.points.filter(isShown) }));
}

function drawMetrics(place, model, { series, total }, most, showMore) {
  const lines = linesByMetric(series, model.holders);
  const rank = (metric) => Math.min(...lines.get(metric).map((line) => VERDICTS.indexOf(line.verdict)));
  const names = [...lines.keys()].sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  const hasLine = (metric) => lines.get(metric).some((line) => line.points.length > 1);
  const drawable = names.filter(hasLine);
  const shown = drawable.slice(0, most);
  const single = names.filter((metric) => !hasLine(metric)).flatMap((metric) => lines.get(metric));
  const isChart = (metric) => addressValues().table !== "yes" && isDrawable(lines.get(metric));
  const count = total || drawable.length;
  show(place,
    !names.length && note("No metric was logged in this period."),
    shown.some(isChart) && note("Band: in line with the baseline; darker: its mean ± one standard deviation; dotted "
      + "edge: where the rule fires. Dashed red line: a limit. ✕: a rule fired; point at it for the reason. Drag to "
      + "zoom, double-click to see all. Keys of a chart: arrows, + and −, Esc. Times are in UTC.",
    shown.some((metric) => lines.get(metric).some(({ marks }) => marks.length > 0))
      && " Dashed upright line: the version got (▲) or lost (▼) a stage or an alias."),
    shown.map((metric) => figure(model, metric, lines.get(metric), isChart(metric))),
    single.length > 0
      && [h("h3", {}, "Metrics with fewer than 2 points"), pointTable(model.name, "Single values", single)],
    count > most && moreButton(`Show more of ${count} metrics`, showMore));
  const charts = shown.filter(isChart);
  const view = { span: spanOf(charts.flatMap((metric) => lines.get(metric))), zoom, say: announce };
  for (const metric of charts) {
    drawChart(place.querySelector(`[data-metric="${CSS.escape(metric)}"]`), lines.get(metric), view);
  }
}

function figure(model, metric, lines, isChart) {
  const isLarge = isChart && addressValues().large === metric;
  const key = `${isChart ? "chart" : "table"} ${metric}`;
  return h("figure", { class: `figure ${isLarge ? "large" : ""}`, "data-key": key },
    h("figcaption", {},
      h("div", { class: "row" },
        h("h3", {}, metric),
        isChart && h("button", {
          type: "button", class: "small-button", "aria-pressed": String(isLarge), "aria-label": `Enlarge ${metric}`,
          onclick: () => setAddress({ large: isLarge ? "" : metric }),
        }, isLarge ? "Shrink" : "Enlarge"),
        h("button", {
          type: "button", class: "small-button", "aria-label": `Save ${metric} as CSV`,
          onclick: () => saveCsv(model.name, metric, inSpan(lines)),
        }, "CSV")),
      h("ul", { class: "legend" }, lines.map((line, index) => legendItem(model, line, index)))),
    isChart
      ? [
        // uPlot draws into the first, and the second shows what is under the pointer.
        h("div", {
          class: "chart", "data-kept": true, "data-metric": metric, role: "img", tabindex: "0",
          "aria-label": summary(metric, lines),
        }),
        h("div", { class: "readout", "aria-hidden": "true", "data-kept": true, hidden: true }),
      ]
      : pointTable(model.name, metric, inSpan(lines)));
}

function legendItem({ registrations }, line, index) {
  const ink = index % SWATCHES.length;
  const facts = [
    line.baseline && [
      h("span", { class: `band ink-line-${ink} stripes-${ink}`, "aria-hidden": "true" }),
      ` baseline ${number(line.baseline.mean)} ± ${number(line.baseline.std)}`,
    ],
    limits(line.limits),
    ORIGINS[line.population],
  ].filter(Boolean);
  return h("li", {},
    h("span", { class: `swatch ink-line-${ink}`, "aria-hidden": "true" }, SWATCHES[ink]),
    ` v${line.version} `,
    badge(line.verdict),
    !registrations.has(line.version) && h("span", { class: "quiet" }, " if it were monitored"),
    ` ${number(line.last)}`,
    h("span", { class: "quiet" }, facts.map((fact) => [" · ", fact])));
}

function limits(values) {
  if (!values) return "";
  return [
    values.min !== null && `at least ${number(values.min)}`,
    values.max !== null && `at most ${number(values.max)}`,
  ].filter(Boolean).join(", ");
}

// The newest points of lines, as a table.
function pointTable(name, title, lines) {
  const left = Math.max(...lines.map((line) => line.points.length)) - MOST_POINTS;
  const rows = lines.flatMap((line) =>
    line.points.slice(-MOST_POINTS).reverse().map((point, index) => ({
      key: `${line.metric} ${line.version} ${index}`,
      cells: [
        line.metric, `v${line.version}`, point.time,
        [number(point.value), point.replaced > 0 && h("span", { class: "quiet" }, " replaces an earlier value")],
        point.source,
        point.fired.length ? firedInWords(line, point).map((words) => h("div", {}, words)) : none(),
      ],
    })));
  const address = `${path.version(name, lines[0].version, "series")}${query({ metric: lines[0].metric })}`;
  return [
    table(title, ["Metric", "Version", "Time", "Value", "Source", "Rules that fired"], rows),
    left > 0 && note(`The table shows the newest ${MOST_POINTS} points of a version. The API has ${left} more: `,
      h("code", {}, address)),
  ];
}
