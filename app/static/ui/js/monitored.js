// Every registration with its verdict, and what happened.

import { get, path, query } from "./api.js";
import { ago, h, named, none, note, number, show, table } from "./dom.js";
import { edit, remove } from "./monitor.js";
import { aged, chosen, empty, filters, mayWrite, pager, part, redraw } from "./shell.js";
import { badge, change, events, reasons, spark } from "./verdict.js";

const SIZE = 50;
const EVENTS = 30;
const list = document.getElementById("list");
const happened = document.getElementById("history");

filters(document.getElementById("filters"));
const drawList = part(list, async (signal) => {
  const found = await get(`/monitoring${query({ sort: "verdict", ...chosen(), page_size: SIZE })}`, signal);
  const { page: _, sort: __, ...others } = chosen();
  show(list, aged(found), found.body.length
    ? [table("Monitored versions", ["Model version", "Verdict", "Why", "Metric", "Against baseline", "Lately", "Checked", "Registered", ...(mayWrite ? ["Change"] : [])], found.body.map(line)), pager(found.pages)]
    : empty(found.pages, Object.keys(others).length > 0, "Nothing is monitored yet. ", h("a", { href: "/ui/?stage=Production" }, "Open a model in Production"), ", and monitor one of its versions."));
});
addEventListener("asked", () => drawList());

// The history is read from MLflow, so it is not asked for as often.
part(happened, async (signal) => {
  const { body } = await get(`/monitoring/history?page_size=${EVENTS}`, signal);
  show(happened, body.length ? events(body, (event) => h("a", { href: path.model(event.name) }, named(event.name, ` v${event.version}`))) : note("Nothing yet."));
}, { seconds: 60, of: () => "" });

function line(row) {
  const metric = row.metric ?? {};
  return {
    key: row.monitor_run_id,
    cells: [
      [h("a", { href: path.model(row.model_name) }, named(row.model_name, ` v${row.model_version}`)),
        h("div", { class: "quiet" }, [row.stage === "None" ? null : row.stage, row.model_type].filter(Boolean).join(", "))],
      [badge(row.verdict), " ", h("span", { class: "quiet" }, ago(row.since))], reasons(row.reasons, row.verdict),
      metric.name ? [h("span", { class: "quiet" }, `${metric.name} `), number(metric.last)] : none(), change(metric), spark(metric.recent, metric.verdict),
      ago(row.checked_at), [h("bdi", {}, row.registered_by), " ", h("span", { class: "quiet" }, ago(row.registered_at))],
      ...(mayWrite ? [h("div", { class: "row" },
        h("button", { type: "button", "aria-label": `Settings of ${row.model_name} version ${row.model_version}`, onclick: () => edit(row.model_name, { version: row.model_version, metrics: {} }, row, redraw) }, "Settings …"),
        h("button", { type: "button", "aria-label": `Remove ${row.model_name} version ${row.model_version} from monitoring`, onclick: () => remove(row.model_name, row.model_version, redraw) }, "Remove …"))] : []),
    ],
  };
}
