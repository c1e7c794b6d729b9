// One column in one window: what was judged, and its histogram beside that of the reference.

import { get, path, query } from "../api.js";
import { h, many, note, number, pairs, svg, table } from "../dom.js";
import { addressValues, errorNote, setAddress } from "../shell.js";
import { nameOf, verdictOf, windowName } from "./strip.js";

// A histogram has about so many rows of numbers, and at most so many categories.
const GROUPS = 16;
const MOST_CATEGORIES = 24;
const FEWEST_ROWS = 30;
const BAR = 100;

// The elements of the column and window that the address names; null where it names none.
export async function columnDetail(model, version, { windows, limits }, signal) {
  const { column: name, segment, value, window: start } = addressValues();
  if (!name || !start) return null;
  const asked = query({ window_start: start, segment, value: segment ? value : "" });
  try {
    const address = path.version(model.name, version, `data-drift/${encodeURIComponent(name)}${asked}`);
    const { body } = await get(address, signal);
    const isIt = (column) => column.name === name && (column.segment?.column ?? "") === (segment ?? "")
      && (column.segment?.value ?? "") === (value ?? "");
    const judged = windows.find((window) => window.start === start)?.columns.find(isIt);
    const of = judged ?? { name, segment: segment ? { column: segment, value } : null };
    return detail(of, body, limits);
  } catch (error) {
    if (signal.aborted) throw error;
    return [errorNote(error), closeButton()];
  }
}

const closeButton = () => h("button", {
  type: "button", class: "small-button",
  onclick: () => setAddress({ column: "", segment: "", value: "", window: "" }),
}, "Close");

function detail(column, { window, labels, edges, reference, counts, is_enough: isEnough }, limits) {
  const groups = edges ? groupsOfNumbers(edges, reference, counts) : groupsOfCategories(labels, reference, counts);
  return h("figure", { class: "figure large" },
    h("figcaption", { class: "row" },
      h("h3", {}, h("bdi", {}, nameOf(column)), ` · ${windowName(window)}`), closeButton()),
    column.verdict && h("p", {}, verdictOf(column), `: ${column.words}`),
    !isEnough && note(`A judgement takes ${FEWEST_ROWS} rows, of the reference as of the window.`),
    pairs({
      "Rows": `reference ${reference.rows.toLocaleString("en")}, window ${counts.rows.toLocaleString("en")}`,
      ...(column.verdict ? judgement(column, limits) : {}),
    }),
    histograms(nameOf(column), groups, reference, counts));
}

function judgement(column, limits) {
  const atLeast = (share) => (limits ? `; ${percent(share)} or more matters` : "");
  const change = (share) => `${share < 0 ? "−" : "+"}${percent(Math.abs(share))}`;
  return {
    "Elsewhere than in the reference": percent(column.moved) + atLeast(limits?.moved),
    "Missing": `${change(column.missing_change)} of the rows${atLeast(limits?.missing)}`,
    "New or rare": `${change(column.unknown_change)} of the values${atLeast(limits?.unknown)}`,
    "Probability by chance": number(column.p_chance),
    "Probability by earlier windows": column.p_history === null
      ? `not known: ${many(column.quiet_windows, "quiet window")}`
      : `${number(column.p_history)}, of ${many(column.quiet_windows, "quiet window")}`,
  };
}

function percent(share) {
  const value = 100 * share;
  if (value === 0) return "0 %";
  return `${value >= 10 ? value.toFixed(1) : Number(value.toPrecision(2))} %`;
}

// Groups of cells: `{label, reference, present}` with counts.

const groupOf = (label, cells, reference, counts) => {
  const sum = (all) => cells.reduce((total, cell) => total + all.cells[cell], 0);
  return { label, reference: sum(reference), present: sum(counts) };
};

const short = (value) => String(Number(value.toPrecision(4)));

function numbersLabel(edges, first, last) {
  if (first === 0 && last === edges.length) return "any value";
  if (first === 0) return `below ${short(edges[last])}`;
  if (last === edges.length) return `${short(edges[first - 1])} or more`;
  return `${short(edges[first - 1])} to ${short(edges[last])}`;
}

// A frequent value has a cell of its own, which ends at the next number that a computer knows.
const isOneValue = (edges, cell) =>
  cell > 0 && cell < edges.length && edges[cell] - edges[cell - 1] <= Math.abs(edges[cell - 1]) * 2 ** -51;

// Neighbouring cells are joined until they have their part of the values of the reference or of the window.
function groupsOfNumbers(edges, reference, counts) {
  const total = (all) => Math.max(1, all.cells.reduce((sum, count) => sum + count, 0));
  const [referenceTotal, presentTotal] = [total(reference), total(counts)];
  const groups = [];
  let first = 0;
  const close = (last) => {
    if (first > last) return;
    const cells = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const label = first === last && isOneValue(edges, first)
      ? String(Number(edges[first - 1].toPrecision(6)))
      : numbersLabel(edges, first, last);
    groups.push(groupOf(label, cells, reference, counts));
    first = last + 1;
  };
  let [mass, presentMass] = [0, 0];
  for (let cell = 0; cell <= edges.length; cell += 1) {
    if (isOneValue(edges, cell)) {
      close(cell - 1);
      mass = presentMass = 0;
    }
    mass += reference.cells[cell] / referenceTotal;
    presentMass += counts.cells[cell] / presentTotal;
    if (isOneValue(edges, cell) || mass >= 1 / GROUPS || presentMass >= 2 / GROUPS || cell === edges.length) {
      close(cell);
      mass = presentMass = 0;
    }
  }
  return groups;
}

function groupsOfCategories(labels, reference, counts) {
  const all = labels.map((_, cell) => cell);
  const shown = all.length > MOST_CATEGORIES ? all.slice(0, MOST_CATEGORIES - 1) : all;
  const rest = all.slice(shown.length);
  return [
    ...shown.map((cell) => groupOf(labels[cell], [cell], reference, counts)),
    ...(rest.length ? [groupOf(many(rest.length, "other category", "other categories"), rest, reference, counts)] : []),
  ];
}

function histograms(name, groups, reference, counts) {
  const rows = [
    ...groups.map((group) => ({ ...group, key: `cell ${group.label}` })),
    { key: "missing", label: "missing", reference: reference.missing, present: counts.missing },
    { key: "unknown", label: "new or rare", reference: reference.unknown, present: counts.unknown },
  ];
  const shares = rows.map((row) => ({
    ...row,
    reference: row.reference / Math.max(1, reference.rows),
    present: row.present / Math.max(1, counts.rows),
  }));
  const most = Math.max(...shares.flatMap((row) => [row.reference, row.present])) || 1;
  const bar = (share, kind) => h("div", { class: "share" },
    h("span", {}, percent(share)),
    svg("svg", {
      class: `bar ${kind}`, viewBox: `0 0 ${BAR} 10`, preserveAspectRatio: "none", "aria-hidden": "true",
      focusable: "false",
    }, svg("rect", { x: 0, y: 0, width: ((share / most) * BAR).toFixed(2), height: 10 })));
  return table(`Histograms of ${name}, as shares of the rows`, ["Value", "Reference", "Window"], shares.map((row) => ({
    key: row.key,
    cells: [
      row.key === "missing" || row.key === "unknown" ? h("em", {}, row.label) : h("bdi", {}, row.label),
      bar(row.reference, "reference"), bar(row.present, "present"),
    ],
  })));
}
