// Which version was in which stage and under which alias, over time, with the verdicts below: a lane for each.

import { get, now as clock, path, query } from "../api.js";
import { h, many, none, note, show, svg, table, utc } from "../dom.js";
import { always, part } from "../shell.js";
import { word } from "../verdict.js";

const SECONDS = 60;
const MOST_HOLDERS = 500;
const MOST_PLACES = 12;
const COLOURS = 5;
const MINUTE_MS = 60_000;
// Narrower than this share of the lane, in percent, nothing can be seen.
const LEAST_WIDTH = 0.15;
// The events that begin or end a stretch of a verdict. The others are what people did about one.
const CHANGES = ["registered", "verdict", "removed"];
const HATCHED = "url(#unknown)";

const msOf = (text) => Date.parse(text);

export const placeName = ({ stage, alias }) => stage ?? alias;

// The part reads who had which place into `model.holders`, as the API lists it. `changed()` is called when that is not
// what was read before. Returns a function that draws it, also with newer `model.events`.
export function timelineOf(model, changed) {
  const section = document.getElementById("timeline-section");
  const place = document.getElementById("timeline");
  let tag = "";
  let seen = null;

  const draw = () => {
    if (!seen) return;
    const hasAny = model.holders.length > 0 || model.events.length > 0;
    section.hidden = !hasAny;
    show(place, hasAny && timeline(model, seen));
  };
  const read = part(place, async (signal) => {
    const answer = await get(path.of(model.name, "holders") + query({ page_size: MOST_HOLDERS }), signal);
    // The state at the last look says for which times nobody looked.
    const at = answer.asOf;
    const hasState = at && answer.body.length > 0;
    const state = hasState ? (await get(path.of(model.name, "state") + query({ at }), signal)).body : {};
    model.holders = answer.body;
    seen = {
      until: at ? msOf(at) : null,
      firstLook: state.first_look ? msOf(state.first_look) : null,
      gaps: (state.not_looked ?? []).map((gap) => [msOf(gap.not_before), msOf(gap.not_after)]),
      left: answer.pages.total - answer.body.length,
    };
    draw();
    if (answer.tag !== tag) changed();
    tag = answer.tag;
  }, { seconds: SECONDS, of: always });
  return { draw, read };
}

// The times of a change: `[notBefore, notAfter]` in milliseconds.
const interval = (change) => [msOf(change.not_before), msOf(change.not_after)];

function timeline({ holders, events }, seen) {
  const now = clock();
  const began = beginning(holders, events, seen, now);
  const percent = (time) => Math.min(100, Math.max(0, ((time - began) / (now - began)) * 100));
  const places = placesOf(holders);
  const versions = [...new Set(holders.map((row) => row.version))].sort((a, b) => a - b);
  const colourOf = (version) => versions.indexOf(version) % COLOURS;
  const unknown = [
    ...(seen.firstLook ? [[began, seen.firstLook]] : []), ...seen.gaps, ...(seen.until ? [[seen.until, now]] : []),
  ];
  const lanes = places.slice(0, MOST_PLACES)
    .flatMap((rows) => placeLanes(rows, { now, percent, unknown, colourOf }));
  return [
    h("figure", { class: "timeline" },
      hatching(),
      lanes,
      verdictLanes(events, now, percent),
      axis(began, now),
      h("figcaption", { class: "unseen" }, `From ${utc(began)} to now.`)),
    note(
      holders.length > 0 && "Hatched: not known, since the service saw the change only later, or did not look. ",
      seen.firstLook && `It first looked at this registry on ${utc(seen.firstLook)}. `,
      places.length > MOST_PLACES && `${places.length - MOST_PLACES} more aliases are in the table. `,
      seen.left > 0 && `${many(seen.left, "earlier holder")} are not shown.`),
    holders.length > 0 && h("details", {}, h("summary", {}, "Stages and aliases as a table"), holderTable(holders)),
  ];
}

// Where the lanes begin: at the first change or event, or at the first look where it found somebody there.
function beginning(holders, events, { firstLook }, now) {
  const changes = holders.map(({ since }) => (since ? interval(since)[0] : firstLook));
  const times = [...changes, ...events.map((event) => msOf(event.at))].filter((time) => time !== null);
  return Math.min(...times, now - MINUTE_MS);
}

// The holders of each place: the stages first, then the aliases that a version has now.
function placesOf(holders) {
  const places = new Map();
  for (const row of holders) {
    const key = JSON.stringify([row.stage, row.alias]);
    places.set(key, [...(places.get(key) ?? []), row]);
  }
  const rank = ([{ stage }, ...rest]) => (stage ? 0 : 2) + ([...rest].every((row) => row.until) ? 1 : 0);
  return [...places.values()].sort((a, b) =>
    rank(a) - rank(b) || placeName(a[0]).localeCompare(placeName(b[0])));
}

// The lanes of a place: one, unless several versions were there at the same time.
function placeLanes(holders, { now, percent, unknown, colourOf }) {
  const rows = [];
  for (const holder of [...holders].reverse()) {
    const from = holder.since ? interval(holder.since)[1] : 0;
    const to = holder.until ? interval(holder.until)[1] : Infinity;
    const row = rows.find((other) => other.to <= from);
    if (row) Object.assign(row, { holders: [...row.holders, holder], to });
    else rows.push({ holders: [holder], to });
  }
  const [{ stage, alias }] = holders;
  const name = placeName(holders[0]);
  return rows.map((row, index) => lane(index ? null : name, JSON.stringify([stage, alias, index]), [
    row.holders.map((holder) => segment(holder, now, percent, colourOf(holder.version))),
    changesOf(row.holders).map((change) => hatched(interval(change), percent)),
    unknown.map((times) => hatched(times, percent)),
  ]));
}

// The changes between holders, each once: with one of them a version may come and another leave.
function changesOf(holders) {
  const changes = holders.flatMap(({ since, until }) => [since, until]).filter(Boolean);
  return [...new Map(changes.map((change) => [change.id, change])).values()];
}

const lane = (name, key, content, kind = "") => h("div", { class: `lane ${kind}`, "data-key": key },
  h("span", { class: "name" }, name && h("bdi", {}, name)),
  svg("svg", { "aria-hidden": "true", focusable: "false" }, content));

const TICKS = [[0, "start"], [1 / 3, "middle"], [2 / 3, "middle"], [1, "end"]];

const axis = (began, now) => lane(null, "axis", TICKS.map(([share, anchor]) =>
  svg("text", { x: `${share * 100}%`, y: "14", "text-anchor": anchor, class: anchor },
    share === 1 ? "now" : utc(began + share * (now - began)))), "axis");

function segment(holder, now, percent, colour) {
  const from = percent(holder.since ? interval(holder.since)[1] : -Infinity);
  const to = percent(holder.until ? interval(holder.until)[1] : now);
  const width = `${Math.max(LEAST_WIDTH, to - from)}%`;
  return svg("svg", { x: `${from}%`, width, class: `held ink-line-${colour}` },
    svg("title", {}, inWords(holder)),
    svg("rect", { width: "100%", height: "100%", class: "ground" }),
    svg("rect", { width: "3", height: "100%" }),
    svg("text", { x: "8", y: "14" }, `v${holder.version}`));
}

function hatched([from, to], percent) {
  const width = percent(to) - percent(from);
  if (width < LEAST_WIDTH) return null;
  return svg("rect", { x: `${percent(from)}%`, width: `${width}%`, height: "100%", fill: HATCHED, class: "unknown" },
    svg("title", {}, `not known from ${utc(from)} to ${utc(to)}`));
}

// The pattern of what is not known. It is defined once, and all lanes refer to it.
const hatching = () => svg("svg", { class: "pattern", "aria-hidden": "true", focusable: "false" },
  svg("defs", {}, svg("pattern", { id: "unknown", width: "6", height: "6", patternUnits: "userSpaceOnUse" },
    svg("rect", { width: "6", height: "6", class: "hatch-ground" }),
    svg("path", { d: "M0 6L6 0", class: "hatch-line" }))));

// When a change was, as far as it is known, and who made it.
function moment(change) {
  const [from, to] = interval(change);
  const when = to - from < MINUTE_MS ? utc(to) : `between ${utc(from)} and ${utc(to)}`;
  return `${when}, ${change.actor ? `by ${change.actor}` : "outside this service"}`;
}

const inWords = (holder) => [
  `v${holder.version}: ${placeName(holder)}`,
  holder.since ? `since ${moment(holder.since)}` : "since before the first look",
  holder.until && `until ${moment(holder.until)}`,
].filter(Boolean).join("; ");

// What the charts mark: where a version got or lost a stage or an alias. `{from, to, name, words}`, the times in
// seconds.
export function marksOf(version, holders) {
  const marks = new Map();
  const add = (change, sign, verb, place) => {
    if (!change) return;
    const key = `${change.id} ${sign}`;
    marks.set(key, { change, sign, verb, places: [...(marks.get(key)?.places ?? []), place] });
  };
  for (const holder of holders.filter((row) => row.version === version)) {
    add(holder.since, "▲", "got", placeName(holder));
    add(holder.until, "▼", "lost", placeName(holder));
  }
  return [...marks.values()].map(({ change, sign, verb, places }) => {
    const [from, to] = interval(change).map((time) => time / 1000);
    const name = places.join(", ");
    return { from, to, name: `${sign} ${name}`, words: `v${version} ${verb} ${name}: ${moment(change)}` };
  });
}

function holderTable(holders) {
  return table("Stages and aliases over time", ["Stage or alias", "Version", "Since", "Until"],
    holders.map((holder) => ({
      key: JSON.stringify([holder.stage, holder.alias, holder.version, holder.since?.id]),
      cells: [
        h("span", { class: "name" }, h("bdi", {}, placeName(holder))),
        `v${holder.version}`,
        holder.since ? moment(holder.since) : "before the first look",
        holder.until ? moment(holder.until) : none(),
      ],
    })));
}

// The stretches of one verdict, from events with the newest first: `{from, to, verdict}`, times in milliseconds.
function stretches(events, now) {
  const closed = [];
  let open = null;
  const close = (time) => {
    if (open && time > open.from) closed.push({ ...open, to: time });
    open = null;
  };
  for (const event of [...events].reverse()) {
    if (!CHANGES.includes(event.event)) continue;
    const time = msOf(event.at);
    close(time);
    if (event.event !== "removed") {
      open = { from: time, verdict: event.event === "verdict" ? event.verdict : "insufficient_data" };
    }
  }
  close(now);
  return closed;
}

// A lane for each version that was monitored. The activity has the same in words.
function verdictLanes(events, now, percent) {
  const versions = [...new Set(events.map((event) => event.version))].sort((a, b) => b - a);
  const bar = ({ from, to, verdict }) => svg("rect", {
    class: verdict, x: `${percent(from)}%`, width: `${Math.max(LEAST_WIDTH, percent(to) - percent(from))}%`,
    height: "100%",
  }, svg("title", {}, `${word(verdict)} from ${utc(from)}`));
  return versions.map((version) => lane(`v${version} verdict`, `verdict ${version}`,
    stretches(events.filter((event) => event.version === version), now).map(bar)));
}
