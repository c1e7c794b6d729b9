// Every registration with its verdict, and the history of all of them.

import { get, path, query } from "./api.js";
import { ago, h, named, none, number, table } from "./dom.js";
import { historyList } from "./history.js";
import { list, pager, sortable } from "./list.js";
import { monitoringButtons } from "./monitor.js";
import { addressValues, mayWrite, redraw } from "./shell.js";
import { badge, change, isBad, marks, reasons, since, spark } from "./verdict.js";

const PAGE_SIZE = 50;
const MOST_EVENTS = 50;
const EVENTS_AT_FIRST = 10;
// The cells that a card on a narrow screen always shows.
const [VERDICT, REASON] = [1, 3];
const columns = () => [
  sortable("Model version", "name"), sortable("Verdict", "verdict", true), sortable("Since", "-since"), "Reason",
  "Metric", "Trend", "Owner", ...(mayWrite ? ["Actions"] : []),
];

const versionLink = (name, version) => h("a", { href: path.model(name) }, named(name, ` v${version}`));

list(document.getElementById("list"), {
  form: document.getElementById("filters"),
  read: (signal) => get(`/monitoring${query({ sort: "verdict", ...addressValues(), page_size: PAGE_SIZE })}`, signal),
  content: (rows) => table("Monitored versions", columns(), rows.map(tableRow)),
  rest: pager,
  nothing: () => [
    "Nothing is monitored yet. ", h("a", { href: "/ui/?stage=Production" }, "Open a model in Production"),
    " and monitor one of its versions.",
  ],
});

historyList(document.getElementById("history"), {
  values: { page_size: MOST_EVENTS },
  link: (event) => versionLink(event.name, event.version),
  nothing: () => "Nothing has happened yet.",
  step: EVENTS_AT_FIRST,
  seconds: 60,
});

function tableRow(row) {
  const metric = row.metric ?? {};
  const version = { version: row.model_version, metrics: {} };
  return {
    key: row.monitor_run_id,
    name: `${row.model_name} version ${row.model_version}`,
    brief: isBad(row.verdict) ? [VERDICT, REASON] : [VERDICT],
    cells: [
      [versionLink(row.model_name, row.model_version), " ", h("div", { class: "quiet" },
        [row.stage === "None" ? null : row.stage, row.model_type].filter(Boolean).join(", "))],
      [badge(row.verdict), marks(row)],
      since(row),
      reasons(row.reasons, row.verdict),
      metric.name
        ? [h("span", { class: "quiet" }, `${metric.name} `), number(metric.last),
          h("div", {}, change(metric), metric.change !== null && h("span", { class: "quiet" }, " vs baseline"))]
        : none(),
      [spark(metric.recent, metric.verdict), h("div", { class: "quiet" }, "checked ", ago(row.checked_at))],
      [row.owner ?? none(),
        h("div", { class: "quiet" }, "registered by ", h("bdi", {}, row.registered_by), " ", ago(row.registered_at))],
      ...(mayWrite ? [monitoringButtons(row.model_name, version, row, redraw, `${row.model_name} version`)] : []),
    ],
  };
}
