// What is out of order in the registry.

import { get, path, query } from "./api.js";
import { h, head, note, show, table } from "./dom.js";
import { filters, goTo, page, pager } from "./shell.js";

const list = document.getElementById("list");
const chosen = filters(document.getElementById("filters"), () => draw());
const draw = page(list, async () => {
  const at = Number(chosen().page) || 1;
  const { body, pages } = await get(`/models/findings${query({ ...chosen(), page: at, page_size: 50 })}`);
  if (!body.length) {
    const { page: _, ...rest } = chosen();
    show(list, note(Object.keys(rest).length ? "No finding matches the filters." : "Nothing is out of order."));
    return;
  }
  show(list,
    table("Findings", ["Model", "Version", "Finding", "What was found", "What to do"],
      body.map((row) => [
        head(h("a", { href: path.model(row.name), "data-key": `${row.name} ${row.version} ${row.finding}` }, row.name)), row.version ?? "–", row.finding.replaceAll("_", " "), row.detail, row.action,
      ])),
    pager(pages, at, (target) => goTo("page", target === 1 ? "" : String(target))));
}, 30);
