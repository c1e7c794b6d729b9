// The page of one registered model. Its parts share what is known of the versions: `model`.

import { get, path, query } from "./api.js";
import { historyList } from "./history.js";
import { h, note } from "./dom.js";
import { comparison } from "./model/comparison.js";
import { metricCharts } from "./model/charts.js";
import { dataOf } from "./model/data.js";
import { promotionsOf } from "./model/promotions.js";
import { drawStanding } from "./model/standing.js";
import { timelineOf } from "./model/timeline.js";
import { versionList } from "./model/versions.js";

const MOST_EVENTS = 200;
const HISTORY_SECONDS = 120;

const model = {
  // Read from the address, because markup would change some characters that a name may hold.
  name: decodeURIComponent(location.pathname.split("/")[3]),
  versions: [],
  // The entries of `/monitoring` by version.
  registrations: new Map(),
  // The entries of `/monitoring/watches`.
  watches: [],
  // The rows of `/model/{name}/holders`, and the events of `/monitoring/history`, both newest first.
  holders: [],
  events: [],
  // Changes with versions and registrations; "" before they are read.
  tag: "",
};

const drawVersions = versionList(document.getElementById("versions"), model, {
  read: readModel,
  changed: drawAgain,
});

const drawHistory = historyList(document.getElementById("history"), {
  values: { name: model.name, page_size: MOST_EVENTS },
  link: (event) => h("strong", {}, `v${event.version}`),
  read: (events) => {
    model.events = events;
    timeline.draw();
  },
  rest: ({ body, pages }) => pages.total > body.length
    && note(`Earlier events that are not shown: ${pages.total - body.length}`),
  nothing: () => "No version of this model has been monitored.",
  seconds: HISTORY_SECONDS,
});

const charts = metricCharts(model);
const compared = comparison(model);
const timeline = timelineOf(model, charts.drawMarks);
dataOf(model);

const drawPromotions = promotionsOf(model, drawAgain);

// After somebody has done something on this page.
function drawAgain() {
  return Promise.all([drawVersions(), drawHistory(), drawPromotions()]);
}

async function readModel(signal) {
  const [versions, monitoring, watches] = await Promise.all([
    get(path.of(model.name, "versions"), signal),
    get(`/monitoring${query({ name: model.name, page_size: 1000 })}`, signal),
    get(`/monitoring/watches${query({ model: model.name })}`, signal),
  ]);
  const before = model.tag;
  // The filter by name also finds models whose names contain this one's.
  const registrations = monitoring.body.filter((row) => row.model_name === model.name);
  model.versions = versions.body;
  model.registrations = new Map(registrations.map((row) => [row.model_version, row]));
  model.watches = watches.body;
  model.tag = versions.tag + monitoring.tag;
  drawStanding(document.getElementById("standing"), model);
  compared.offerVersions();
  charts.offerVersions();
  if (model.tag !== before) {
    if (before) {
      drawHistory();
      timeline.read();
    }
    charts.draw();
  }
  return versions;
}
