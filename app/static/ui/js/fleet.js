// The fleet: tiles that filter, what needs attention, every version.

import { get, path, query } from "./api.js";
import { ago, h, named, none, note, number, show, table } from "./dom.js";
import { monitorButton } from "./monitor.js";
import { aged, ask, chosen, empty, filters, hasMlflow, inMlflow, pager, part, redraw } from "./shell.js";
import { VERDICTS, badge, change, isBad, reasons, spark, word } from "./verdict.js";

const SIZE = 50;
const MOST_CARDS = 8;
const TILES = [
  ...VERDICTS.map((verdict) => ({ filter: { verdict }, words: word(verdict), class: verdict, count: (summary) => summary.verdicts[verdict] })),
  { filter: { finding: "production_without_monitor" }, words: "in Production, not monitored", class: "unwatched", count: (summary) => summary.findings.production_without_monitor },
  { filter: { finding: "production_stale" }, words: "stale in Production", class: "stale", count: (summary) => summary.findings.production_stale },
];
const place = Object.fromEntries(["tiles", "attention", "versions"].map((id) => [id, document.getElementById(id)]));
// Of the sample fleet nothing can be registered.
let mock = false;
const key = (row) => `${row.name}\n${row.version}`;

filters(document.getElementById("filters"));
const drawRows = part(place.versions, async (signal) => drawVersions(await get(`/fleet${query({ ...chosen(), page_size: SIZE })}`, signal)));
part(place.attention, async (signal) => {
  const { body: summary } = await get("/fleet/summary", signal);
  drawTiles(summary);
  const found = await get(`/fleet?monitored=true&sort=verdict&page_size=${MOST_CARDS}`, signal);
  mock = found.mock;
  if (summary.monitored) drawAttention(found, summary.verdicts.drifting + summary.verdicts.degraded);
  else await drawBeginning(summary, signal);
});
addEventListener("asked", () => {
  drawRows();
  pressTiles();
});

const isPressed = ({ filter }) => Object.entries(filter).every(([name, value]) => chosen()[name] === value);

function drawTiles(summary) {
  show(place.tiles, TILES.map((tile) => h("button", {
    type: "button", class: `tile ${tile.class}`, "aria-pressed": String(isPressed(tile)), "data-count": tile.count(summary),
    // Each is a view of its own: two of them at once would show nothing.
    onclick: () => ask({ verdict: "", finding: "", monitored: "", ...(isPressed(tile) ? {} : tile.filter) }),
  }, h("strong", {}, String(tile.count(summary))), h("span", {}, tile.words))));
}

function pressTiles() {
  [...place.tiles.children].forEach((button, at) => { button.ariaPressed = String(isPressed(TILES[at])); });
}

function drawAttention(found, total) {
  const bad = found.body.filter((row) => isBad(row.verdict));
  if (!bad.length) {
    show(place.attention, note("Nothing: no monitored version is drifting or degraded."));
    return;
  }
  show(place.attention,
    h("ul", { class: "cards" }, bad.map((row) => h("li", { class: `card ${row.verdict}`, "data-key": key(row) },
      h("div", { class: "grow" },
        h("a", { href: path.model(row.name) }, named(row.name, ` v${row.version}`)), " ", badge(row.verdict), " ", h("span", { class: "quiet" }, ago(row.since)),
        h("div", {}, reasons(row.reasons, row.verdict))),
      row.metric && h("figure", { class: "small" }, spark(row.metric.recent, row.verdict), h("figcaption", { class: "quiet" }, row.metric.name))))),
    total > bad.length && note(`and ${total - bad.length} more: the tiles above show them all.`));
}

// Nothing is monitored: what is in Production is where to begin.
async function drawBeginning(summary, signal) {
  const found = await get(`/fleet?finding=production_without_monitor&page_size=${MOST_CARDS}`, signal);
  const { body } = found;
  show(place.attention, aged(found),
    !mock && note(summary.versions ? "Nothing is monitored yet. A monitored version is checked for drift, and keeps a history." : "Nothing is monitored yet, and MLflow has no model version."),
    body.length > 0 && h("ul", { class: "cards" }, body.map((row) => h("li", { class: "card", "data-key": key(row) },
      h("div", { class: "grow" }, h("a", { href: path.model(row.name) }, named(row.name, ` v${row.version}`)), h("span", { class: "quiet" }, " in Production")),
      !mock && monitorButton(row.name, row, redraw)))),
    body.length === 0 && summary.versions > 0 && note("No version is in Production: open a model to monitor one of its versions."));
}

function drawVersions(found) {
  const { body, pages } = found;
  mock = found.mock;
  if (!body.length) {
    const { page: _, ...others } = chosen();
    show(place.versions, aged(found), empty(pages, Object.keys(others).length > 0, "There is no model version in MLflow yet. Register one there, and it shows here within seconds."));
    return;
  }
  show(place.versions,
    aged(found),
    table("Model versions", ["Model", "Version", "Stage", "Aliases", "Type", "Verdict", "Metric", "Against baseline", "Lately", "Last logged", ...(hasMlflow ? ["MLflow"] : [])], body.map(line)),
    pager(pages));
}

function line(row) {
  const { metric } = row;
  return {
    key: key(row),
    cells: [
      h("a", { href: path.model(row.name) }, named(row.name)), row.version,
      row.stage === "None" ? none() : row.stage, row.aliases.join(", ") || none(),
      row.model_type ?? none(),
      [badge(row.verdict), row.findings.includes("production_without_monitor") && !mock && [" ", monitorButton(row.name, row, redraw)]],
      metric ? [h("span", { class: "quiet" }, `${metric.name} `), number(metric.last)] : none(),
      change(metric ?? {}), spark(metric?.recent, metric?.verdict), metric?.last_at ? ago(metric.last_at) : none(),
      ...(hasMlflow ? [inMlflow.version(row.name, row.version, "open")] : []),
    ],
  };
}
