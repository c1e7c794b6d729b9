// The versions of a registered model, with their verdicts, and what can be done with each.

import { actButtons, actsInWords } from "../acts.js";
import { ago, h, none, number, pairs, table } from "../dom.js";
import { list } from "../list.js";
import { monitorButton, monitoringButtons } from "../monitor.js";
import { versionButtons } from "../promote.js";
import { always, inMlflow, mayWrite } from "../shell.js";
import { badge, reasons, since } from "../verdict.js";

const STEP = 20;
const COLUMNS = [
  "Version", "Stage", "Aliases", "Type", "Created", "Verdict", "Reason", "Details", ...(mayWrite ? ["Actions"] : []),
];

// `read(signal)` reads versions and registrations into `model`; `changed()` draws what follows from a registration.
export function versionList(place, model, { read, changed }) {
  return list(place, {
    read,
    select: (rows) => inOrder(rows, model),
    content: (rows, { mock }) => table("Versions", COLUMNS, rows.map((row) => tableRow(row, model, mock, changed))),
    nothing: () => "This model has no version yet.",
    step: STEP,
    noun: "versions",
    of: always,
  });
}

// The newest first. Where not all are shown, those that are in use or monitored come before the others.
function inOrder(rows, { registrations }) {
  if (rows.length <= STEP) return rows;
  const isInUse = (row) => row.aliases.length > 0 || row.stage === "Production" || row.stage === "Staging";
  const comesFirst = (row) => registrations.has(row.version) || isInUse(row);
  return [...rows.filter(comesFirst), ...rows.filter((row) => !comesFirst(row))];
}

// The sample fleet is not in MLflow, so none of it can be registered.
function tableRow(row, model, mock, changed) {
  const registration = model.registrations.get(row.version);
  const buttons = () => {
    if (registration) {
      return [
        monitoringButtons(model.name, row, registration, changed, "version"),
        actButtons(model.name, registration, changed),
      ];
    }
    return monitorButton(model.name, row, changed);
  };
  return {
    key: row.version,
    cells: [
      `v${row.version}`,
      row.stage === "None" ? none() : row.stage,
      row.aliases.join(", ") || none(),
      row.model_type ?? none(),
      ago(row.creation_timestamp),
      registration
        ? [badge(registration.verdict), " ", since(registration), actsInWords(registration)]
        : badge(null),
      registration ? reasons(registration.reasons, registration.verdict) : none(),
      details(row, model.name, registration),
      ...(mayWrite ? [mock ? none() : [buttons(), versionButtons(model, row, changed)]] : []),
    ],
  };
}

function details(row, name, registration) {
  const lines = (values, line) => Object.entries(values).map(([key, value]) => h("div", {}, line(key, value)));
  const hasAny = (values) => Object.keys(values).length > 0;
  return h("details", {}, h("summary", { "aria-label": `Details of version ${row.version}` }, "details"), pairs({
    ...(row.description ? { "Description": row.description } : {}),
    "Last updated": ago(row.last_updated_timestamp),
    "Source run": row.run_id ?? "none",
    ...(row.stage === "None" ? {} : { "Stage set by": row.stage_source }),
    ...(hasAny(row.metrics)
      ? { "Offline metrics (of the source run)": lines(row.metrics, (metric, value) => `${metric} ${number(value)}`) }
      : {}),
    ...(hasAny(row.tags) ? { "Tags": lines(row.tags, (key, value) => `${key}: ${value}`) } : {}),
    ...(registration ? {
      "Registered by": [h("bdi", {}, registration.registered_by), ", ", ago(registration.registered_at)],
      ...(registration.watched_by.length > 0 ? { "Monitored as": watched(registration) } : {}),
      "Settings": hasAny(registration.settings)
        ? h("code", {}, JSON.stringify(registration.settings))
        : "the defaults",
    } : {}),
  }), inMlflow.version(name, row.version, "open in MLflow"));
}

function watched({ watched_by: watches, own_settings: settings }) {
  const also = settings === null ? "" : ", and registered by itself";
  return [watches.join(", "), h("span", { class: "quiet" }, `${also}: monitoring follows when that moves`)];
}
