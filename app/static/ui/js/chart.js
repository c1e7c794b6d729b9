// A metric over time: a line for each version, its baseline as a band, its limits, and the points where a rule fired.

import { h, number, show } from "./dom.js";
import { firedInWords } from "./fired.js";

const LEAST_WIDTH = 240;
const COLOURS = 5;
const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3], [4, 8]];
// The stripes by which the bands of several versions are told apart, from and to in a square; the first has none.
const STRIPES = [null, [0, 0, 1, 1], [0, 1, 1, 0], [0, 0.5, 1, 0.5], [0.5, 0, 0.5, 1]];
const STRIPE_SIZE = 8;
const DAY = 86400;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
// Charts with the same key show the same moment under the pointer.
const CURSOR = "metrics";
const POINTER = ["mousemove", "mouseleave"];
// How much narrower the keys + and - make the period that is shown, or how much wider.
const KEY_ZOOM = 2;
// A drag over fewer pixels is a click.
const LEAST_DRAG = 6;

// The charts by the elements that they are drawn into: `{plot, lines, view}`.
const charts = new Map();

// The style sheet has the colours of both schemes. Only an element tells which of them is in use.
const probe = h("span", { hidden: true });

function colour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.className = `ink-${name}`;
  return getComputedStyle(probe).color;
}

const lineColour = (index) => colour(`line-${index % COLOURS}`);

export const secondsOf = (point) => Date.parse(point.time) / 1000;

const sizeOf = (place) => ({ width: Math.max(LEAST_WIDTH, place.clientWidth), height: place.clientHeight });

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [place, { lines, view }] of [...charts]) plotLines(place, lines, view);
});

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) charts.get(target)?.plot.setSize(sizeOf(target));
});

// A line is named by its `label`, or else by its version.
const nameOf = ({ label, version }) => label ?? `v${version}`;

// Draw the lines of one metric into an element. A chart of the same lines stays as it is. Of a line with `isDots` only
// the points are drawn. The `marks` of a line are what happened to its version: `{from, to, name, words}`, where it
// happened between two times, in seconds, and the chart shows the name.
// - `view.span` is the period that is shown, the same for all charts of a page: `[from, to]` in seconds.
// - `view.zoom(span)` shows another period, and `view.zoom(null)` the whole.
// - `view.say(words)` tells users of screen readers what a key led to.
export function drawChart(place, lines, view) {
  const chart = charts.get(place);
  if (!chart || JSON.stringify(chart.lines) !== JSON.stringify(lines)) {
    plotLines(place, lines, view);
    return;
  }
  chart.view = view;
  const { min, max } = chart.plot.scales.x;
  const [from, to] = view.span;
  if (min !== from || max !== to) chart.plot.setScale("x", { min: from, max: to });
}

function forget(place) {
  charts.get(place).plot.destroy();
  sizes.unobserve(place);
  charts.delete(place);
}

function plotLines(place, lines, view) {
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
  const chart = { lines, view, times, marks: marksByPoint(lines, times) };
  const plot = new window.uPlot({
    ...sizeOf(place),
    legend: { show: false },
    // The service's times and days are in UTC.
    tzDate: (time) => window.uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: false, dist: LEAST_DRAG },
      bind: { dblclick: () => () => chart.view.zoom(null) },
      sync: { key: CURSOR, filters: { pub: (type) => POINTER.includes(type), sub: () => true } },
    },
    scales: {
      x: { min: view.span[0], max: view.span[1] },
      y: { range: (_, low, high) => yRange(lines, low, high) },
    },
    axes: [
      { ...axis, size: 30, values: (_, ticks, __, ___, step) => ticks.map((tick) => timeLabel(tick, step)) },
      { ...axis, size: 64, values: (_, ticks, __, ___, step) => valueLabels(ticks, step) },
    ],
    series: [{}, ...lines.map((line, index) => ({
      label: nameOf(line),
      stroke: lineColour(index),
      width: 2,
      dash: DASHES[index % DASHES.length],
      points: { show: line.isDots || times.length < 60, size: line.isDots ? 8 : 5 },
      ...(line.isDots ? { paths: () => null } : {}),
    }))],
    hooks: {
      drawClear: [(drawn) => drawBaselines(drawn, lines)],
      draw: [(drawn) => drawMarks(drawn, lines), (drawn) => drawFired(drawn, lines)],
      setCursor: [(drawn) => showReadout(place, readout, drawn, chart)],
      setSelect: [(drawn) => zoomToSelection(drawn, chart)],
    },
  }, [times, ...columns], place);
  chart.plot = plot;
  charts.set(place, chart);
  sizes.observe(place);
  place.onkeydown = (event) => { if (handleKey(event.key, chart)) event.preventDefault(); };
  place.onblur = () => plot.setCursor({ left: -10, top: -10 });
}

function zoomToSelection(plot, { view }) {
  const { left, width } = plot.select;
  if (!width) return;
  const span = [left, left + width].map((x) => plot.posToVal(x, "x"));
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  view.zoom(span);
}

// The keys of a chart that has the focus. Returns whether it has such a key.
function handleKey(key, { plot, times, lines, view, marks }) {
  const { min, max } = plot.scales.x;
  const shown = times.map((_, index) => index).filter((index) => times[index] >= min && times[index] <= max);
  const now = plot.cursor.idx;
  const at = shown.indexOf(now);
  const target = {
    ArrowLeft: shown[at < 0 ? shown.length - 1 : Math.max(0, at - 1)],
    ArrowRight: shown[Math.min(shown.length - 1, at + 1)],
    Home: shown[0],
    End: shown.at(-1),
  };
  if (key in target) {
    if (target[key] === undefined) return true;
    plot.setCursor({ left: plot.valToPos(times[target[key]], "x"), top: plot.over.clientHeight / 2 });
    const { moment, rows } = readoutAt(times[target[key]], lines);
    const values = rows.map(({ words, why }) => [words, ...why].join(". "));
    view.say([moment, ...values, ...(marks.get(target[key]) ?? []).map(({ words }) => words)].join(": "));
    return true;
  }
  if (key === "Escape" || key === "0") {
    view.zoom(null);
    return true;
  }
  if (key !== "+" && key !== "-") return false;
  const half = ((max - min) / 2) * (key === "+" ? 1 / KEY_ZOOM : KEY_ZOOM);
  const middle = at < 0 ? (min + max) / 2 : times[now];
  view.zoom([middle - half, middle + half]);
  return true;
}

function timeLabel(tick, step) {
  const time = new Date(tick * 1000);
  if (step < DAY) return time.toISOString().slice(11, 16);
  if (step < 28 * DAY) return `${time.getUTCDate()} ${MONTHS[time.getUTCMonth()]}`;
  return `${MONTHS[time.getUTCMonth()]} ${time.getUTCFullYear()}`;
}

// Large and small values are written with a power of ten.
const LARGE = 1e6;
const MOST_DECIMALS = 6;

// The values on an axis, all with the same number of decimals.
function valueLabels(ticks, step) {
  const most = Math.max(...ticks.map(Math.abs));
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  // A step such as 0.25 needs one more.
  const needed = Number.isInteger(Number((step * 10 ** decimals).toPrecision(6))) ? decimals : decimals + 1;
  if (most < LARGE && needed <= MOST_DECIMALS) return ticks.map((tick) => tick.toFixed(needed));
  const digits = Math.min(8, Math.max(0, Math.ceil(Math.log10(most / step) - 1e-9)));
  return ticks.map((tick) => (tick === 0 ? "0" : tick.toExponential(digits)));
}

// What the lines have at a time: the moment in words, and for each line its value and why rules fired there.
function readoutAt(time, lines) {
  const rows = lines.flatMap((line, index) => line.points.filter((point) => secondsOf(point) === time).map((point) => ({
    index,
    words: `${nameOf(line)} ${number(point.value)}${point.fired.length ? ` (${point.fired.join(", ")})` : ""}`,
    why: [...firedInWords(line, point), ...(point.replaced ? ["replaces an earlier value"] : [])],
  })));
  return { moment: `${new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`, rows };
}

// The marks of all lines by the index of the point that is nearest to each: the readout of that point tells of them.
function marksByPoint(lines, times) {
  const marks = new Map();
  lines.forEach((line, index) => (line.marks ?? []).forEach((mark) => {
    const distances = times.map((time) => Math.abs(time - mark.to));
    const nearest = distances.indexOf(Math.min(...distances));
    marks.set(nearest, [...(marks.get(nearest) ?? []), { index, words: mark.words }]);
  }));
  return marks;
}

// The values under the pointer, beside it. Charts that only follow another chart's pointer show no text.
function showReadout(place, readout, plot, { times, lines, marks }) {
  const { idx, left } = plot.cursor;
  const isActive = place === document.activeElement || plot.over.matches(":hover");
  if (!isActive || idx === null || idx === undefined || left < 0) {
    readout.hidden = true;
    return;
  }
  const { moment, rows } = readoutAt(times[idx], lines);
  show(readout, h("div", { class: "quiet" }, moment), rows.map(({ index, words, why }) => [
    h("div", { class: `ink-line-${index % COLOURS}` }, h("strong", {}, words)),
    why.map((reason) => h("div", {}, reason)),
  ]), (marks.get(idx) ?? []).map(({ index, words }) => h("div", { class: `ink-line-${index % COLOURS}` }, words)));
  readout.hidden = false;
  const isRight = left > plot.over.clientWidth / 2;
  const edge = place.offsetLeft + plot.over.offsetLeft + left;
  readout.style.left = isRight ? "auto" : `${edge + 12}px`;
  readout.style.right = isRight ? `${readout.offsetParent.clientWidth - edge + 12}px` : "auto";
  readout.style.top = `${place.offsetTop + 8}px`;
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

// The band of a line: values in line with the baseline, as far as they are possible. Null without a baseline.
function bandOf({ baseline, reach, possible }, distance = reach) {
  if (!baseline) return null;
  const [least, most] = [possible?.min ?? -Infinity, possible?.max ?? Infinity];
  return [Math.max(least, baseline.mean - distance), Math.min(most, baseline.mean + distance)];
}

// The range of the vertical axis, for all versions alike: the points, the bands and the limits, with some room.
function yRange(lines, low, high) {
  const edges = lines.flatMap((line) => [line.limits?.min, line.limits?.max, ...(bandOf(line) ?? [])])
    .filter((edge) => Number.isFinite(edge));
  const least = Math.min(low ?? Infinity, ...edges);
  const most = Math.max(high ?? -Infinity, ...edges);
  if (least > most) return [0, 1];
  const room = (most - least) * 0.06 || Math.abs(most) * 0.06 || 1;
  return [least - room, most + room];
}

// Stripes in the colour of a line; null for a line without any.
function stripes(index) {
  const ends = STRIPES[index % STRIPES.length];
  if (!ends) return null;
  const size = STRIPE_SIZE * devicePixelRatio;
  const [fromX, fromY, toX, toY] = ends.map((end) => end * size);
  const tile = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const ctx = tile.getContext("2d");
  ctx.strokeStyle = lineColour(index);
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(fromX, fromY);
  ctx.lineTo(toX, toY);
  ctx.stroke();
  return ctx.createPattern(tile, "repeat");
}

// The baselines and limits, beneath the lines. Within the band of values that are in line with a baseline, that of one
// standard deviation is darker; the side on which a rule fires has an edge.
function drawBaselines(plot, lines) {
  const { ctx } = plot;
  const { left, top, width, height } = plot.bbox;
  const yOf = (value) => plot.valToPos(value, "y", true);
  const fill = ([low, high]) => ctx.fillRect(left, yOf(high), width, Math.max(1, yOf(low) - yOf(high)));
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.lineWidth = devicePixelRatio;
  lines.forEach((line, index) => {
    const { baseline, reach, limits, direction } = line;
    if (baseline) {
      ctx.fillStyle = ctx.strokeStyle = lineColour(index);
      ctx.globalAlpha = 0.1;
      fill(bandOf(line));
      ctx.globalAlpha = 0.16;
      fill(bandOf(line, baseline.std));
      const pattern = stripes(index);
      if (pattern) {
        ctx.globalAlpha = 0.3;
        ctx.fillStyle = pattern;
        fill(bandOf(line));
      }
      ctx.globalAlpha = 0.6;
      drawAcross(ctx, left, width, yOf(baseline.mean), DASHES[index % DASHES.length]);
      ctx.globalAlpha = 1;
      if (direction !== "lower") drawAcross(ctx, left, width, yOf(baseline.mean - reach), [1, 3]);
      if (direction !== "higher") drawAcross(ctx, left, width, yOf(baseline.mean + reach), [1, 3]);
    }
    ctx.strokeStyle = colour("drifting");
    for (const limit of [limits?.min, limits?.max].filter(Number.isFinite)) {
      drawAcross(ctx, left, width, yOf(limit), [6, 6]);
    }
  });
  ctx.restore();
}

function drawAcross(ctx, left, width, y, dash) {
  ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(left, y);
  ctx.lineTo(left + width, y);
  ctx.stroke();
  ctx.setLineDash([]);
}

const MARK_FONT_PX = 11;

// A dashed upright line where something happened to the version of a line, and its name if there is room for it. What
// happened within a wider interval has a strip.
function drawMarks(plot, lines) {
  const { ctx } = plot;
  const { left, top, width, height } = plot.bbox;
  const ratio = devicePixelRatio;
  // In each row of names, where the last one ends.
  const ends = [];
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.lineWidth = ratio;
  ctx.font = `${MARK_FONT_PX * ratio}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  const marks = lines.flatMap((line, index) => (line.marks ?? []).map((mark) => ({ ...mark, index })));
  for (const { from, to, name, index } of marks.sort((a, b) => a.to - b.to)) {
    const [start, end] = [from, to].map((time) => plot.valToPos(time, "x", true));
    if (end < left || start > left + width) continue;
    ctx.strokeStyle = ctx.fillStyle = lineColour(index);
    ctx.globalAlpha = 0.15;
    ctx.fillRect(start, top, end - start, height);
    ctx.globalAlpha = 1;
    ctx.setLineDash([3 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(end, top);
    ctx.lineTo(end, top + height);
    ctx.stroke();
    const room = ctx.measureText(name).width + 4 * ratio;
    const x = Math.min(end + 2 * ratio, left + width - room);
    const free = [0, 1, 2].find((row) => x >= (ends[row] ?? -Infinity));
    if (free === undefined) continue;
    ctx.fillText(name, x, top + (2 + free * (MARK_FONT_PX + 2)) * ratio);
    ends[free] = x + room;
  }
  ctx.restore();
}

// A cross at each point where a rule fired.
function drawFired(plot, lines) {
  const { ctx } = plot;
  const { left, top, width, height } = plot.bbox;
  const size = 5 * devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(left - size, top - size, width + 2 * size, height + 2 * size);
  ctx.clip();
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
