// The fleet: tiles that filter, the versions that need attention, and the registered models with their versions.

import { get, path, query } from "./api.js";
import { ago, h, many, named, none, note, number, show, table } from "./dom.js";
import { isPast, knownCell, pastForm, unknownNote } from "./fleet_past.js";
import { list, pager, sortable } from "./list.js";
import { monitorButton } from "./monitor.js";
import {
  addressList, addressValues, ageNote, always, choices, hasMlflow, inMlflow, onAddress, part, redraw, setAddress,
} from "./shell.js";
import { VERDICTS, badge, change, isBad, marks, reasons, since, spark, word } from "./verdict.js";

const PAGE_SIZE = 50;
const MOST_CARDS = 4;
// How many versions of an opened model there are; the model's page has all of them.
const MOST_VERSIONS = 20;
// The names of the opened models stand in the address, which may not grow without end.
const LONGEST_OPEN = 2000;
const TILES = [
  ...VERDICTS.map((verdict) => ({
    filter: { verdict }, words: word(verdict), class: verdict, count: (summary) => summary.verdicts[verdict],
  })),
  ...[["production_without_monitor", "unwatched"], ["production_stale", "stale"]].map(([finding, kind]) => ({
    filter: { finding }, words: new Map(choices.finding).get(finding), class: kind,
    count: (summary) => summary.findings[finding],
  })),
];
// The cells that a card on a narrow screen always shows: the verdict; of the past version, stage, and whether all of it
// is known.
const brief = () => (isPast() ? [1, 2, 4] : [4]);
const PAST_COLUMNS = () => [
  sortable("Model", "name"), "Version", "Stage", sortable("Verdict", "verdict"), "Known for sure",
];
const columns = () => (isPast() ? PAST_COLUMNS() : [
  sortable("Model", "name"), sortable("Owner", "owner"), "Version", "Stage", sortable("Verdict", "verdict"), "Metric",
  "vs baseline", "Trend", sortable("Last point", "-last_at"), sortable("Last updated", "-last_updated_timestamp"),
  ...(hasMlflow ? ["MLflow"] : []),
]);
const tiles = document.getElementById("tiles");
const attention = document.getElementById("attention");
const form = document.getElementById("filters");

const keyOf = (row) => `${row.name}\n${row.version}`;

// What the address asks for beside the models that are opened.
const asked = () => {
  const { open: _, ...values } = addressValues();
  return values;
};

list(document.getElementById("models"), {
  form,
  read: readModels,
  content: (rows, answer) => [
    matched(answer),
    isPast() && unknownNote(answer),
    table("Models", columns(), rows.flatMap((row) => modelRows(row, answer))),
  ],
  rest: pager,
  nothing: () => (isPast()
    ? "There was no model version at that time."
    : "There is no model version in MLflow yet. A version that you register there appears here within seconds."),
  of: () => query(asked()),
});

// A page of the models. `opened` has for each opened model on it the answer with its versions.
async function readModels(signal) {
  const wanted = asked();
  const answer = await get(`/fleet/models${query({ ...wanted, page_size: PAGE_SIZE })}`, signal);
  const names = addressList("open").filter((name) => answer.body.some((row) => row.name === name));
  const { page: _, sort: __, ...filters } = wanted;
  const versions = await Promise.all(names.map((model) =>
    get(`/fleet${query({ ...filters, model, page_size: MOST_VERSIONS })}`, signal)));
  return { ...answer, opened: new Map(names.map((name, index) => [name, versions[index]])) };
}

const drawPresent = part(attention, async (signal) => {
  // The figures and what needs attention are those of now.
  if (isPast()) return;
  const { body: summary } = await get("/fleet/summary", signal);
  drawTiles(summary);
  const worst = await get(`/fleet?monitored=true&sort=verdict&page_size=${MOST_CARDS}`, signal);
  if (summary.monitored) drawAttention(worst.body, summary);
  else await drawFirstSteps(summary, signal);
}, { of: always });

pastForm(form, drawPresent);

onAddress(() => {
  [...tiles.children].forEach((button, index) => { button.ariaPressed = String(isPressed(TILES[index])); });
});

const isPressed = ({ filter }) => Object.entries(filter).every(([name, value]) => addressValues()[name] === value);

function drawTiles(summary) {
  // No version is in two of these groups, so a tile replaces the filter of another.
  const toggle = (tile) =>
    setAddress({ verdict: "", finding: "", monitored: "", ...(isPressed(tile) ? {} : tile.filter) });
  show(tiles, TILES.map((tile) => h("button", {
    type: "button", class: `tile ${tile.class}`, "aria-pressed": String(isPressed(tile)),
    "data-count": tile.count(summary), onclick: () => toggle(tile),
  }, h("strong", {}, String(tile.count(summary))), h("span", {}, tile.words))));
}

const modelLink = (row) => h("a", { href: path.model(row.name) }, named(row.name, ` v${row.version}`));

function drawAttention(rows, { verdicts, attention: { message, missing, idle_watches: idle } }) {
  const bad = rows.filter((row) => isBad(row.verdict));
  const total = verdicts.drifting + verdicts.degraded;
  const lacking = [
    note(`${message}.`, idle > 0 && [" ", h("a", { href: "findings?finding=watch_covers_nothing" }, "Which?")]),
    missing.length > 0 && h("details", {}, h("summary", {}, "What is missing"),
      h("ul", {}, missing.map(({ what, versions }) => h("li", {}, `${many(versions, "version")}: ${what}`)))),
  ];
  if (!bad.length) {
    show(attention, lacking);
    return;
  }
  const card = (row) => h("li", { class: `card ${row.verdict}`, "data-key": keyOf(row) },
    h("div", { class: "grow" },
      modelLink(row), " ", badge(row.verdict), marks(row), " ", since(row),
      h("div", {}, reasons(row.reasons, row.verdict))),
    row.metric && h("figure", { class: "small" },
      spark(row.metric.recent, row.verdict), h("figcaption", { class: "quiet" }, row.metric.name)));
  show(attention,
    h("ul", { class: "cards" }, bad.map(card)),
    total > bad.length
      && note(`${total - bad.length} more need attention. The tiles above filter the list by verdict.`),
    (missing.length > 0 || idle > 0) && lacking);
}

// Nothing is monitored: offer to monitor the versions in Production.
async function drawFirstSteps(summary, signal) {
  const answer = await get(`/fleet?finding=production_without_monitor&page_size=${MOST_CARDS}`, signal);
  const { body: rows, mock } = answer;
  const card = (row) => h("li", { class: "card", "data-key": keyOf(row) },
    h("div", { class: "grow" }, modelLink(row), h("span", { class: "quiet" }, " in Production")),
    !mock && monitorButton(row.name, row, redraw));
  show(attention,
    ageNote(answer),
    summary.attention.idle_watches > 0 && note(`${summary.attention.message}.`),
    !mock && note(summary.versions
      ? "Nothing is monitored yet. The service checks monitored versions for drift and keeps a history of verdicts."
      : "Nothing is monitored yet. MLflow has no model version."),
    rows.length > 0 && h("ul", { class: "cards" }, rows.map(card)),
    rows.length === 0 && summary.versions > 0
      && note("No version is in Production. Open a model to monitor one of its versions."));
}

// How many models and versions match, and which filters they match.
function matched({ pages: { total, versions } }) {
  const chosen = [...form.elements]
    .filter((field) => field.name && field.name !== "sort" && addressValues()[field.name])
    .map((field) => `${field.labels[0].firstChild.textContent.trim().toLowerCase()} `
      + (field.selectedOptions?.[0].text ?? field.value));
  const words = `${many(total, "model")}, ${many(versions, "version")}`;
  return h("p", { class: "note", role: "status" }, chosen.length ? `${words} with ${chosen.join(", ")}` : words);
}

// Open or close the versions of a model. The models that were opened first make room for later ones.
function toggle(name) {
  const others = addressList("open").filter((other) => other !== name);
  const isOpen = others.length < addressList("open").length;
  const open = isOpen ? others : [...others, name];
  while (open.length > 1 && encodeURIComponent(open.join("")).length > LONGEST_OPEN) open.shift();
  setAddress({ open, page: addressValues().page ?? "" }, true);
}

// The row of a model, and those of its versions where it is open.
function modelRows(row, { opened, mock }) {
  const { name, key_version: key } = row;
  const versions = opened.get(name);
  const button = row.versions > 1 && h("button", {
    type: "button", class: "unfold", "aria-expanded": String(Boolean(versions)),
    "aria-label": `${row.versions} versions of ${name}`, onclick: () => toggle(name),
  }, `${versions ? "▾" : "▸"} ${row.versions}`);
  const others = row.in_production.filter((version) => version !== key.version);
  const title = [button, h("a", { href: path.model(name) }, named(name))];
  const aliases = key.aliases.length > 0 && h("span", { class: "quiet" }, ` ${key.aliases.join(", ")}`);
  const stage = [
    key.stage === "None" && others.length ? null : stageOf(key),
    others.length > 0 && h("div", { class: "quiet" }, `v${others.join(", v")} in Production`),
  ];
  return [
    {
      key: name, name, class: "model", brief: brief(),
      cells: isPast()
        ? [title, [`v${key.version}`, aliases], stage, badge(key.verdict), knownCell(row)]
        : [
          title, key.owner ?? none(), [`v${key.version}`, aliases], stage,
          ...versionCells(key, row.last_updated_timestamp, mock),
        ],
    },
    ...(versions ? versionRows(name, versions) : []),
  ];
}

function versionRows(name, { body, pages, mock }) {
  const rows = body.map((row) => ({
    key: keyOf(row), name: `${name} version ${row.version}`, class: "version", brief: brief(),
    cells: isPast()
      ? [
        h("span", {}, `v${row.version}`), row.aliases.join(", ") || none(), stageOf(row), badge(row.verdict),
        knownCell(row),
      ]
      : [
        h("span", {}, `v${row.version}`), null, row.aliases.join(", ") || none(), stageOf(row),
        ...versionCells(row, row.last_updated_timestamp, mock),
      ],
  }));
  if (pages.total > body.length) {
    const link = h("a", { href: path.model(name) }, `All ${many(pages.total, "version")}`);
    rows.push({ key: `${name}\nrest`, class: "version", cells: [link, ...Array(columns().length - 1).fill(null)] });
  }
  return rows;
}

const stageOf = (row) => (row.stage === "None" ? none() : row.stage);

// The cells from the verdict on. The sample fleet is not in MLflow, so none of it can be registered.
function versionCells(row, updated, mock) {
  const { metric } = row;
  const offersMonitoring = row.findings.includes("production_without_monitor") && !mock;
  return [
    [badge(row.verdict), marks(row), offersMonitoring && [" ", monitorButton(row.name, row, redraw)]],
    metric ? [h("span", { class: "quiet" }, `${metric.name} `), number(metric.last)] : none(),
    change(metric ?? {}),
    spark(metric?.recent, metric?.verdict),
    metric?.last_at ? ago(metric.last_at) : none(),
    ago(updated),
    ...(hasMlflow ? [inMlflow.version(row.name, row.version, "open")] : []),
  ];
}
