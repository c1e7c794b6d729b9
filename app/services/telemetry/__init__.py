"""Telemetry: what Prometheus reads at `/metrics`.

`instruments` count what happens, in every process; `state` tells what the workers share, at the scrape.
prometheus_client looks at the environment once, when it is imported: so nothing here does that by itself.
"""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "control_tower_"
