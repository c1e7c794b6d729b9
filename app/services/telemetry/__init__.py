"""Telemetry: what Prometheus reads at `/metrics`.

`instruments` count events in every process; `state` reports at the scrape what the workers share.
prometheus_client reads the environment only when it is imported, so this package does not import it.
"""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "control_tower_"
