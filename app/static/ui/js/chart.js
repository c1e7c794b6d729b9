// A metric over time: a line a version, its baseline as a band, its limits, and the points where a rule fired.

import { h, number, show } from "./dom.js";

const HEIGHT = 200;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [4, 8]];
const DAY = 86400;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
// Whoever points at one chart sees the same moment in the others.
const CURSOR = "metrics";

const drawn = new Map();

// A custom property holds text; what it comes to in this scheme only an element can tell.
const probe = h("span", { hidden: true });

function colour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.className = `ink-${name}`;
  return getComputedStyle(probe).color;
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [place, lines] of [...drawn].map(([place, { lines }]) => [place, lines])) draw(place, lines);
});

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) drawn.get(target)?.plot.setSize({ width: Math.max(240, target.clientWidth), height: HEIGHT });
});

// Draw the lines of one metric into a place, or draw them anew; a place that is gone is forgotten.
export function draw(place, lines) {
  for (const [other, { plot }] of drawn) {
    if (other === place || !other.isConnected) {
      plot.destroy();
      sizes.unobserve(other);
      drawn.delete(other);
    }
  }
  const readout = place.nextElementSibling;
  const times = [...new Set(lines.flatMap((line) => line.points.map((point) => Date.parse(point.time) / 1000)))].sort((a, b) => a - b);
  const at = new Map(times.map((time, index) => [time, index]));
  const columns = lines.map((line) => {
    const values = new Array(times.length).fill(undefined);
    for (const point of line.points) values[at.get(Date.parse(point.time) / 1000)] = point.value;
    return values;
  });
  const axis = { stroke: colour("quiet"), grid: { stroke: colour("rule"), width: 1 }, ticks: { stroke: colour("rule"), width: 1 } };
  const plot = new window.uPlot({
    width: Math.max(240, place.clientWidth),
    height: HEIGHT,
    legend: { show: false },
    // The service's times are in UTC, and so are its days.
    tzDate: (time) => window.uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
    cursor: { drag: { x: false, y: false }, sync: { key: CURSOR } },
    scales: { y: { range: (_, low, high) => reach(lines, low, high) } },
    axes: [{ ...axis, size: 30, values: (_, ticks, __, ___, step) => ticks.map((tick) => moment(tick, step)) }, { ...axis, size: 64, values: (_, ticks) => ticks.map(number) }],
    series: [{}, ...lines.map((line, index) => ({
      label: `v${line.version}`, stroke: colour(`line-${index % 5}`), width: 2, dash: DASHES[index % 5], points: { show: times.length < 60, size: 5 },
    }))],
    hooks: {
      drawClear: [(plot) => beneath(plot, lines)],
      draw: [(plot) => fired(plot, lines)],
      setCursor: [({ cursor: { idx } }) => show(readout, ...said(times[idx], idx, columns, lines))],
    },
  }, [times, ...columns], place);
  drawn.set(place, { plot, lines });
  sizes.observe(place);
}

function moment(tick, step) {
  const time = new Date(tick * 1000);
  if (step < DAY) return time.toISOString().slice(11, 16);
  if (step < 28 * DAY) return `${time.getUTCDate()} ${MONTHS[time.getUTCMonth()]}`;
  return `${MONTHS[time.getUTCMonth()]} ${time.getUTCFullYear()}`;
}

// What stands under the pointer, in words.
function said(time, index, columns, lines) {
  if (time === undefined || index === null || index === undefined) return [" "];
  const values = lines.flatMap((line, at) => {
    const value = columns[at][index];
    if (value === undefined) return [];
    const rules = line.points.find((point) => Date.parse(point.time) / 1000 === time)?.fired ?? [];
    return [`v${line.version} ${number(value)}${rules.length ? ` (${rules.join(", ")})` : ""}`];
  });
  return [`${new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC: ${values.join(", ")}`];
}

// What a screen can show: the difference of two numbers beyond it is none.
export const isDrawable = (lines) => lines.every((line) => line.points.every((point) => point.value === null || Math.abs(point.value) < 1e300));

export function summary(metric, lines) {
  return `${metric}: ${lines.map((line) => `version ${line.version}, ${line.points.length} points, last ${number(line.last)}, ${line.verdict.replace("_", " ")}`).join("; ")}`;
}

// What is drawn beside the points must be in sight too.
function reach(lines, low, high) {
  const edges = lines.flatMap((line) => [
    line.limits?.min, line.limits?.max, line.baseline && line.baseline.mean - line.reach, line.baseline && line.baseline.mean + line.reach,
  ]).filter((edge) => Number.isFinite(edge));
  const least = Math.min(low ?? Infinity, ...edges);
  const most = Math.max(high ?? -Infinity, ...edges);
  if (least > most) return [0, 1];
  const room = (most - least) * 0.06 || Math.abs(most) * 0.06 || 1;
  return [least - room, most + room];
}

function beneath(plot, lines) {
  const { ctx } = plot;
  const { left, top, width, height } = plot.bbox;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  lines.forEach((line, index) => {
    if (line.baseline) {
      const [upper, mean, lower] = [line.reach, 0, -line.reach].map((by) => plot.valToPos(line.baseline.mean + by, "y", true));
      ctx.fillStyle = ctx.strokeStyle = colour(`line-${index % 5}`);
      ctx.globalAlpha = 0.12;
      ctx.fillRect(left, upper, width, Math.max(1, lower - upper));
      ctx.globalAlpha = 0.5;
      across(ctx, left, width, mean, []);
      ctx.globalAlpha = 1;
    }
    ctx.strokeStyle = colour("drifting");
    for (const edge of [line.limits?.min, line.limits?.max].filter(Number.isFinite)) across(ctx, left, width, plot.valToPos(edge, "y", true), [6, 6]);
  });
  ctx.restore();
}

function across(ctx, left, width, y, dash) {
  ctx.setLineDash(dash);
  ctx.beginPath();
  ctx.moveTo(left, y);
  ctx.lineTo(left + width, y);
  ctx.stroke();
  ctx.setLineDash([]);
}

function fired(plot, lines) {
  const { ctx } = plot;
  const size = 5 * devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = colour("drifting");
  ctx.lineWidth = 2 * devicePixelRatio;
  for (const point of lines.flatMap((line) => line.points)) {
    if (!point.fired.length || point.value === null) continue;
    const x = plot.valToPos(Date.parse(point.time) / 1000, "x", true);
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
