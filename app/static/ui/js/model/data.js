// What moved in the data of one version: a sentence, a strip of columns by windows, and the figures as estimated.

import { get, path, query } from "../api.js";
import { h, note, prose, show } from "../dom.js";
import { addressValues, onAddress, part, setAddress } from "../shell.js";
import { columnDetail } from "./column.js";
import { drawFigures, figures } from "./estimates.js";
import { bindStrip, strip } from "./strip.js";

const SECONDS = 60;
// How many columns of the strip, and how many charts, there are at first.
const ROWS = 15;
const FIGURES = 2;

// The section stays hidden while no data of any version of the model is counted.
export function dataOf(model) {
  const section = document.getElementById("data-section");
  const place = document.getElementById("data");
  let shown = { rows: ROWS, figures: FIGURES };
  let version = "";
  const focused = bindStrip(place, (cell) => setAddress({ data: version, ...cell }));

  const draw = part(place, async (signal) => {
    const { body: counted } = await get(path.of(model.name, "data-drift"), signal);
    section.hidden = counted.length === 0;
    if (!counted.length) {
      show(place);
      return;
    }
    const chosen = counted.find((row) => row.model_version === addressValues().data) ?? worst(counted);
    if (chosen.model_version !== version) shown = { rows: ROWS, figures: FIGURES };
    version = chosen.model_version;
    const days = query({ days: addressValues().days });
    const { body } = await get(path.version(model.name, version, `data-drift${days}`), signal);
    const detail = await columnDetail(model, version, body, signal);
    const more = (what, by) => () => {
      shown[what] += by;
      draw();
    };
    show(place,
      counted.length > 1 && versionChips(counted, version),
      h("p", { class: `standing ${kindOf(chosen)}` }, `v${version}: `, prose(body.sentence)),
      [body.note, body.problem, ...columnNotes(body)].filter(Boolean).map((words) => note(words)),
      strip(body, shown.rows, more("rows", 4 * ROWS), focused()),
      h("div", { id: "column", "data-key": "column" }, detail),
      figures(body, shown.figures, more("figures", Infinity)));
    drawFigures(place, body);
    scrollToNewest(place.querySelector(".strip-region"));
  }, { seconds: SECONDS, of: () => query({ data: addressValues().data, days: addressValues().days }) });

  onAddress(draw);
}

// The strips that are scrolled, each only once.
const scrolled = new WeakSet();

// The newest windows are at the right.
function scrollToNewest(region) {
  if (!region || scrolled.has(region)) return;
  scrolled.add(region);
  region.scrollLeft = region.scrollWidth;
}

// What moved comes first, and of several versions the newest.
const worst = (counted) => counted.find((row) => row.moved || row.estimate_fell) ?? counted[0];

function kindOf({ moved, estimate_fell: fell, is_learning: isLearning }) {
  if (moved || fell) return "degraded";
  return isLearning ? "insufficient_data" : "healthy";
}

function versionChips(counted, version) {
  const chip = ({ model_version: other }) => h("button", {
    type: "button", class: "chip", "data-key": `data of ${other}`, "aria-pressed": String(other === version),
    onclick: () => setAddress({ data: other, column: "", segment: "", value: "", window: "" }),
  }, `v${other}`);
  return h("div", { class: "row", role: "group", "aria-label": "Version whose data is shown" }, counted.map(chip));
}

const MOST_NAMES = 10;

// What is known of columns of the newest window that cannot be compared.
function columnNotes({ windows }) {
  const newest = windows.findLast((window) => window.rows > 0);
  if (!newest) return [];
  const names = (all) => all.slice(0, MOST_NAMES).join(", ")
    + (all.length > MOST_NAMES ? ` and ${all.length - MOST_NAMES} more` : "");
  const { missing_columns: missing, unknown_columns: unknown } = newest;
  return [
    missing.length > 0 && `Without any value in the newest window: ${names(missing)}.`,
    unknown.length > 0 && `In the newest window, and not in the reference: ${names(unknown)}.`,
  ];
}
