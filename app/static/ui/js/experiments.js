// The experiments, and the runs of the chosen experiment.

import { get, query } from "./api.js";
import { ago, h, named, none, number, table } from "./dom.js";
import { list, moreButton } from "./list.js";
import { addressValues, hasMlflow, inMlflow, onAddress, setAddress } from "./shell.js";

const STEP = 50;
const MOST_PAIRS = 6;
const section = document.getElementById("runs-section");
const title = document.getElementById("runs-title");

list(document.getElementById("experiments"), {
  form: document.getElementById("filters"),
  read: async (signal) => {
    const answer = await get(`/experiments${query({ lifecycle_stage: addressValues().lifecycle_stage })}`, signal);
    const { experiment } = addressValues();
    const opened = answer.body.find((row) => row.experiment_id === experiment);
    title.textContent = `Runs of ${opened?.name ?? `experiment ${experiment}`}`;
    return answer;
  },
  select: (rows) => {
    const { name = "" } = addressValues();
    return rows.filter((row) => row.name.toLowerCase().includes(name.toLowerCase()));
  },
  content: (rows) => table("Experiments",
    ["Name", "ID", "State", "Created", "Last updated", ...(hasMlflow ? ["MLflow"] : [])], rows.map(experimentRow)),
  nothing: () => "There are no experiments in this state.",
  step: STEP,
  noun: "experiments",
});

// The runs that the address asks for.
const runsQuery = () => {
  const { experiment, limit = STEP } = addressValues();
  return { experiment, limit: Number(limit) };
};

// Runs are read from MLflow, so they are read less often.
const drawRuns = list(document.getElementById("runs"), {
  read: async (signal) => {
    const { experiment, limit } = runsQuery();
    section.hidden = !experiment;
    return experiment ? get(`/runs/${encodeURIComponent(experiment)}${query({ limit })}`, signal) : { body: [] };
  },
  content: (rows) => table("Runs", ["Run", "Status", "Started", "Duration", "Metrics", "Parameters"], rows.map(runRow)),
  rest: ({ hasMore }) => hasMore
    && moreButton("Show more", () => setAddress({ limit: String(runsQuery().limit + 2 * STEP) }, true)),
  nothing: () => "This experiment has no runs.",
  seconds: 60,
  of: () => query({ experiment: addressValues().experiment }),
});
onAddress(drawRuns);

function experimentRow(row) {
  const isOpen = row.experiment_id === addressValues().experiment;
  return {
    key: row.experiment_id,
    cells: [
      h("a", {
        href: `/ui/experiments?experiment=${encodeURIComponent(row.experiment_id)}`,
        "aria-current": isOpen ? "true" : null,
        onclick: (event) => open(event, row.experiment_id),
      }, named(row.name)),
      row.experiment_id,
      row.lifecycle_stage,
      ago(row.creation_time),
      ago(row.last_update_time),
      ...(hasMlflow ? [inMlflow.experiment(row.experiment_id, row.name)] : []),
    ],
  };
}

// Open an experiment on this page, unless the click asks the browser for another tab.
function open(event, experiment) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  setAddress({ experiment, limit: "" });
  section.scrollIntoView({ block: "start" });
}

function runRow(run) {
  const name = h("span", {}, run.tags["mlflow.runName"] ?? "", " ", h("code", {}, run.run_id.slice(0, 8)));
  return {
    key: run.run_id,
    cells: [
      inMlflow.run(run.experiment_id, run.run_id, name) ?? name,
      run.status.toLowerCase(),
      ago(run.start_time),
      duration(run),
      valuePairs(run.metrics, number),
      valuePairs(run.params, String),
    ],
  };
}

function duration(run) {
  if (!run.end_time || !run.start_time) return none();
  const seconds = (new Date(run.end_time) - new Date(run.start_time)) / 1000;
  if (seconds < 100) return `${number(Math.round(seconds * 10) / 10)} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

// The first few names and values; the others can be opened.
function valuePairs(values, format) {
  const pairs = Object.entries(values).map(([name, value]) =>
    h("span", { class: "pair" }, h("span", { class: "quiet" }, `${name} `), format(value)));
  if (!pairs.length) return none();
  const rest = pairs.slice(MOST_PAIRS);
  return [
    pairs.slice(0, MOST_PAIRS),
    rest.length > 0 && h("details", {}, h("summary", {}, `and ${rest.length} more`), rest),
  ];
}
