// Verdicts: always a sign, a word and a colour.

import { ago, h, none, number, prose, svg } from "./dom.js";
import { choices } from "./shell.js";

// A verdict without a sign of its own has the sign for "not known".
const SIGNS = { drifting: "✕", degraded: "!", healthy: "✓" };
const UNKNOWN = "?";
const WORDS = new Map(choices.verdict);
// The worst first.
export const VERDICTS = [...WORDS.keys()];

export const word = (verdict) => WORDS.get(verdict) ?? verdict;

export const isBad = (verdict) => verdict === "drifting" || verdict === "degraded";

const sign = (verdict) => h("span", { "aria-hidden": "true" }, `${SIGNS[verdict] ?? UNKNOWN} `);

export function badge(verdict) {
  if (!verdict) return h("span", { class: "quiet" }, "not monitored");
  return h("span", { class: `word ${verdict}` }, sign(verdict), word(verdict));
}

// What people did about a verdict, to stand beside it: a muted version is not hidden.
export function marks({ acknowledged, mutes }) {
  const metrics = mutes.map((mute) => mute.metric);
  const muted = metrics.includes(null) ? "muted" : `${metrics.join(", ")} muted`;
  const words = [acknowledged && "acknowledged", mutes.length > 0 && muted].filter(Boolean).join(", ");
  return words && h("span", { class: "quiet" }, ` ${words}`);
}

// How far the last value is from the baseline, and to which side. It has the colour of the verdict only where a rule
// fired.
export function change({ change: difference, worse, verdict } = {}) {
  if (difference === null || difference === undefined) return none();
  const side = { true: "worse", false: "better" }[worse] ?? "";
  return h("span", { class: "change" },
    `${difference >= 0 ? "+" : "−"}${number(Math.abs(difference))} `,
    h("span", { class: isBad(verdict) ? `word ${verdict}` : "quiet" }, side));
}

const SPARK = { width: 110, height: 26, margin: 4 };

// The last values as a small line. It is hidden from screen readers, which have the numbers beside it.
export function spark(values, verdict) {
  const { width, height, margin } = SPARK;
  const finite = (values ?? []).filter((value) => value !== null);
  if (finite.length < 2) return none();
  // The values are scaled first, since the difference of two large numbers may exceed what a number can hold.
  const scale = Math.max(...finite.map(Math.abs)) || 1;
  const least = Math.min(...finite) / scale;
  const range = Math.max(...finite) / scale - least || 1;
  const last = finite.length - 1;
  const x = (index) => (margin + (index / last) * (width - 2 * margin)).toFixed(1);
  const y = (value) => (height - margin - ((value / scale - least) / range) * (height - 2 * margin)).toFixed(1);
  return svg("svg", {
    class: `spark ${isBad(verdict) ? verdict : ""}`, viewBox: `0 0 ${width} ${height}`, width, height,
    "aria-hidden": "true", focusable: "false",
  },
  svg("polyline", { points: finite.map((value, index) => `${x(index)},${y(value)}`).join(" ") }),
  svg("circle", { cx: x(last), cy: y(finite[last]), r: 2.5 }));
}

// When the verdict became what it is, and when the change began that led to it.
export function since(row) {
  return h("span", { class: "quiet" }, ago(row.since), row.began_at && ["; the change began ", ago(row.began_at)]);
}

const MOST_REASONS = { bad: 3, other: 1 };

// The reasons of a verdict, the worst first. Further reasons can be opened.
export function reasons(list, verdict) {
  if (list.length < 2) return list.length ? prose(list[0]) : none();
  const rows = (some) => h("ul", { class: "reasons" }, some.map((reason) => h("li", {}, prose(reason))));
  const most = isBad(verdict) ? MOST_REASONS.bad : MOST_REASONS.other;
  if (list.length <= most) return rows(list);
  return [
    rows(list.slice(0, most)),
    h("details", {}, h("summary", {}, `and ${list.length - most} more`), rows(list.slice(most))),
  ];
}
