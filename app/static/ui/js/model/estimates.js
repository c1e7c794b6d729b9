// The performance of a version as estimated window by window, with what it really was once labels came.

import { drawChart, isDrawable } from "../chart.js";
import { h, none, note, number, table } from "../dom.js";
import { moreButton } from "../list.js";
import { addressValues, announce } from "../shell.js";
import { secondsFrom, zoom, zoomed } from "./charts.js";
import { windowName } from "./strip.js";

// In the order in which they are shown.
const FIGURES = {
  roc_auc: "ROC AUC", accuracy: "accuracy", f1: "F1", precision: "precision", recall: "recall", rmse: "RMSE",
  mae: "MAE", bias: "bias",
};

const isNumber = (value) => value !== null && value !== undefined;

// The lines of a figure: the estimate, and the realised values as dots.
function linesOf(figure, windows) {
  const line = (label, of, isDots) => ({
    label,
    isDots,
    points: windows.filter((window) => isNumber(window[of]?.[figure]))
      .map((window) => ({ time: window.start, value: window[of][figure], fired: [] })),
  });
  return [line("estimated", "estimated", false), line("realised", "realised", true)];
}

function shownFigures({ windows, summary }) {
  const fallen = summary?.estimated_fall?.figure;
  const known = Object.keys(FIGURES).filter((figure) => linesOf(figure, windows).some(({ points }) => points.length));
  return known.sort((a, b) => (b === fallen) - (a === fallen));
}

const place = (figure) => `data ${figure}`;
const isTable = () => addressValues().table === "yes";

// Charts of the figures, or one table of them. They are drawn by `drawFigures` when they are on the page.
export function figures(body, most, showMore) {
  const known = shownFigures(body);
  const reason = body.windows.at(-1)?.no_estimate;
  if (!known.length) return reason && note(`Nothing is estimated. ${reason}`);
  return [
    h("h3", { class: "over" }, "Performance: estimated and realised"),
    note(
      reason
        ? `No estimate for the newest window. ${reason}`
        : "The estimate assumes that inputs that look the same still have the same label as often as in the reference.",
      " Realised figures are those of the labels that came."),
    isTable()
      ? figureTable(known, body.windows)
      : h("div", { class: "charts" }, known.slice(0, most).map((figure) => chart(figure, body.windows))),
    !isTable() && known.length > most && moreButton(`Show more of ${known.length} figures`, showMore),
  ];
}

function chart(figure, windows) {
  const lines = linesOf(figure, windows);
  const words = lines.filter(({ points }) => points.length)
    .map(({ label, points }) => `${label}, ${points.length} windows, last ${number(points.at(-1).value)}`);
  const last = ({ points }) => (points.length ? number(points.at(-1).value) : "none yet");
  return h("figure", { class: "figure", "data-key": place(figure) },
    h("figcaption", {},
      h("h3", {}, FIGURES[figure]),
      h("ul", { class: "legend" }, lines.map((line, index) => h("li", {},
        h("span", { class: `swatch ink-line-${index}`, "aria-hidden": "true" }, line.isDots ? "●" : "━"),
        ` ${line.label} `, h("span", { class: "quiet" }, last(line)))))),
    h("div", {
      class: "chart", "data-kept": true, "data-metric": place(figure), role: "img", tabindex: "0",
      "aria-label": `${FIGURES[figure]}: ${words.join("; ")}`,
    }),
    h("div", { class: "readout", "aria-hidden": "true", "data-kept": true, hidden: true }));
}

export function drawFigures(section, { windows }) {
  const times = windows.map(({ start }) => secondsFrom(start));
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const view = { span: zoomed() ?? (from < to ? [from, to] : [from - 1, to + 1]), zoom, say: announce };
  for (const figure of Object.keys(FIGURES)) {
    const chart = section.querySelector(`[data-metric="${place(figure)}"]`);
    const lines = linesOf(figure, windows);
    if (chart && isDrawable(lines)) drawChart(chart, lines, view);
  }
}

function figureTable(known, windows) {
  const value = (figure, window) => {
    const [estimate, real] = [window.estimated?.[figure], window.realised?.[figure]];
    if (!isNumber(estimate) && !isNumber(real)) return none();
    return [isNumber(estimate) && `estimated ${number(estimate)}`, isNumber(real) && `realised ${number(real)}`]
      .filter(Boolean).join(", ");
  };
  const rows = windows.filter(({ estimated, realised }) => estimated || realised).reverse();
  return table("Performance", ["Window", "Rows", "Labels", ...known.map((figure) => FIGURES[figure])],
    rows.map((window) => ({
      key: window.start,
      cells: [windowName(window), window.rows, window.labelled_rows, ...known.map((figure) => value(figure, window))],
    })));
}
