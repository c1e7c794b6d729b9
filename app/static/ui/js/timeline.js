// The verdicts of monitored versions over time: a bar for each version. The list of events has the same in words.

import { now as clock } from "./api.js";
import { h, svg } from "./dom.js";
import { word } from "./verdict.js";

const WIDTH = 1000;
const HEIGHT = 10;
const MINUTE_MS = 60_000;
// The events that begin or end a stretch. The others are what people did about one.
const CHANGES = ["registered", "verdict", "removed"];

// The stretches of one verdict, from events with the newest first: `{from, to, verdict}`, times in milliseconds.
function stretches(events, now) {
  const closed = [];
  let open = null;
  const close = (time) => {
    if (open && time > open.from) closed.push({ ...open, to: time });
    open = null;
  };
  for (const event of [...events].reverse()) {
    if (!CHANGES.includes(event.event)) continue;
    const time = Date.parse(event.at);
    close(time);
    if (event.event !== "removed") {
      open = { from: time, verdict: event.event === "verdict" ? event.verdict : "insufficient_data" };
    }
  }
  close(now);
  return closed;
}

const moment = (time) => `${new Date(time).toISOString().slice(0, 16).replace("T", " ")} UTC`;

export function timeline(events) {
  const now = clock();
  const versions = [...new Set(events.map((event) => event.version))].sort((a, b) => b - a);
  const began = Math.min(...events.map((event) => Date.parse(event.at)), now - MINUTE_MS);
  const x = (time) => ((time - began) / (now - began)) * WIDTH;
  const bar = ({ from, to, verdict }) => svg("rect", {
    class: verdict, x: x(from).toFixed(1), width: Math.max(1, x(to) - x(from)).toFixed(1), y: 0, height: HEIGHT,
  }, svg("title", {}, `${word(verdict)} from ${moment(from)}`));
  const lane = (version) => h("div", { class: "lane", "data-key": version },
    h("span", {}, `v${version}`),
    svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true", focusable: "false",
    }, stretches(events.filter((event) => event.version === version), now).map(bar)));
  return h("figure", { class: "timeline" },
    versions.map(lane),
    h("figcaption", { class: "quiet" }, h("span", {}, moment(began)), h("span", {}, "now")));
}
