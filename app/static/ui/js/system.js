// How fresh the data is, what the cache holds, and the configuration.

import { get } from "./api.js";
import { ago, h, none, pairs, show, table } from "./dom.js";
import { always, mayAdminister, part } from "./shell.js";

// The name of each kind of update, and what it finds.
const KINDS = {
  push: ["Push", "reported by MLflow's webhooks within a second: new models and versions, aliases, tags of versions"],
  poll: ["Poll", "in the newest rows: new models and versions, stages, descriptions, renames, deleted versions"],
  alias_poll: ["Alias poll", "in all models: aliases, tags of models, deleted models"],
  sweep: ["Sweep", "everything, also tags of versions, metrics of runs, experiments; the button Refresh starts it"],
  checks: ["Checks", "verdicts on the monitored versions"],
};
const SOURCES = {
  cached: "the snapshot", direct: "MLflow at each request, because the cache is off", mock: "sample data",
};
const COLUMNS = [
  "Update", "What it detects", "Enabled", "Last run", "Duration", "MLflow requests", "Changed", "Last failure",
];

const yesOrNo = (value) => (value ? "yes" : "no");

function freshnessTable({ freshness }) {
  const tableRow = ([kind, state]) => {
    const [name, finds] = KINDS[kind] ?? [kind, ""];
    return {
      key: kind,
      cells: [
        name,
        h("span", { class: "quiet" }, finds),
        yesOrNo(state.enabled),
        ago(state.last_run),
        state.duration_seconds === null ? none() : `${state.duration_seconds} s`,
        state.mlflow_requests ?? none(),
        state.models_changed ?? none(),
        state.last_failure ? [ago(state.last_failure), h("div", { class: "quiet" }, state.last_error ?? "")] : "none",
      ],
    };
  };
  return table("Freshness", COLUMNS, Object.entries(freshness).map(tableRow));
}

// Only where several hosts serve as one.
const hostsOf = (hosts) => hosts && {
  "Hosts": `${hosts.alive} alive; ${hosts.leader ?? "none"} leads`,
  "Redis": hosts.redis,
};

function cachePairs(info, hosts) {
  const { cache_info: cache, tracking_info: tracking, system_status: status, mlflow_server: server, refresh } = info;
  const { persistence } = cache;
  const kibibytes = Math.ceil((persistence.cache_file_size_bytes ?? 0) / 1024);
  return pairs({
    "Model versions": cache.total_models,
    "In Production": tracking.production_models,
    "In Staging": tracking.staging_models,
    "Monitored": tracking.monitored_models,
    ...(refresh.registrations_error ? { "Registrations not read": refresh.registrations_error } : {}),
    "Source of the data": SOURCES[status.tracking_method] ?? status.tracking_method,
    "Last refresh": ago(cache.last_refresh),
    "Refreshing now": yesOrNo(cache.is_refreshing),
    "Stale": `${yesOrNo(cache.is_stale)} (the limit is ${persistence.max_age_hours} hours)`,
    "Rows in MLflow that cannot be read": cache.unreadable_rows,
    "Kept across restarts": persistence.enabled ? `${kibibytes} KiB in ${persistence.cache_directory}` : "no",
    "MLflow": status.mlflow_connected ? "connected" : "unreachable",
    "MLflow's version": server.version ?? "unknown",
    ...(server.lacks.length ? { "Not in this version of MLflow": server.lacks.join(", ") } : {}),
    ...(server.other_workspaces.length ? { "Workspaces not shown here": server.other_workspaces.join(", ") } : {}),
    ...hostsOf(hosts),
  });
}

function configurationPairs({ mlflow, api, features }) {
  const words = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");
  return pairs({
    "MLflow": mlflow.tracking_uri,
    ...(mlflow.workspace ? { "Workspace": mlflow.workspace } : {}),
    "Authentication at MLflow": yesOrNo(mlflow.authentication),
    "Address": `${api.host}:${api.port}`,
    "Version": api.version,
    ...Object.fromEntries(Object.entries(features).map(([name, isOn]) => [words(name), yesOrNo(isOn)])),
  });
}

function drawSystem() {
  const [freshness, cache, config] = ["freshness", "cache", "config"].map((id) => document.getElementById(id));
  part(freshness, async (signal) => {
    const { body } = await get("/cache/info", signal);
    show(freshness, freshnessTable(body));
    const { body: health } = await get("/health", signal);
    show(cache, cachePairs(body, health.hosts));
  }, { seconds: 5, of: always });
  part(config, async (signal) => {
    const { body } = await get("/config", signal);
    show(config, configurationPairs(body));
  }, { seconds: 60, of: always });
}

// Other roles may not read these.
if (mayAdminister) drawSystem();
