// The verdicts of monitored versions over time, a bar a version; the list of events says the same in words.

import { now as clock } from "./api.js";
import { h, svg } from "./dom.js";
import { word } from "./verdict.js";

const WIDTH = 1000;
const MINUTE_MS = 60_000;

// Events, newest first, as stretches of one verdict: `{from, to, verdict}`, times in milliseconds.
function stretches(events, now) {
  const found = [];
  let open = null;
  const close = (at) => {
    if (open && at > open.from) found.push({ ...open, to: at });
    open = null;
  };
  for (const event of [...events].reverse()) {
    const at = Date.parse(event.at);
    close(at);
    if (event.event !== "removed") open = { from: at, verdict: event.event === "verdict" ? event.verdict : "insufficient_data" };
  }
  close(now);
  return found;
}

const moment = (time) => `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;

export function timeline(events, now = clock()) {
  const versions = [...new Set(events.map((event) => event.version))].sort((a, b) => b - a);
  const began = Math.min(...events.map((event) => Date.parse(event.at)), now - MINUTE_MS);
  const x = (time) => ((time - began) / (now - began)) * WIDTH;
  return h("figure", { class: "timeline" },
    versions.map((version) => h("div", { class: "lane", "data-key": version },
      h("span", {}, `v${version}`),
      svg("svg", { viewBox: `0 0 ${WIDTH} 10`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false" },
        stretches(events.filter((event) => event.version === version), now).map(({ from, to, verdict }) => svg("rect", { class: verdict, x: x(from).toFixed(1), width: Math.max(1, x(to) - x(from)).toFixed(1), y: 0, height: 10 },
          svg("title", {}, `${word(verdict)} from ${moment(from)}`)))))),
    h("figcaption", { class: "quiet" }, h("span", {}, moment(began)), h("span", {}, "now")));
}
