// How fresh the data is, what the cache holds, and the configuration.

import { get } from "./api.js";
import { ago, h, head, show, table } from "./dom.js";
import { failed, page, role } from "./shell.js";

const NAMES = { push: "Push", poll: "Poll", alias_poll: "Alias poll", sweep: "Sweep", checks: "Checks" };
const freshness = document.getElementById("freshness");
const cache = document.getElementById("cache");

async function drawFreshness() {
  const { body } = await get("/cache/info");
  show(freshness, table("Freshness", ["How", "On", "Last run", "Took", "MLflow requests", "Changed", "Last failure"],
    Object.entries(body.freshness).map(([kind, one]) => [
      head(NAMES[kind] ?? kind), one.enabled ? "yes" : "no", ago(one.last_run),
      one.duration_seconds === null ? "–" : `${one.duration_seconds} s`, one.mlflow_requests ?? "–", one.models_changed ?? "–",
      one.last_failure ? [ago(one.last_failure), h("div", { class: "quiet" }, one.last_error ?? "")] : "none",
    ])));
  show(cache, list({
    "Model versions": body.cache_info.total_models,
    "Monitored": body.tracking_info.monitored_models,
    "Last refresh": ago(body.cache_info.last_refresh),
    "Refreshing now": body.cache_info.is_refreshing ? "yes" : "no",
    "Stale": body.cache_info.is_stale ? "yes" : "no",
    "Rows that cannot be read": body.cache_info.unreadable_rows,
    "Kept on disk": body.cache_info.persistence.enabled ? `${Math.round((body.cache_info.persistence.cache_file_size_bytes ?? 0) / 1024)} KiB` : "no",
    "MLflow": body.system_status.mlflow_connected ? "connected" : "not reachable",
  }));
}

function list(values) {
  return h("dl", {}, Object.entries(values).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value instanceof Element ? value : String(value))]));
}

async function drawConfiguration() {
  const place = document.getElementById("config");
  try {
    const { body } = await get("/config");
    show(place, list({
      "MLflow": body.mlflow.tracking_uri,
      "Logs in to MLflow": body.mlflow.authentication ? "yes" : "no",
      "Listens at": `${body.api.host}:${body.api.port}`,
      "Version": body.api.version,
      ...Object.fromEntries(Object.entries(body.features).map(([name, on]) => [name.replaceAll("_", " "), on ? "yes" : "no"])),
    }));
  } catch (error) {
    failed(place, error);
  }
}

if (role === "admin") {
  page(freshness, drawFreshness, 5);
  drawConfiguration();
}
