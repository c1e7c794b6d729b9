// Verdicts: always a sign, a word and a colour. No data is never green.

import { ago, h, none, number, svg } from "./dom.js";
import { choices } from "./shell.js";

const SIGNS = { drifting: "✕", degraded: "!", healthy: "✓", insufficient_data: "?" };
const WORDS = new Map(choices.verdict);
// The worst first.
export const VERDICTS = [...WORDS.keys()];

export const word = (verdict) => WORDS.get(verdict) ?? verdict;

export const isBad = (verdict) => verdict === "drifting" || verdict === "degraded";

const sign = (verdict) => h("span", { "aria-hidden": "true" }, `${SIGNS[verdict] ?? "?"} `);

export function badge(verdict) {
  return verdict ? h("span", { class: `word ${verdict}` }, sign(verdict), word(verdict)) : h("span", { class: "quiet" }, "not monitored");
}

// How far the last value is from the baseline, and whether that is to the worse side. It is a matter of alarm only where
// a rule fired.
export function change({ change: by, worse, verdict } = {}) {
  if (by === null || by === undefined) return none();
  const side = { true: "worse", false: "better" }[worse] ?? "";
  return h("span", { class: "change" }, `${by >= 0 ? "+" : "−"}${number(Math.abs(by))} `, h("span", { class: isBad(verdict) ? `word ${verdict}` : "quiet" }, side));
}

// The last values as a line; the number beside it says the same in words.
export function spark(values, verdict) {
  const width = 110;
  const height = 26;
  const found = (values ?? []).filter((value) => value !== null);
  if (found.length < 2) return none();
  // The difference of two numbers can be too large for a number.
  const most = Math.max(...found.map(Math.abs)) || 1;
  const least = Math.min(...found) / most;
  const range = Math.max(...found) / most - least || 1;
  const x = (at) => (4 + (at / (found.length - 1)) * (width - 8)).toFixed(1);
  const y = (value) => (height - 4 - ((value / most - least) / range) * (height - 8)).toFixed(1);
  const last = found.length - 1;
  return svg("svg", { class: `spark ${isBad(verdict) ? verdict : ""}`, viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", focusable: "false" },
    svg("polyline", { points: found.map((value, at) => `${x(at)},${y(value)}`).join(" ") }),
    svg("circle", { cx: x(last), cy: y(found[last]), r: 2.5 }));
}

// Why: the worst first. Of what is well one line is enough to begin with.
export function reasons(list, verdict) {
  if (list.length < 2) return list[0] ?? none();
  const rows = (some) => h("ul", { class: "reasons" }, some.map((reason) => h("li", {}, reason)));
  const shown = isBad(verdict) ? 3 : 1;
  if (list.length <= shown) return rows(list);
  return [rows(list.slice(0, shown)), h("details", {}, h("summary", {}, `and ${list.length - shown} more`), rows(list.slice(shown)))];
}

// What happened to registrations, newest first.
export function events(list, link) {
  return h("ul", { class: "events" }, list.map((event) => h("li", { "data-key": `${event.at} ${event.event} ${event.monitor_run_id}` },
    h("span", { class: "when" }, ago(event.at)),
    h("div", {},
      h("span", {}, link(event), " ", event.event === "verdict"
        ? [h("span", { class: "quiet" }, `was ${word(event.before)}, is `), badge(event.verdict)]
        : [event.event, event.by ? h("span", { class: "quiet" }, " by ", h("bdi", {}, event.by)) : null]),
      event.reasons.length ? h("div", { class: "quiet" }, reasons(event.reasons, event.verdict)) : null))));
}
