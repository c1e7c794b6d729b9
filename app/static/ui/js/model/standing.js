// What is wrong with a model, since when and how bad, in one sentence at the head of its page.

import { actsInWords } from "../acts.js";
import { day, h, many, named, number, prose, show } from "../dom.js";
import { VERDICTS, badge, isBad } from "../verdict.js";

// A value hardly beyond what a baseline allows needs no measure.
const LEAST_TOLD_EXCESS = 1.05;

export function drawStanding(place, { versions, registrations, watches }) {
  const rows = versions.filter((row) => registrations.has(row.version))
    .map((row) => ({ row, registration: registrations.get(row.version) }))
    .sort((a, b) => rank(a) - rank(b));
  const [first] = rows;
  const idle = watches.filter((watch) => watch.model_version === null)
    .map((watch) => h("p", { class: "standing insufficient_data" },
      `The ${watch.alias === null ? "stage" : "alias"} `, named(watch.alias ?? watch.stage), " is watched. ",
      watch.reasons[0]));
  if (!versions.length) {
    show(place, idle);
    return;
  }
  if (!first) {
    const inUse = versions.find((row) => row.stage === "Production");
    show(place, h("p", { class: "standing" }, inUse
      ? `Version ${inUse.version} is in Production, and no version of this model is monitored.`
      : "No version of this model is monitored."), idle);
    return;
  }
  const { verdict } = first.registration;
  const unjudged = rows.filter(({ registration }) => registration.verdict === "insufficient_data");
  show(place,
    verdict === "healthy" && unjudged.length > 0
      ? h("p", { class: "standing insufficient_data" }, cannotBeJudged(unjudged, rows.length))
      : h("p", { class: `standing ${verdict}` }, sentence(first, rows.length)),
    actsInWords(first.registration),
    rows.length > 1 && isBad(verdict) && h("p", { class: "quiet" }, "Also monitored: ",
      rows.slice(1).map(({ row, registration }, index) =>
        [index ? ", " : "", `v${row.version} `, badge(registration.verdict)])),
    idle);
}

const rank = ({ row, registration }) =>
  VERDICTS.indexOf(registration.verdict) * 2 + (row.stage === "Production" ? 0 : 1);

function cannotBeJudged([{ row, registration }, ...others], count) {
  const first = `v${row.version}: ${registration.reasons[0] ?? ""}`;
  return `Nothing is drifting or degraded; ${others.length + 1} of ${many(count, "monitored version")} cannot be `
    + `judged yet. ${first}`;
}

function sentence({ row, registration }, count) {
  const { verdict, reasons } = registration;
  const where = [row.stage === "None" ? null : row.stage, ...row.aliases].filter(Boolean);
  const subject = [`Version ${row.version}`, where.length > 0 && [" (", named(where.join(", ")), ")"]];
  if (verdict === "healthy") {
    return count === 1
      ? [subject, " is ", badge(verdict), ", and nothing is wrong."]
      : [badge(verdict), `: of ${many(count, "monitored version")} none is drifting or degraded.`];
  }
  if (!isBad(verdict)) return [subject, " cannot be judged yet. ", prose(reasons[0] ?? "")];
  return [subject, " has been ", badge(verdict), ` since ${day(registration.since)}: `, whatIsWrong(registration)];
}

// The worst alarm of the worst metric, with its value, what was expected, and how far out it is.
function whatIsWrong({ metric, metrics, reasons, began_at: began }) {
  const alarm = metric && metrics[metric.name]?.alarms[0];
  if (!alarm || alarm.value === null) return prose(reasons[0]);
  const others = Object.values(metrics).filter(({ verdict }) => isBad(verdict)).length - 1;
  return [
    named(metric.name), ` was ${number(alarm.value)} on ${day(alarm.at)}`, outOf(alarm),
    `; out at ${alarm.fired} of the last ${many(alarm.of, "point")}`,
    others > 0 && `, as ${others === 1 ? "is" : "are"} ${many(others, "other metric")}`,
    began && `; the change began on ${day(began)}`, ".",
  ];
}

function outOf({ rule, expected_min: least, expected_max: most, excess, accumulates }) {
  if (accumulates) return ", a small deviation that lasts";
  const bounds = [least !== null && `at least ${number(least)}`, most !== null && `at most ${number(most)}`];
  const expected = bounds.filter(Boolean).join(" and ");
  if (!expected) return "";
  const times = rule === "baseline" && excess >= LEAST_TOLD_EXCESS ? `, ${excess.toFixed(1)} times what may vary` : "";
  return ` where ${expected} ${rule === "limit" ? "is its limit" : "was expected"}${times}`;
}
