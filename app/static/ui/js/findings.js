// The findings: what is out of order in the registry, and what to do about it.

import { get, path, query } from "./api.js";
import { h, named, none, show, table } from "./dom.js";
import { list, pager } from "./list.js";
import { monitorButton } from "./monitor.js";
import { addressValues, always, choices, onAddress, part, redraw, setAddress } from "./shell.js";

const PAGE_SIZE = 50;
const SECONDS = 30;
// The cell that a card on a narrow screen always shows.
const FINDING = 3;
const kinds = document.getElementById("kinds");

const WORDS = new Map(choices.finding_of_any);
const words = (kind) => WORDS.get(kind) ?? kind;

const drawKinds = part(kinds, async (signal) => {
  const { body } = await get("/fleet/summary", signal);
  const { finding } = addressValues();
  const chip = ([kind, count]) => h("button", {
    type: "button", class: "chip", "aria-pressed": String(kind === finding),
    onclick: () => setAddress({ finding: kind === finding ? "" : kind }),
  }, `${words(kind)} `, h("strong", {}, String(count)));
  show(kinds, Object.entries(body.findings).map(chip));
}, { seconds: SECONDS, of: always });

list(document.getElementById("list"), {
  form: document.getElementById("filters"),
  read: (signal) => get(`/models/findings${query({ ...addressValues(), page_size: PAGE_SIZE })}`, signal),
  content: (rows, { mock }) => table("Findings", ["Model", "Version", "Owner", "Finding", "Details", "What to do"],
    rows.map((row) => tableRow(row, mock))),
  rest: pager,
  nothing: () => "No problems were found.",
  seconds: SECONDS,
});
onAddress(drawKinds);

// The sample fleet is not in MLflow, so none of it can be registered.
function tableRow(row, mock) {
  const offersMonitoring = row.finding === "production_without_monitor" && !mock;
  const isOfRule = row.finding === "rule_matches_nothing";
  return {
    key: `${row.finding} ${row.version} ${row.name}`,
    name: `${words(row.finding)}: ${row.name}`,
    brief: [FINDING],
    cells: [
      isOfRule ? named(row.name) : h("a", { href: path.model(row.name) }, named(row.name)),
      row.version ?? (isOfRule ? "" : "all"),
      row.owner ?? none(),
      words(row.finding),
      row.detail,
      [row.action,
        offersMonitoring && h("div", {}, monitorButton(row.name, { version: row.version, metrics: {} }, redraw))],
    ],
  };
}
