// How fresh the data is, what the cache holds, and the configuration.

import { get } from "./api.js";
import { ago, h, none, pairs, show, table } from "./dom.js";
import { part, role } from "./shell.js";

const KINDS = {
  push: ["Push", "MLflow's webhooks: new models and versions, aliases, tags of versions, within a second"],
  poll: ["Poll", "the newest rows: new models and versions, stages, descriptions, renames, deleted versions"],
  alias_poll: ["Alias poll", "all models: aliases, tags of models, deleted models"],
  sweep: ["Sweep", "everything: also tags of versions, metrics of runs, experiments; the button Refresh is one"],
  checks: ["Checks", "the verdicts on what is monitored"],
};
const yes = (value) => (value ? "yes" : "no");

function freshness(body) {
  return table("Freshness", ["How", "What it finds", "On", "Last run", "Took", "MLflow requests", "Changed", "Last failure"],
    Object.entries(body.freshness).map(([kind, one]) => ({
      key: kind,
      cells: [
        KINDS[kind]?.[0] ?? kind, h("span", { class: "quiet" }, KINDS[kind]?.[1] ?? ""), yes(one.enabled), ago(one.last_run),
        one.duration_seconds === null ? none() : `${one.duration_seconds} s`, one.mlflow_requests ?? none(), one.models_changed ?? none(),
        one.last_failure ? [ago(one.last_failure), h("div", { class: "quiet" }, one.last_error ?? "")] : "none",
      ],
    })));
}

function cache({ cache_info: info, tracking_info: tracking, system_status: status }) {
  const { persistence } = info;
  return pairs({
    "Model versions": info.total_models,
    "In Production": tracking.production_models,
    "In Staging": tracking.staging_models,
    "Monitored": tracking.monitored_models,
    "Read": { cached: "from the snapshot", direct: "from MLflow at each request: the cache is off", mock: "sample data" }[status.tracking_method] ?? status.tracking_method,
    "Last refresh": ago(info.last_refresh),
    "Refreshing now": yes(info.is_refreshing),
    "Stale": `${yes(info.is_stale)}, after ${persistence.max_age_hours} hours`,
    "Rows of MLflow's that cannot be read": info.unreadable_rows,
    "Kept over a restart": persistence.enabled ? `${Math.ceil((persistence.cache_file_size_bytes ?? 0) / 1024)} KiB in ${persistence.cache_directory}` : "no",
    "MLflow": status.mlflow_connected ? "connected" : "not reachable",
  });
}

function configuration(body) {
  return pairs({
    "MLflow": body.mlflow.tracking_uri,
    "Logs in to MLflow": yes(body.mlflow.authentication),
    "Listens at": `${body.api.host}:${body.api.port}`,
    "Version": body.api.version,
    ...Object.fromEntries(Object.entries(body.features).map(([name, on]) => [name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " "), yes(on)])),
  });
}

if (role === "admin") {
  const place = Object.fromEntries(["freshness", "cache", "config"].map((id) => [id, document.getElementById(id)]));
  part(place.freshness, async (signal) => {
    const { body } = await get("/cache/info", signal);
    show(place.freshness, freshness(body));
    show(place.cache, cache(body));
  }, { seconds: 5 });
  part(place.config, async (signal) => show(place.config, configuration((await get("/config", signal)).body)), { seconds: 60 });
}
