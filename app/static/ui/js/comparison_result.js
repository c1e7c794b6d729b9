// What a comparison of two versions came to, as `/compare` answers and as proposals keep it.

import { h, none, note, number, table } from "./dom.js";

const COLUMNS = ["Metric", "Baseline", "Candidate", "Difference", "Better", "Not worse", "Why"];

// `caption` names the table: a page may have several.
export function comparisonResult(body, caption = "Comparison") {
  const answer = { true: "not worse", false: "not proven as good" }[body.non_inferior]
    ?? "inconclusive";
  const yesOrNo = (value) => ({ true: "yes", false: "no" }[value] ?? none());
  return [
    h("p", {},
      `Version ${body.candidate.version} compared with version ${body.baseline.version}: `,
      h("strong", {}, answer),
      ` (margin ${body.margin})`),
    body.metrics.length
      ? table(caption, COLUMNS, body.metrics.map((row) => ({
        key: row.metric,
        cells: [
          row.metric, number(row.baseline), number(row.candidate), number(row.difference), yesOrNo(row.better),
          yesOrNo(row.non_inferior), row.reason,
        ],
      })))
      : note("Neither version has a metric."),
  ];
}
