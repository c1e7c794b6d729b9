// The fleet: tiles that filter, the versions that need attention, and all model versions.

import { get, path, query } from "./api.js";
import { ago, h, named, none, note, number, show, table } from "./dom.js";
import { list, pager } from "./list.js";
import { monitorButton } from "./monitor.js";
import { addressValues, ageNote, always, hasMlflow, inMlflow, onAddress, part, redraw, setAddress } from "./shell.js";
import { VERDICTS, badge, change, isBad, reasons, since, spark, word } from "./verdict.js";

const PAGE_SIZE = 50;
const MOST_CARDS = 8;
const TILES = [
  ...VERDICTS.map((verdict) => ({
    filter: { verdict }, words: word(verdict), class: verdict, count: (summary) => summary.verdicts[verdict],
  })),
  {
    filter: { finding: "production_without_monitor" }, words: "in Production, not monitored", class: "unwatched",
    count: (summary) => summary.findings.production_without_monitor,
  },
  {
    filter: { finding: "production_stale" }, words: "stale in Production", class: "stale",
    count: (summary) => summary.findings.production_stale,
  },
];
const COLUMNS = [
  "Model", "Version", "Stage", "Aliases", "Type", "Verdict", "Metric", "vs baseline", "Trend", "Last point",
  ...(hasMlflow ? ["MLflow"] : []),
];
const tiles = document.getElementById("tiles");
const attention = document.getElementById("attention");

const keyOf = (row) => `${row.name}\n${row.version}`;

list(document.getElementById("versions"), {
  form: document.getElementById("filters"),
  read: (signal) => get(`/fleet${query({ ...addressValues(), page_size: PAGE_SIZE })}`, signal),
  content: (rows, { mock }) => table("Model versions", COLUMNS, rows.map((row) => tableRow(row, mock))),
  rest: pager,
  nothing: () => "There is no model version in MLflow yet. "
    + "A version that you register there appears here within seconds.",
});

part(attention, async (signal) => {
  const { body: summary } = await get("/fleet/summary", signal);
  drawTiles(summary);
  const worst = await get(`/fleet?monitored=true&sort=verdict&page_size=${MOST_CARDS}`, signal);
  if (summary.monitored) drawAttention(worst.body, summary);
  else await drawFirstSteps(summary, signal);
}, { of: always });

onAddress(() => {
  [...tiles.children].forEach((button, index) => { button.ariaPressed = String(isPressed(TILES[index])); });
});

const isPressed = ({ filter }) => Object.entries(filter).every(([name, value]) => addressValues()[name] === value);

function drawTiles(summary) {
  // No version is in two of these groups, so a tile replaces the filter of another.
  const toggle = (tile) =>
    setAddress({ verdict: "", finding: "", monitored: "", ...(isPressed(tile) ? {} : tile.filter) });
  show(tiles, TILES.map((tile) => h("button", {
    type: "button", class: `tile ${tile.class}`, "aria-pressed": String(isPressed(tile)),
    "data-count": tile.count(summary), onclick: () => toggle(tile),
  }, h("strong", {}, String(tile.count(summary))), h("span", {}, tile.words))));
}

const modelLink = (row) => h("a", { href: path.model(row.name) }, named(row.name, ` v${row.version}`));

function drawAttention(rows, { verdicts, attention: { message, missing } }) {
  const bad = rows.filter((row) => isBad(row.verdict));
  const total = verdicts.drifting + verdicts.degraded;
  const lacking = [
    note(`${message}.`),
    missing.length > 0 && h("details", {}, h("summary", {}, "What is missing"),
      h("ul", {}, missing.map(({ what, versions }) =>
        h("li", {}, `${versions} ${versions === 1 ? "version" : "versions"}: ${what}`)))),
  ];
  if (!bad.length) {
    show(attention, lacking);
    return;
  }
  const card = (row) => h("li", { class: `card ${row.verdict}`, "data-key": keyOf(row) },
    h("div", { class: "grow" },
      modelLink(row), " ", badge(row.verdict), " ", since(row),
      h("div", {}, reasons(row.reasons, row.verdict))),
    row.metric && h("figure", { class: "small" },
      spark(row.metric.recent, row.verdict), h("figcaption", { class: "quiet" }, row.metric.name)));
  show(attention,
    h("ul", { class: "cards" }, bad.map(card)),
    total > bad.length
      && note(`${total - bad.length} more need attention. The tiles above filter the list by verdict.`),
    missing.length > 0 && lacking);
}

// Nothing is monitored: offer to monitor the versions in Production.
async function drawFirstSteps(summary, signal) {
  const answer = await get(`/fleet?finding=production_without_monitor&page_size=${MOST_CARDS}`, signal);
  const { body: rows, mock } = answer;
  const card = (row) => h("li", { class: "card", "data-key": keyOf(row) },
    h("div", { class: "grow" }, modelLink(row), h("span", { class: "quiet" }, " in Production")),
    !mock && monitorButton(row.name, row, redraw));
  show(attention,
    ageNote(answer),
    !mock && note(summary.versions
      ? "Nothing is monitored yet. The service checks monitored versions for drift and keeps a history of verdicts."
      : "Nothing is monitored yet. MLflow has no model version."),
    rows.length > 0 && h("ul", { class: "cards" }, rows.map(card)),
    rows.length === 0 && summary.versions > 0
      && note("No version is in Production. Open a model to monitor one of its versions."));
}

// The sample fleet is not in MLflow, so none of it can be registered.
function tableRow(row, mock) {
  const { metric } = row;
  const offersMonitoring = row.findings.includes("production_without_monitor") && !mock;
  return {
    key: keyOf(row),
    cells: [
      h("a", { href: path.model(row.name) }, named(row.name)),
      row.version,
      row.stage === "None" ? none() : row.stage,
      row.aliases.join(", ") || none(),
      row.model_type ?? none(),
      [badge(row.verdict), offersMonitoring && [" ", monitorButton(row.name, row, redraw)]],
      metric ? [h("span", { class: "quiet" }, `${metric.name} `), number(metric.last)] : none(),
      change(metric ?? {}),
      spark(metric?.recent, metric?.verdict),
      metric?.last_at ? ago(metric.last_at) : none(),
      ...(hasMlflow ? [inMlflow.version(row.name, row.version, "open")] : []),
    ],
  };
}
