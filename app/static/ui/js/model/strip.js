// The strip: a row for each column of the data, a cell for each window, so that a look finds what moved and when.

import { day, h, many, note } from "../dom.js";
import { moreButton } from "../list.js";
import { addressValues, announce } from "../shell.js";

const SIGNS = { moved: "✕", out: "!", quiet: "·", too_few_rows: "?" };
const WORDS = { moved: "moved", out: "out in this window", quiet: "quiet", too_few_rows: "too few rows" };
// The worst first.
const RANKS = ["moved", "out", "quiet", "too_few_rows"];
const MOST_WINDOWS = 90;
const DAY_MS = 86_400_000;

// The name of a column, or of a column over the rows of a segment.
export const nameOf = ({ name, segment }) =>
  (segment ? `${name} where ${segment.column} is ${segment.value}` : name);

export function windowName({ start, end }) {
  const [from, to] = [Date.parse(start), Date.parse(end)];
  if (to - from < DAY_MS) return `${day(start)} ${start.slice(11, 16)}`;
  return to - from > DAY_MS ? `${day(start)} to ${day(new Date(to - 1).toISOString())}` : day(start);
}

export const verdictOf = (column) => [
  h("span", { class: `word ${column.verdict}` },
    h("span", { "aria-hidden": "true" }, `${SIGNS[column.verdict]} `), WORDS[column.verdict]),
  column.is_provisional && column.verdict === "out" && h("span", { class: "quiet" }, " provisional"),
];

const keyOf = ({ name, segment }) => JSON.stringify([name, segment?.column, segment?.value]);

// The columns of all windows, the worst first: `{key, name, segment, role, cells}`, where a cell is what was judged of
// the column in the window of the same index.
function rowsOf(windows) {
  const rows = new Map();
  windows.forEach((window, at) => {
    for (const column of window.columns) {
      const key = keyOf(column);
      if (!rows.has(key)) rows.set(key, { key, ...column, cells: new Array(windows.length).fill(null) });
      rows.get(key).cells[at] = column;
    }
  });
  const ranked = [...rows.values()].map((row) => ({ row, rank: rankOf(row.cells.filter(Boolean)) }));
  const compare = (a, b) => a.findIndex((each, at) => each !== b[at]);
  ranked.sort((a, b) => {
    const at = compare(a.rank, b.rank);
    return at < 0 ? a.row.key.localeCompare(b.row.key) : a.rank[at] - b.rank[at];
  });
  return ranked.map(({ row }) => row);
}

function rankOf(cells) {
  const newest = cells.at(-1);
  const strength = Math.max(newest.moved, Math.abs(newest.missing_change), Math.abs(newest.unknown_change));
  const out = cells.filter(({ verdict }) => verdict === "moved" || verdict === "out").length;
  return [RANKS.indexOf(newest.verdict), -out, -strength];
}

// What is chosen.
const chosenKey = () => {
  const { column, segment, value } = addressValues();
  return column ? keyOf({ name: column, segment: segment ? { column: segment, value: value ?? "" } : null }) : null;
};

// `most` is how many columns are shown, and `showMore` shows more of them. `focused` is the cell that had the focus
// last.
export function strip({ windows: all }, most, showMore, focused) {
  const windows = all.slice(-MOST_WINDOWS);
  const rows = rowsOf(windows);
  if (!windows.length) return note("No window was counted in this period.");
  if (!rows.length) return note(`${many(windows.length, "window")} counted, and none is judged yet.`);
  const shown = rows.slice(0, most);
  const reached = reachedCell(shown, windows, focused);
  return [
    h("div", {
      class: "scroll strip-region", "data-key": "strip", tabindex: "0", role: "region",
      "aria-label": "Table: what moved, by column and window",
    },
      h("table", { class: "strip", role: "grid", "aria-label": "What moved, by column and window" },
        heads(windows),
        h("tbody", {}, shown.map((row) => stripRow(row, windows, reached))))),
    note(
      "✕ moved, in two of the last three windows; ! out in this window; · quiet; ? too few rows; r part of the "
        + "reference; – no rows. Choose a cell, or move with the arrow keys, to see the histograms. Days are in UTC.",
      all.length > windows.length && ` The newest ${windows.length} of ${all.length} windows are shown.`),
    rows.length > most && moreButton(`Show more of ${rows.length} columns`, showMore),
  ];
}

// The cell that the Tab key reaches.
function reachedCell(rows, windows, focused) {
  const isThere = ({ key, start }) =>
    rows.some((row) => row.key === key && row.cells[windows.findIndex((window) => window.start === start)]);
  const chosen = { key: chosenKey(), start: addressValues().window };
  const wanted = [focused, chosen].find((cell) => cell && isThere(cell));
  return wanted ?? { key: rows[0].key, start: windows[rows[0].cells.findLastIndex(Boolean)].start };
}

// Two rows of heads: the months, or the days of windows that are shorter than a day, and each window.
function heads(windows) {
  const isShort = windows.some(({ start, end }) => Date.parse(end) - Date.parse(start) < DAY_MS);
  const groups = [];
  for (const { start } of windows) {
    const label = isShort ? day(start) : day(start).split(" ").slice(1).join(" ");
    if (groups.at(-1)?.label === label) groups.at(-1).count += 1;
    else groups.push({ label, count: 1 });
  }
  const short = ({ start }) => (isShort ? start.slice(11, 13) : String(Number(start.slice(8, 10))));
  return h("thead", {},
    h("tr", {},
      h("th", { scope: "col", rowspan: "2" }, "Column"),
      groups.map(({ label, count }) => h("th", { scope: "colgroup", colspan: String(count) }, label))),
    h("tr", {}, windows.map((window) =>
      h("th", { scope: "col", abbr: windowName(window) }, short(window)))));
}

function stripRow(row, windows, reached) {
  const newest = row.cells.findLast(Boolean);
  const chosen = chosenKey() === row.key ? addressValues().window : null;
  const cell = (column, window) => {
    if (!column) return h("td", { class: "none" }, window.is_reference ? "r" : "–");
    const words = `${nameOf(row)}, ${windowName(window)}: ${WORDS[column.verdict]}, ${column.words}`;
    const isReached = reached.key === row.key && reached.start === window.start;
    return h("td", {}, h("button", {
      type: "button", class: column.verdict, "data-start": window.start, title: words, "aria-label": words,
      tabindex: isReached ? "0" : "-1", "aria-pressed": String(chosen === window.start),
    }, SIGNS[column.verdict]));
  };
  return h("tr", { "data-key": row.key },
    h("th", { scope: "row" },
      h("span", { class: "name" }, h("bdi", {}, nameOf(row))), " ",
      row.role !== "input" && h("span", { class: "quiet" }, `${row.role} `),
      verdictOf(newest)),
    row.cells.map((column, at) => cell(column, windows[at])));
}

// Clicks and keys of the cells, for as long as the page is there. `choose` gets the values of the address of a cell.
// Returns a function that returns the cell that had the focus last, null if none had it.
export function bindStrip(place, choose) {
  let focused = null;
  const cellOf = (target) => target.closest?.(".strip button");
  place.addEventListener("click", ({ target }) => {
    const cell = cellOf(target);
    if (!cell) return;
    const [column, segment = "", value = ""] = JSON.parse(cell.closest("tr").dataset.key).map((each) => each ?? "");
    choose({ column, segment, value, window: cell.dataset.start });
    announce(`${cell.ariaLabel}. The histograms are below the table.`);
  });
  place.addEventListener("focusin", ({ target }) => {
    const cell = cellOf(target);
    if (!cell) return;
    focused = { key: cell.closest("tr").dataset.key, start: cell.dataset.start };
    for (const other of place.querySelectorAll(".strip button[tabindex='0']")) other.tabIndex = -1;
    cell.tabIndex = 0;
  });
  place.addEventListener("keydown", (event) => {
    const cell = cellOf(event.target);
    const next = cell && neighbour(cell, event.key);
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  return () => focused;
}

function neighbour(cell, key) {
  const row = cell.closest("tr");
  const cells = [...row.querySelectorAll("button")];
  const at = cells.indexOf(cell);
  const inRow = (other) => other?.querySelector(`button[data-start="${cell.dataset.start}"]`);
  return {
    ArrowLeft: () => cells[at - 1],
    ArrowRight: () => cells[at + 1],
    Home: () => cells[0],
    End: () => cells.at(-1),
    ArrowUp: () => inRow(row.previousElementSibling),
    ArrowDown: () => inRow(row.nextElementSibling),
  }[key]?.() ?? null;
}
