"""A champion and a challenger, with evidence."""

from app.domain.registry.names import EVALUATES
from app.domain.times import DAY_MS
from tests.fakes.memory_mlflow import MemoryWorld

NOON = 1_699_963_200_000  # 2023-11-14T12:00:00Z, ten hours before the world begins
STABLE = [0.92, 0.91, 0.93, 0.92, 0.90, 0.92, 0.91]


def two_versions(world: MemoryWorld, name: str = "m", **metrics: tuple[float, float]) -> None:
    """A champion and a challenger with one training value of each metric."""
    for number in (0, 1):
        world.add_version(name, {metric: values[number] for metric, values in metrics.items()})
    world.set_alias(name, "champion", 1)
    world.set_alias(name, "challenger", 2)


def evaluate(world: MemoryWorld, name: str, version: int, metric: str, values: list[float]) -> None:
    """Score a version once a day."""
    run = world.add_run({}, {EVALUATES: f"models:/{name}/{version}"})
    for day, value in enumerate(values):
        world.log_metric(run, metric, value, NOON - day * DAY_MS)
