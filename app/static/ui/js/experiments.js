// Experiments, and the runs of one.

import { get, query } from "./api.js";
import { ago, h, head, note, number, show, table } from "./dom.js";
import { failed, filters, goTo, mlflow, page } from "./shell.js";

const SHOWN = 200;
const list = document.getElementById("experiments");
const runs = document.getElementById("runs");
const section = document.getElementById("runs-section");
const chosen = filters(document.getElementById("filters"), () => draw());
const draw = page(list, async () => {
  const { name = "", lifecycle_stage, experiment } = chosen();
  const { body } = await get(`/experiments${query({ lifecycle_stage })}`);
  const found = body.filter((one) => one.name.toLowerCase().includes(name.toLowerCase()));
  if (!found.length) {
    show(list, note(body.length ? "No experiment matches the filters." : "There is no experiment."));
  } else {
    show(list, table("Experiments", ["Name", "Id", "State", "Made", "Last changed", "Links"], found.slice(0, SHOWN).map((one) => [
      head(one.name), one.experiment_id, one.lifecycle_stage, ago(one.creation_time), ago(one.last_update_time),
      [h("button", { type: "button", "data-key": `runs-${one.experiment_id}`, "aria-label": `Runs of ${one.name}`, onclick: () => goTo("experiment", one.experiment_id) }, "Runs"),
        " ", mlflow(`experiments/${encodeURIComponent(one.experiment_id)}/runs?workflowType=machine_learning`, "MLflow")],
    ])), found.length > SHOWN && note(`and ${found.length - SHOWN} more: filter by name`));
  }
  await drawRuns(experiment, body.find((one) => one.experiment_id === experiment));
}, 15);

async function drawRuns(id, experiment) {
  section.hidden = !id;
  if (!id) return;
  document.getElementById("runs-title").textContent = experiment ? `Runs of ${experiment.name}` : `Runs of experiment ${id}`;
  try {
    const { body } = await get(`/runs/${encodeURIComponent(id)}?limit=50`);
    show(runs, body.length ? table("Runs", ["Run", "State", "Started", "Metrics", "Parameters"], body.map((run) => [
      head(mlflow(`experiments/${encodeURIComponent(id)}/runs/${encodeURIComponent(run.run_id)}`, run.run_id.slice(0, 8)) ?? run.run_id.slice(0, 8)),
      run.status, ago(run.start_time), pairs(run.metrics, number), pairs(run.params, String),
    ])) : note("No run in this experiment."));
  } catch (error) {
    failed(runs, error);
  }
}

function pairs(values, words) {
  const found = Object.entries(values);
  return found.slice(0, 6).map(([name, value]) => `${name} ${words(value)}`).join(", ") + (found.length > 6 ? ` and ${found.length - 6} more` : "") || "–";
}
