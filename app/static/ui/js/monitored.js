// Every registration with its verdict.

import { get, path, query } from "./api.js";
import { ago, h, head, note, number, show, table } from "./dom.js";
import { filters, goTo, page, pager } from "./shell.js";
import { badge, change, events, keyMetric, reasons, spark } from "./verdict.js";

const list = document.getElementById("list");
const history = document.getElementById("history");
const chosen = filters(document.getElementById("filters"), () => draw());
const draw = page(list, async () => {
  const at = Number(chosen().page) || 1;
  const [found, happened] = await Promise.all([
    get(`/monitoring${query({ ...chosen(), page: at, page_size: 50 })}`), get("/monitoring/history?page_size=30"),
  ]);
  if (!found.body.length) {
    const { page: _, ...rest } = chosen();
    show(list, note(Object.keys(rest).length ? "No registration matches the filters." : ["Nothing is monitored yet. ", h("a", { href: "/ui/?stage=Production", "data-key": "begin" }, "Open a model in Production"), ", and register a version for monitoring."]));
  } else {
    show(list,
      table("Monitored versions", ["Model", "Version", "Type", "Verdict", "Since", "Why", "Metric", "Against baseline", "Lately", "Checked", "Registered by"],
        found.body.map(line)),
      pager(found.pages, at, (target) => goTo("page", target === 1 ? "" : String(target))));
  }
  show(history, happened.body.length ? h("ul", { class: "events" }, events(happened.body)) : note("Nothing yet."));
});

function line(row) {
  const name = keyMetric(row.metrics);
  const metric = name ? row.metrics[name] : null;
  return [
    head(h("a", { href: path.model(row.model_name), "data-key": `${row.model_name} ${row.model_version}` }, row.model_name)),
    row.model_version, row.model_type, badge(row.verdict), ago(row.since), reasons(row.reasons, row.verdict === "healthy" || row.verdict === "insufficient_data"),
    metric ? `${name} ${number(metric.last)}` : "–", change(metric), spark(metric?.recent), ago(row.checked_at), row.registered_by,
  ];
}
