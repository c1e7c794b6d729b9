"""The exposition: the figures of several collectors in Prometheus' text format."""

from collections.abc import Iterator

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class Exposition:
    """The answer to a scrape."""

    def __init__(self, *collectors: Collector) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        for collector in self._collectors:
            yield from collector.collect()

    def text(self) -> bytes:
        """The text, format 0.0.4, in UTF-8. Raises `LockTimeout` where another scrape takes too long."""
        return generate_latest(self)
