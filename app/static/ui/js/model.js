// One registered model: its versions, what they measure, how they compare, what happened.

import { get, path, query, send } from "./api.js";
import { ago, h, head, note, number, show, table } from "./dom.js";
import { chart } from "./chart.js";
import { failed, mayWrite, mlflow, page } from "./shell.js";
import { badge, events, reasons } from "./verdict.js";

const name = document.body.dataset.model;
const place = Object.fromEntries(["versions", "charts", "comparison", "history"].map((id) => [id, document.getElementById(id)]));
const choice = document.getElementById("choice");
const compare = document.getElementById("compare");
let registered = new Map();
let drawn = "";

const draw = page(place.versions, async () => {
  const [{ body: versions }, { body: watched }, { body: happened }] = await Promise.all([
    get(path.of(name, "versions")), get(`/monitoring${query({ name, page_size: 1000 })}`), get(`/monitoring/history${query({ name, page_size: 50 })}`),
  ]);
  registered = new Map(watched.filter((row) => row.model_name === name).map((row) => [row.model_version, row]));
  drawVersions(versions);
  fillChoices(versions);
  show(place.history, happened.length ? h("ul", { class: "events" }, events(happened)) : note("No version of this model was ever monitored."));
  await drawCharts(versions);
});

choice.addEventListener("change", () => { drawn = ""; draw(); });

function drawVersions(versions) {
  if (!versions.length) {
    show(place.versions, note("This model has no version yet."));
    return;
  }
  show(place.versions, table("Versions", ["Version", "Stage", "Aliases", "Type", "Made", "Verdict", "Why", "Monitoring", "Links"],
    versions.map((row) => {
      const watched = registered.get(row.version);
      const address = `models/${encodeURIComponent(name)}/versions/${row.version}`;
      return [
        head(row.version), row.stage, row.aliases.join(", ") || "–", row.model_type ?? "–", ago(row.creation_timestamp),
        watched ? badge(watched.verdict) : h("span", { class: "quiet" }, "not monitored"),
        watched ? reasons(watched.reasons, watched.verdict === "healthy" || watched.verdict === "insufficient_data") : "–", action(row, watched), mlflow(address, "MLflow") ?? "",
      ];
    })));
}

function action(row, watched) {
  if (!mayWrite) return watched ? "monitored" : "–";
  const said = h("span", { class: "error", role: "alert" });
  if (!watched) {
    return h("div", {}, h("button", { type: "button", "data-key": `add-${row.version}`, "aria-label": `Monitor version ${row.version}`, onclick: () => edit(row, null) }, "Monitor …"), said);
  }
  return h("div", { class: "row" },
    h("button", { type: "button", "data-key": `set-${row.version}`, "aria-label": `Settings of version ${row.version}`, onclick: () => edit(row, watched) }, "Settings …"),
    h("button", {
      type: "button", "data-key": `remove-${row.version}`, "aria-label": `Remove version ${row.version} from monitoring`,
      onclick: async () => {
        if (!confirm(`Remove ${name} v${row.version} from monitoring?`)) return;
        try {
          await send("DELETE", path.version(name, row.version, "monitor"));
          draw();
        } catch (error) {
          said.textContent = error.message;
        }
      },
    }, "Remove"), said);
}

// The same form registers and changes settings: settings are JSON, as the API takes them.
function edit(row, watched) {
  const said = h("p", { class: "error", role: "alert" });
  const kind = h("select", { name: "model_type" }, ["classifier", "regressor"].map((one) => h("option", { selected: row.model_type === one }, one)));
  const settings = h("textarea", { name: "settings", rows: "8", spellcheck: "false" });
  settings.value = JSON.stringify(watched?.settings ?? {}, null, 2);
  const dialog = h("dialog", { "aria-labelledby": "dialog-title" },
    h("form", { method: "dialog", class: "panel" },
      h("h2", { id: "dialog-title" }, `${watched ? "Settings of" : "Monitor"} ${name} v${row.version}`),
      watched ? null : h("label", {}, "Type ", kind),
      h("label", {}, "Settings (JSON) ", settings),
      h("p", { class: "note" }, "For example ", h("code", {}, '{"limits": {"accuracy": {"min": 0.9}}, "silence_hours": 48}'), ". Empty means the defaults."),
      said,
      h("div", { class: "row" }, h("button", { value: "save" }, "Save"), h("button", { value: "cancel", formnovalidate: true }, "Cancel"))));
  dialog.addEventListener("close", () => dialog.remove());
  dialog.querySelector("form").addEventListener("submit", async (event) => {
    if (event.submitter?.value !== "save") return;
    event.preventDefault();
    said.textContent = "";
    try {
      const given = JSON.parse(settings.value.trim() || "{}");
      // What was taken out of the text is to go back to its default.
      const patch = watched ? { ...Object.fromEntries(Object.keys(watched.settings).map((key) => [key, null])), ...given } : given;
      const to = path.version(name, row.version, "monitor");
      if (watched) await send("PATCH", to, { settings: patch });
      else await send("POST", to, { model_type: kind.value, settings: patch });
      dialog.close();
      draw();
    } catch (error) {
      said.textContent = error instanceof SyntaxError ? `This is no JSON: ${error.message}` : error.message;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}

function fillChoices(versions) {
  const names = [...new Set(versions.flatMap((row) => row.aliases)), ...versions.map((row) => row.version)];
  for (const [field, wanted] of [["baseline", "champion"], ["candidate", "challenger"]]) {
    const select = compare.elements[field];
    if (select.length === names.length) continue;
    const chosen = select.value || (names.includes(wanted) ? wanted : names[field === "baseline" ? 0 : names.length - 1]);
    select.replaceChildren(...names.map((one) => h("option", { value: one, selected: one === chosen }, /^\d+$/.test(one) ? `version ${one}` : one)));
  }
}

compare.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const { body } = await get(path.of(name, "compare") + query(Object.fromEntries(new FormData(compare))));
    const answer = { true: "not worse", false: "worse, or not shown to be as good" }[body.non_inferior] ?? "cannot be told";
    show(place.comparison,
      h("p", {}, `Version ${body.candidate.version} against version ${body.baseline.version}: `, h("strong", {}, answer), ` (margin ${body.margin})`),
      body.metrics.length ? table("Comparison", ["Metric", "Baseline", "Candidate", "Difference", "Better", "Not worse", "Why"], body.metrics.map((row) => [
        head(row.metric), number(row.baseline), number(row.candidate), number(row.difference),
        { true: "yes", false: "no" }[row.better] ?? "–", { true: "yes", false: "no" }[row.non_inferior] ?? "–", row.reason,
      ])) : note("Neither version has a metric."));
  } catch (error) {
    failed(place.comparison, error);
  }
});

// Charts of the monitored versions, else of the newest: more lines tell less.
async function drawCharts(versions) {
  const shown = (registered.size ? versions.filter((row) => registered.has(row.version)) : versions).slice(0, 5);
  const { days, table: asTable } = choice.elements;
  const found = await Promise.all(shown.map((row) => get(path.version(name, row.version, `series?days=${days.value}`))));
  const state = JSON.stringify([days.value, asTable.checked, found.map(({ body }) => body.metrics)]);
  if (state === drawn) return;
  drawn = state;
  const metrics = [...new Set(found.flatMap(({ body }) => Object.keys(body.metrics)))].sort();
  if (!metrics.length) {
    show(place.charts, note("No metric was logged in these days."));
    return;
  }
  const lines = (metric) => found.map(({ body }) => ({ version: body.model_version, ...body.metrics[metric] })).filter((line) => line.points?.length);
  const isLine = (metric) => lines(metric).some((line) => line.points.length > 1);
  const single = metrics.filter((metric) => !isLine(metric));
  place.charts.replaceChildren(
    ...metrics.filter(isLine).map((metric) => h("figure", { class: "figure" },
      h("figcaption", {}, h("h3", {}, metric), h("ul", { class: "legend" }, lines(metric).map((line) => h("li", {}, `v${line.version} `, badge(line.verdict), ` ${number(line.last)} · ${line.population}`)))),
      asTable.checked ? rows(metric, lines(metric)) : chart(metric, lines(metric)))),
    ...(single.length ? [h("h3", {}, "Fewer than 2 points: nothing to draw yet"),
      rows("Single values", single.flatMap((metric) => lines(metric).map((line) => ({ ...line, metric }))))] : []));
}

function rows(title, lines) {
  return table(title, ["Metric", "Version", "Time", "Value", "Source", "Rules that fired"],
    lines.flatMap((line) => line.points.slice(-100).reverse().map((point) => [head(line.metric ?? title), `v${line.version}`, point.time, number(point.value), point.source, point.fired.join(", ") || "–"])));
}

