// Verdicts: always a sign, a word and a colour. No data is never green.

import { ago, h, number, svg } from "./dom.js";

const SIGNS = { healthy: "✓", degraded: "!", drifting: "✕", insufficient_data: "?" };
const WORDS = { insufficient_data: "no data" };
export const ORDER = ["drifting", "degraded", "healthy", "insufficient_data"];
const KEY_METRICS = ["accuracy", "f1_score", "f1", "roc_auc", "auc", "rmse", "mae", "r2", "precision", "recall", "loss"];

export const word = (verdict) => WORDS[verdict] ?? verdict;

export function badge(verdict) {
  return h("span", { class: `word ${verdict}` }, h("span", { "aria-hidden": "true" }, `${SIGNS[verdict] ?? "?"} `), word(verdict));
}

export function tile(verdict, count, pressed, toggle) {
  return h("button", { type: "button", class: `tile ${verdict}`, "data-key": `tile-${verdict}`, "aria-pressed": String(pressed), onclick: toggle },
    h("strong", {}, String(count)), h("span", {}, h("span", { "aria-hidden": "true" }, `${SIGNS[verdict] ?? "•"} `), word(verdict)));
}

// The metric to show of many: the worst, then the best known.
export function keyMetric(metrics) {
  const names = Object.keys(metrics ?? {});
  const rank = (name) => {
    const known = KEY_METRICS.indexOf(name);
    return ORDER.indexOf(metrics[name].verdict ?? "insufficient_data") * 100 + (known < 0 ? 50 : known);
  };
  return names.sort((a, b) => rank(a) - rank(b))[0] ?? null;
}

export function change(metric) {
  if (!metric?.baseline || metric.last === null) return h("span", { class: "quiet" }, "–");
  const by = metric.last - metric.baseline.mean;
  return h("span", {}, `${by >= 0 ? "+" : "−"}${number(Math.abs(by))}`);
}

// The last values as a line; the number beside it says the same in words.
export function spark(values) {
  const width = 96;
  const height = 24;
  const found = (values ?? []).filter((value) => value !== null);
  if (found.length < 2) return h("span", { class: "quiet" }, "–");
  const least = Math.min(...found);
  const range = Math.max(...found) - least || 1;
  const points = found.map((value, at) => `${((at / (found.length - 1)) * width).toFixed(1)},${(height - 2 - ((value - least) / range) * (height - 4)).toFixed(1)}`);
  return svg("svg", { class: "spark", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", focusable: "false" },
    svg("polyline", { points: points.join(" ") }));
}

export function reasons(list, folded = false) {
  if (list.length < 2) return list[0] ?? "";
  const rows = (some) => h("ul", { class: "reasons" }, some.map((reason) => h("li", {}, reason)));
  // Of what is well one line is enough to begin with.
  if (!folded) return rows(list);
  return h("details", {}, h("summary", {}, `${list[0]} (and ${list.length - 1} more)`), rows(list.slice(1)));
}

export function events(list) {
  return list.map((event) => h("li", {},
    ago(event.at), " ", h("strong", {}, `${event.name} v${event.version}`), " ",
    event.event === "verdict" ? ["is ", badge(event.verdict), ` was ${word(event.before)}`] : event.event,
    event.event !== "verdict" && event.by ? ` by ${event.by}` : "",
    event.reasons.length ? h("div", { class: "quiet" }, event.reasons.join("; ")) : null));
}
