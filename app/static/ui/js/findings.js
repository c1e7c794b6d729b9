// What is out of order in the registry.

import { get, path, query } from "./api.js";
import { h, named, show, table } from "./dom.js";
import { monitorButton } from "./monitor.js";
import { aged, ask, chosen, empty, filters, pager, part, redraw } from "./shell.js";

const SIZE = 50;
const list = document.getElementById("list");
const kinds = document.getElementById("kinds");

filters(document.getElementById("filters"));
const drawKinds = part(kinds, async (signal) => {
  const { body } = await get("/fleet/summary", signal);
  const { finding } = chosen();
  show(kinds, Object.entries(body.findings).map(([kind, count]) => h("button", {
    type: "button", class: "chip", "aria-pressed": String(kind === finding), onclick: () => ask({ finding: kind === finding ? "" : kind }),
  }, `${kind.replaceAll("_", " ")} `, h("strong", {}, String(count)))));
}, { seconds: 30, of: () => "" });
const drawList = part(list, async (signal) => {
  const found = await get(`/models/findings${query({ ...chosen(), page_size: SIZE })}`, signal);
  const { page: _, ...others } = chosen();
  show(list, aged(found), found.body.length
    ? [table("Findings", ["Model", "Version", "Finding", "What was found", "What to do"], found.body.map((row) => ({
      key: `${row.finding} ${row.version} ${row.name}`,
      cells: [h("a", { href: path.model(row.name) }, named(row.name)), row.version ?? "all", row.finding.replaceAll("_", " "), row.detail, [row.action, row.finding === "production_without_monitor" && !found.mock && h("div", {}, monitorButton(row.name, { version: row.version, metrics: {} }, redraw))]],
    }))), pager(found.pages)]
    : empty(found.pages, Object.keys(others).length > 0, "Nothing is out of order."));
}, { seconds: 30 });
addEventListener("asked", () => {
  drawKinds();
  drawList();
});
