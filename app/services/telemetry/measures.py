"""The measures: the names, labels and buckets of all counters and histograms."""

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from app.domain.updates import KINDS
from app.services.telemetry import PREFIX

_REQUEST_BUCKETS = (0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 30)
_REFRESH_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

# The times at which series began are of no use here, and would add a third to the number of series.
disable_created_metrics()  # type: ignore[no-untyped-call]  # of prometheus_client


class Measures:
    """Every counter and histogram; durations in seconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Histogram(
            f"{PREFIX}request_duration_seconds",
            "Time to answer a request",
            ("route", "method", "status"),
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        self.refreshes = Histogram(
            f"{PREFIX}refresh_duration_seconds",
            "Time that reading MLflow took, by kind, failures too",
            ("kind",),
            buckets=_REFRESH_BUCKETS,
            registry=registry,
        )
        self.failed_refreshes = Counter(
            f"{PREFIX}refresh_failures_total", "Readings of MLflow that failed, by kind", ("kind",), registry=registry
        )
        self.mlflow_requests = Counter(f"{PREFIX}mlflow_requests_total", "Requests to MLflow", registry=registry)
        self.mlflow_failures = Counter(
            f"{PREFIX}mlflow_failures_total",
            "Requests to MLflow that it did not answer, or not in time, or failed on",
            registry=registry,
        )
        for kind in KINDS:
            # A series that began with its first failure would not show that failure as an increase.
            self.refreshes.labels(kind)
            self.failed_refreshes.labels(kind)
