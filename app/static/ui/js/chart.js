// A metric over time: a line a version, its baseline as a band, its limits, and the points where a rule fired.

import { h, number } from "./dom.js";

const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [4, 8]];

// A custom property holds text; what it comes to in this scheme only an element can tell.
const probe = h("span", { hidden: true });

function colour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

export function chart(metric, lines) {
  const times = [...new Set(lines.flatMap((line) => line.points.map((point) => Date.parse(point.time) / 1000)))].sort((a, b) => a - b);
  const at = new Map(times.map((time, index) => [time, index]));
  const columns = lines.map((line) => {
    const values = new Array(times.length).fill(undefined);
    for (const point of line.points) values[at.get(Date.parse(point.time) / 1000)] = point.value;
    return values;
  });
  const place = h("div", { class: "chart", role: "img", "aria-label": said(metric, lines) });
  const options = () => ({
    width: Math.max(280, place.clientWidth || 600),
    height: 220,
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (_, low, high) => reach(lines, low, high) } },
    axes: [axis(), { ...axis(), size: 64, values: (_, ticks) => ticks.map(number) }],
    series: [{}, ...lines.map((line, index) => ({
      label: `v${line.version}`, stroke: colour(`--line-${index % 5}`), width: 2, dash: DASHES[index % 5], spanGaps: true, points: { show: times.length < 60, size: 5 },
    }))],
    hooks: { drawClear: [(plot) => beneath(plot, lines)], draw: [(plot) => fired(plot, lines)] },
  });
  const axis = () => ({ stroke: colour("--quiet"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule"), width: 1 } });
  requestAnimationFrame(() => {
    if (!place.isConnected) return;
    let plot = new window.uPlot(options(), [times, ...columns], place);
    new ResizeObserver(() => plot.setSize({ width: Math.max(280, place.clientWidth), height: 220 })).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      plot.destroy();
      plot = new window.uPlot(options(), [times, ...columns], place);
    });
  });
  return place;
}

function said(metric, lines) {
  return `${metric}: ${lines.map((line) => `version ${line.version}, ${line.points.length} points, last ${number(line.last)}, ${line.verdict.replace("_", " ")}`).join("; ")}`;
}

// What is drawn beside the points must be in sight too.
function reach(lines, low, high) {
  const edges = lines.flatMap((line) => [
    line.limits?.min, line.limits?.max, line.baseline && line.baseline.mean - line.reach, line.baseline && line.baseline.mean + line.reach,
  ]).filter((edge) => Number.isFinite(edge));
  const least = Math.min(low, ...edges);
  const most = Math.max(high, ...edges);
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
      const upper = plot.valToPos(line.baseline.mean + line.reach, "y", true);
      const lower = plot.valToPos(line.baseline.mean - line.reach, "y", true);
      ctx.globalAlpha = 0.1;
      ctx.fillStyle = colour(`--line-${index % 5}`);
      ctx.fillRect(left, upper, width, Math.max(1, lower - upper));
      ctx.globalAlpha = 1;
    }
    for (const edge of [line.limits?.min, line.limits?.max]) {
      if (!Number.isFinite(edge)) continue;
      const y = plot.valToPos(edge, "y", true);
      ctx.strokeStyle = colour("--drifting");
      ctx.setLineDash([6, 6]);
      ctx.beginPath();
      ctx.moveTo(left, y);
      ctx.lineTo(left + width, y);
      ctx.stroke();
      ctx.setLineDash([]);
    }
  });
  ctx.restore();
}

function fired(plot, lines) {
  const { ctx } = plot;
  ctx.save();
  ctx.strokeStyle = colour("--drifting");
  ctx.lineWidth = 2 * devicePixelRatio;
  for (const line of lines) {
    for (const point of line.points) {
      if (!point.fired.length || point.value === null) continue;
      const x = plot.valToPos(Date.parse(point.time) / 1000, "x", true);
      const y = plot.valToPos(point.value, "y", true);
      const size = 5 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x - size, y - size);
      ctx.lineTo(x + size, y + size);
      ctx.moveTo(x + size, y - size);
      ctx.lineTo(x - size, y + size);
      ctx.stroke();
    }
  }
  ctx.restore();
}
