// Experiments, and the runs of one.

import { get, query } from "./api.js";
import { ago, h, named, none, note, number, show, table } from "./dom.js";
import { aged, ask, chosen, filters, hasMlflow, inMlflow, part } from "./shell.js";

const SIZE = 50;
const MOST_PAIRS = 6;
const list = document.getElementById("experiments");
const runs = document.getElementById("runs");
const section = document.getElementById("runs-section");
let rows = SIZE;

filters(document.getElementById("filters"));
const drawList = part(list, async (signal) => drawExperiments(await get(`/experiments${query({ lifecycle_stage: chosen().lifecycle_stage })}`, signal)));
// Runs are read from MLflow, so they are not asked for as often.
const drawRuns = part(runs, async (signal) => {
  const { experiment, limit = SIZE } = chosen();
  section.hidden = !experiment;
  if (experiment) drawTable(experiment, Number(limit), await get(`/runs/${encodeURIComponent(experiment)}${query({ limit })}`, signal));
}, { seconds: 60, of: () => query({ experiment: chosen().experiment }) });
let asked = location.search;
addEventListener("asked", () => {
  drawList();
  if (asked !== location.search) drawRuns();
  asked = location.search;
});

function drawExperiments(found) {
  const { name = "", experiment } = chosen();
  const shown = found.body.filter((one) => one.name.toLowerCase().includes(name.toLowerCase()));
  const opened = found.body.find((one) => one.experiment_id === experiment);
  document.getElementById("runs-title").textContent = `Runs of ${opened?.name ?? `experiment ${experiment}`}`;
  if (!shown.length) {
    show(list, aged(found), note(found.body.length ? "Nothing matches the filters." : "There is no such experiment."));
    return;
  }
  show(list, aged(found),
    table("Experiments", ["Name", "Id", "State", "Made", "Last changed", ...(hasMlflow ? ["MLflow"] : [])], shown.slice(0, rows).map((one) => ({
      key: one.experiment_id,
      cells: [
        h("a", { href: `/ui/experiments?experiment=${encodeURIComponent(one.experiment_id)}`, "aria-current": one.experiment_id === experiment ? "true" : null, onclick: (event) => open(event, one.experiment_id) }, named(one.name)), one.experiment_id, one.lifecycle_stage, ago(one.creation_time), ago(one.last_update_time),
        ...(hasMlflow ? [inMlflow.experiment(one.experiment_id, one.name)] : []),
      ],
    }))),
    shown.length > rows && h("button", { type: "button", class: "more", onclick: () => { rows += 4 * SIZE; drawExperiments(found); } }, `Show more of ${shown.length}`));
}

// In its place, where the browser is not asked for another tab.
function open(event, experiment) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  ask({ experiment, limit: "" });
  section.scrollIntoView({ block: "start" });
}

function drawTable(experiment, limit, { body, hasMore }) {
  show(runs, body.length ? table("Runs", ["Run", "State", "Started", "Took", "Metrics", "Parameters"], body.map((run) => ({
    key: run.run_id,
    cells: [
      inMlflow.run(experiment, run.run_id, title(run)) ?? title(run), run.status.toLowerCase(), ago(run.start_time), took(run), pairs(run.metrics, number), pairs(run.params, String),
    ],
  }))) : note("No run in this experiment."),
  hasMore && h("button", { type: "button", class: "more", onclick: () => ask({ limit: String(limit + 2 * SIZE) }, true) }, "Show more"));
}

const title = (run) => h("span", {}, run.tags["mlflow.runName"] ?? "", " ", h("code", {}, run.run_id.slice(0, 8)));

function took(run) {
  if (!run.end_time || !run.start_time) return none();
  const seconds = (new Date(run.end_time) - new Date(run.start_time)) / 1000;
  if (seconds < 100) return `${number(Math.round(seconds * 10) / 10)} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// The first few; the others on demand.
function pairs(values, words) {
  const found = Object.entries(values).map(([name, value]) => h("span", { class: "pair" }, h("span", { class: "quiet" }, `${name} `), words(value)));
  if (!found.length) return none();
  const rest = found.slice(MOST_PAIRS);
  return [found.slice(0, MOST_PAIRS), rest.length > 0 && h("details", {}, h("summary", {}, `and ${rest.length} more`), rest)];
}
