// The points of lines as CSV (RFC 4180), in a file that the browser makes.

import { h } from "../dom.js";

const COLUMNS = ["model", "version", "metric", "time", "value", "cases", "source", "run_id", "fired"];

// A spreadsheet would compute a text that begins like a formula.
const text = (value) => (/^[=+\-@\t\r]/.test(value) ? `'${value}` : value);

const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);

function csvOf(model, lines) {
  const rows = lines.flatMap(({ version, metric, points }) => points.map((point) => [
    text(model), version, text(metric), point.time, String(point.value ?? ""), String(point.n ?? ""), point.source,
    point.run_id, point.fired.join(" "),
  ]));
  return [COLUMNS, ...rows].map((row) => `${row.map(quoted).join(",")}\r\n`).join("");
}

// Save the points of lines of one metric.
export function saveCsv(model, metric, lines) {
  const url = URL.createObjectURL(new Blob([csvOf(model, lines)], { type: "text/csv" }));
  const name = `${model} ${metric}`.replace(/[^\p{L}\p{N}._-]+/gu, "-").slice(0, 100);
  h("a", { href: url, download: `${name}.csv` }).click();
  // The download has begun by then.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
