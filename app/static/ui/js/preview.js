// What settings would have made of the last days, as a part of the dialog that changes them.

import { path, send } from "./api.js";
import { h, many, note, show, svg } from "./dom.js";
import { VERDICTS, badge, isBad, word } from "./verdict.js";

const CELL = 10;
const GAP = 1;
// Typing in several fields asks once.
const REST_MS = 400;

const dayOf = (text) => text.slice(0, 10);

// A place that shows the preview, and the function that reads it anew. `settings()` gives the change of the settings.
export function previewPlace(name, version, settings) {
  const place = h("div", { class: "preview", "aria-live": "polite" });
  let reading;
  let resting;
  const read = async () => {
    reading?.abort();
    reading = new AbortController();
    const { signal } = reading;
    place.ariaBusy = "true";
    try {
      const wanted = { settings: settings() };
      const { days } = await send("POST", path.version(name, version, "monitor/preview"), wanted, signal);
      show(place, result(days));
    } catch (error) {
      if (signal.aborted) return;
      show(place, note(`No preview: ${error.message}`));
    }
    place.ariaBusy = null;
  };
  const readSoon = () => {
    clearTimeout(resting);
    resting = setTimeout(read, REST_MS);
  };
  return { place, read, readSoon };
}

function result(days) {
  const differing = days.filter(({ before, after }) => before.verdict !== after.verdict);
  return [
    h("p", { class: "preview-title" },
      `The last ${many(days.length, "day")} with these settings: ${counts(days, "after")}`,
      (differing.length ? `. As it is: ${counts(days, "before")}.` : ", as it is now.")),
    differing.length > 0 && lane("as it is", days, "before"),
    lane("with these", days, "after"),
    h("div", { class: "quiet ends" }, h("span", {}, dayOf(days[0].day)), h("span", {}, "today")),
    differing.length > 0 && h("details", {},
      h("summary", {}, `${many(differing.length, "day")} would differ`),
      h("ul", { class: "reasons" }, [...differing].reverse().map(({ day, before, after }) => h("li", {},
        `${dayOf(day)}: ${word(before.verdict)} → `, badge(after.verdict),
        isBad(after.verdict) && after.reasons[0] && h("div", { class: "quiet" }, after.reasons[0]))))),
  ];
}

// How many days have each verdict, the worst first.
function counts(days, which) {
  const count = (verdict) => days.filter((day) => day[which].verdict === verdict).length;
  return VERDICTS.filter(count).map((verdict) => `${many(count(verdict), "day")} ${word(verdict)}`).join(", ");
}

function lane(label, days, which) {
  return h("div", { class: "lane" },
    h("span", {}, label),
    svg("svg", {
      viewBox: `0 0 ${days.length * CELL} ${CELL}`, preserveAspectRatio: "none", "aria-hidden": "true",
      focusable: "false",
    }, days.map((day, index) => svg("rect", {
      class: day[which].verdict, x: index * CELL, y: 0, width: CELL - GAP, height: CELL,
    }, svg("title", {}, `${dayOf(day.day)}: ${word(day[which].verdict)}`)))));
}
