// A metric over time: a line for each version, its baseline as a band, its limits, and the points where a rule fired.

import { h, number, show } from "./dom.js";

const HEIGHT = 200;
const LEAST_WIDTH = 240;
const COLOURS = 5;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [4, 8]];
const DAY = 86400;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
// Charts with the same key show the same moment under the pointer.
const CURSOR = "metrics";

// The charts by the elements that they are drawn into: `{plot, lines}`.
const charts = new Map();

// The style sheet has the colours of both schemes. Only an element tells which of them is in use.
const probe = h("span", { hidden: true });

function colour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.className = `ink-${name}`;
  return getComputedStyle(probe).color;
}

const lineColour = (index) => colour(`line-${index % COLOURS}`);

const secondsOf = (point) => Date.parse(point.time) / 1000;

const widthOf = (place) => Math.max(LEAST_WIDTH, place.clientWidth);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [place, { lines }] of [...charts]) plotLines(place, lines);
});

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) charts.get(target)?.plot.setSize({ width: widthOf(target), height: HEIGHT });
});

// Draw the lines of one metric into an element. A chart of the same lines stays as it is.
export function drawChart(place, lines) {
  if (JSON.stringify(charts.get(place)?.lines) !== JSON.stringify(lines)) plotLines(place, lines);
}

function forget(place) {
  charts.get(place).plot.destroy();
  sizes.unobserve(place);
  charts.delete(place);
}

function plotLines(place, lines) {
  for (const other of [...charts.keys()]) {
    if (other === place || !other.isConnected) forget(other);
  }
  const readout = place.nextElementSibling;
  const times = [...new Set(lines.flatMap((line) => line.points.map(secondsOf)))].sort((a, b) => a - b);
  const indexes = new Map(times.map((time, index) => [time, index]));
  const columns = lines.map((line) => {
    const values = new Array(times.length).fill(undefined);
    for (const point of line.points) values[indexes.get(secondsOf(point))] = point.value;
    return values;
  });
  const rule = { stroke: colour("rule"), width: 1 };
  const axis = { stroke: colour("quiet"), grid: rule, ticks: rule };
  const plot = new window.uPlot({
    width: widthOf(place),
    height: HEIGHT,
    legend: { show: false },
    // The service's times and days are in UTC.
    tzDate: (time) => window.uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
    cursor: { drag: { x: false, y: false }, sync: { key: CURSOR } },
    scales: { y: { range: (_, low, high) => yRange(lines, low, high) } },
    axes: [
      { ...axis, size: 30, values: (_, ticks, __, ___, step) => ticks.map((tick) => tickLabel(tick, step)) },
      { ...axis, size: 64, values: (_, ticks) => ticks.map(number) },
    ],
    series: [{}, ...lines.map((line, index) => ({
      label: `v${line.version}`,
      stroke: lineColour(index),
      width: 2,
      dash: DASHES[index % DASHES.length],
      points: { show: times.length < 60, size: 5 },
    }))],
    hooks: {
      drawClear: [(drawn) => drawBaselines(drawn, lines)],
      draw: [(drawn) => drawFired(drawn, lines)],
      setCursor: [({ cursor: { idx } }) => show(readout, readoutText(times[idx], idx, columns, lines))],
    },
  }, [times, ...columns], place);
  charts.set(place, { plot, lines });
  sizes.observe(place);
}

function tickLabel(tick, step) {
  const time = new Date(tick * 1000);
  if (step < DAY) return time.toISOString().slice(11, 16);
  if (step < 28 * DAY) return `${time.getUTCDate()} ${MONTHS[time.getUTCMonth()]}`;
  return `${MONTHS[time.getUTCMonth()]} ${time.getUTCFullYear()}`;
}

// The values under the pointer, in words.
function readoutText(time, index, columns, lines) {
  if (time === undefined || index === null || index === undefined) return " ";
  const values = lines.flatMap((line, at) => {
    const value = columns[at][index];
    if (value === undefined) return [];
    const rules = line.points.find((point) => secondsOf(point) === time)?.fired ?? [];
    return [`v${line.version} ${number(value)}${rules.length ? ` (${rules.join(", ")})` : ""}`];
  });
  return `${new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC: ${values.join(", ")}`;
}

// Beyond this the difference of two values may exceed what a number can hold.
const MOST_DRAWABLE = 1e300;

export const isDrawable = (lines) =>
  lines.every((line) => line.points.every(({ value }) => value === null || Math.abs(value) < MOST_DRAWABLE));

export function summary(metric, lines) {
  const words = (line) => `version ${line.version}, ${line.points.length} points, last ${number(line.last)}, `
    + line.verdict.replace("_", " ");
  return `${metric}: ${lines.map(words).join("; ")}`;
}

// The range of the vertical axis: the points, the baselines and the limits, with some room.
function yRange(lines, low, high) {
  const edges = lines.flatMap(({ limits, baseline, reach }) => [
    limits?.min, limits?.max, baseline && baseline.mean - reach, baseline && baseline.mean + reach,
  ]).filter((edge) => Number.isFinite(edge));
  const least = Math.min(low ?? Infinity, ...edges);
  const most = Math.max(high ?? -Infinity, ...edges);
  if (least > most) return [0, 1];
  const room = (most - least) * 0.06 || Math.abs(most) * 0.06 || 1;
  return [least - room, most + room];
}

// The baselines and limits, beneath the lines.
function drawBaselines(plot, lines) {
  const { ctx } = plot;
  const { left, top, width, height } = plot.bbox;
  const yOf = (value) => plot.valToPos(value, "y", true);
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  lines.forEach(({ baseline, reach, limits }, index) => {
    if (baseline) {
      const [upper, lower] = [yOf(baseline.mean + reach), yOf(baseline.mean - reach)];
      ctx.fillStyle = ctx.strokeStyle = lineColour(index);
      ctx.globalAlpha = 0.12;
      ctx.fillRect(left, upper, width, Math.max(1, lower - upper));
      ctx.globalAlpha = 0.5;
      drawAcross(ctx, left, width, yOf(baseline.mean), []);
      ctx.globalAlpha = 1;
    }
    ctx.strokeStyle = colour("drifting");
    for (const limit of [limits?.min, limits?.max].filter(Number.isFinite)) {
      drawAcross(ctx, left, width, yOf(limit), [6, 6]);
    }
  });
  ctx.restore();
}

function drawAcross(ctx, left, width, y, dash) {
  ctx.setLineDash(dash);
  ctx.beginPath();
  ctx.moveTo(left, y);
  ctx.lineTo(left + width, y);
  ctx.stroke();
  ctx.setLineDash([]);
}

// A cross at each point where a rule fired.
function drawFired(plot, lines) {
  const { ctx } = plot;
  const size = 5 * devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = colour("drifting");
  ctx.lineWidth = 2 * devicePixelRatio;
  for (const point of lines.flatMap((line) => line.points)) {
    if (!point.fired.length || point.value === null) continue;
    const x = plot.valToPos(secondsOf(point), "x", true);
    const y = plot.valToPos(point.value, "y", true);
    ctx.beginPath();
    ctx.moveTo(x - size, y - size);
    ctx.lineTo(x + size, y + size);
    ctx.moveTo(x + size, y - size);
    ctx.lineTo(x - size, y + size);
    ctx.stroke();
  }
  ctx.restore();
}
