// Every registration with its verdict, and the history of all of them.

import { get, path, query } from "./api.js";
import { ago, h, named, none, number, table } from "./dom.js";
import { historyList } from "./history.js";
import { list, pager } from "./list.js";
import { monitoringButtons } from "./monitor.js";
import { addressValues, mayWrite, redraw } from "./shell.js";
import { badge, change, reasons, since, spark } from "./verdict.js";

const PAGE_SIZE = 50;
const MOST_EVENTS = 30;
const COLUMNS = [
  "Model version", "Verdict", "Reason", "Metric", "vs baseline", "Trend", "Last check", "Registered by",
  ...(mayWrite ? ["Actions"] : []),
];

const versionLink = (name, version) => h("a", { href: path.model(name) }, named(name, ` v${version}`));

list(document.getElementById("list"), {
  form: document.getElementById("filters"),
  read: (signal) => get(`/monitoring${query({ sort: "verdict", ...addressValues(), page_size: PAGE_SIZE })}`, signal),
  content: (rows) => table("Monitored versions", COLUMNS, rows.map(tableRow)),
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
  seconds: 60,
});

function tableRow(row) {
  const metric = row.metric ?? {};
  const version = { version: row.model_version, metrics: {} };
  return {
    key: row.monitor_run_id,
    cells: [
      [versionLink(row.model_name, row.model_version), h("div", { class: "quiet" },
        [row.stage === "None" ? null : row.stage, row.model_type].filter(Boolean).join(", "))],
      [badge(row.verdict), " ", since(row)],
      reasons(row.reasons, row.verdict),
      metric.name ? [h("span", { class: "quiet" }, `${metric.name} `), number(metric.last)] : none(),
      change(metric),
      spark(metric.recent, metric.verdict),
      ago(row.checked_at),
      [h("bdi", {}, row.registered_by), " ", h("span", { class: "quiet" }, ago(row.registered_at))],
      ...(mayWrite ? [monitoringButtons(row.model_name, version, row, redraw, `${row.model_name} version`)] : []),
    ],
  };
}
