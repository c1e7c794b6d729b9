// The fleet: tiles that filter, what needs attention, every version.

import { get, path, query } from "./api.js";
import { ago, h, head, note, number, show, table } from "./dom.js";
import { filters, goTo, mlflow, page, pager } from "./shell.js";
import { ORDER, badge, change, keyMetric, reasons, spark, tile } from "./verdict.js";

const SIZE = 50;
const place = Object.fromEntries(["tiles", "attention", "versions"].map((id) => [id, document.getElementById(id)]));
const key = (name, version) => `${name}\n${version}`;

const chosen = filters(document.getElementById("filters"), () => draw());
const draw = page(place.versions, async () => {
  const [checked, found, unwatched, stale] = await Promise.all([
    everything("/monitoring"), rows(), count("production_without_monitor"), count("production_stale"),
  ]);
  drawTiles(checked, unwatched, stale);
  drawAttention(checked);
  drawVersions(found, new Map(checked.map((row) => [key(row.model_name, row.model_version), row])));
});

// What is monitored is some hundreds; a page holds a thousand.
async function everything(address) {
  const list = [];
  for (let number = 1; number; ) {
    const { body, pages } = await get(`${address}?page=${number}`);
    list.push(...body);
    number = pages?.next_page ?? 0;
  }
  return list;
}

async function count(finding) {
  const { pages } = await get(`/models/findings?finding=${finding}&page_size=1`);
  return pages?.total ?? 0;
}

async function rows() {
  const { verdict, page: wanted, ...rest } = chosen();
  const number = Number(wanted) || 1;
  if (!verdict) {
    const found = await get(`/models/all${query({ ...rest, page: number, page_size: SIZE })}`);
    return { ...found, number };
  }
  const found = await get(`/monitoring${query({ verdict, name: rest.name, stage: rest.stage, page: number, page_size: SIZE })}`);
  const body = found.body
    .map((row) => ({ name: row.model_name, version: row.model_version, stage: row.stage, model_type: row.model_type, aliases: null, metrics: {} }));
  return { ...found, body, number };
}

function drawTiles(checked, unwatched, stale) {
  const { verdict } = chosen();
  const link = (finding, total, words) => h("a", { class: "tile link", "data-key": finding, href: `/ui/findings?finding=${finding}` },
    h("strong", {}, String(total)), h("span", {}, words));
  show(place.tiles,
    ORDER.map((one) => tile(one, checked.filter((row) => row.verdict === one).length, verdict === one, () => goTo("verdict", verdict === one ? "" : one))),
    link("production_without_monitor", unwatched, "Production, not monitored"),
    link("production_stale", stale, "stale in Production"));
}

function drawAttention(checked) {
  const bad = checked.filter((row) => row.verdict === "drifting" || row.verdict === "degraded")
    .sort((a, b) => ORDER.indexOf(a.verdict) - ORDER.indexOf(b.verdict) || b.since.localeCompare(a.since));
  if (!checked.length) {
    show(place.attention, note("Nothing is monitored yet. ", h("a", { href: "/ui/?stage=Production", "data-key": "begin" }, "Open a model in Production"), ", and register a version for monitoring."));
  } else if (!bad.length) {
    show(place.attention, note("Nothing: no monitored version is drifting or degraded."));
  } else {
    show(place.attention, h("ul", { class: "cards" }, bad.slice(0, 20).map((row) => h("li", { class: "card" },
      h("a", { href: path.model(row.model_name), "data-key": `bad-${key(row.model_name, row.model_version)}` }, `${row.model_name} v${row.model_version}`),
      " ", badge(row.verdict), " ", h("span", { class: "quiet" }, ago(row.since)),
      h("div", {}, reasons(row.reasons))))),
      bad.length > 20 && note(`and ${bad.length - 20} more`));
  }
}

function drawVersions({ body, pages, number: at, stale, mock }, checks) {
  if (!body.length) {
    const filtered = Object.keys(chosen()).length > 0;
    show(place.versions, note(filtered ? "No model version matches the filters." : "There is no model version in MLflow yet."));
    return;
  }
  show(place.versions,
    mock && note("This is sample data: MLflow cannot be reached."),
    stale && note("This data is older than it should be."),
    table("Model versions", ["Model", "Version", "Stage", "Aliases", "Type", "Verdict", "Metric", "Against baseline", "Lately", "Last logged", ...(document.body.dataset.mlflow ? ["MLflow"] : [])],
      body.map((row) => line(row, checks.get(key(row.name, row.version))))),
    pager(pages, at, (target) => goTo("page", target === 1 ? "" : String(target))));
}

function line(row, check) {
  const metrics = check && Object.keys(check.metrics).length ? check.metrics
    : Object.fromEntries(Object.entries(row.metrics).map(([name, last]) => [name, { last }]));
  const name = keyMetric(metrics);
  const metric = name ? metrics[name] : null;
  const address = `models/${encodeURIComponent(row.name)}/versions/${row.version}`;
  return [
    head(h("a", { href: path.model(row.name), "data-key": `row-${key(row.name, row.version)}` }, row.name)), row.version, row.stage ?? "–",
    row.aliases === null ? "–" : row.aliases.join(", "), row.model_type ?? "–",
    check ? badge(check.verdict) : h("span", { class: "quiet" }, "not monitored"),
    metric ? `${name} ${number(metric.last)}` : "–", change(metric), spark(metric?.recent),
    metric?.last_at ? ago(metric.last_at) : "–",
    ...(document.body.dataset.mlflow ? [mlflow(address, "open")] : []),
  ];
}
