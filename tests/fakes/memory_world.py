"""The world for tests in one process: an MLflow in memory, real files, a clock to turn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from app.services.agent.calls import Method, answer, arguments_of, methods_of, read_request
from app.services.data_drift.job import done
from app.services.data_drift.judge_job import judged
from app.services.host.file_cache import FileCache
from app.services.host.file_locks import FileLocks
from app.wiring.shared import AgentApi
from app.wiring.world import World, instruments
from tests.fakes.memory_mlflow import MemoryGateway

T = TypeVar("T")


class Clock:
    """Milliseconds since 1970, turned by the test; shares the world's time, which never stands still.

    `ahead` is by how many seconds this host's clock is wrong, which its monotonic one does not notice.
    """

    def __init__(self, gateway: MemoryGateway) -> None:
        self._world = gateway.world
        self.ahead = 0.0

    def __call__(self) -> int:
        return self._world.tick() + int(self.ahead * 1000)

    def monotonic(self) -> float:
        return self._world.seconds()

    def forward(self, seconds: float) -> None:
        self._world.now += int(seconds * 1000)


def memory_world(directory: Path, gateway: MemoryGateway | None = None, clock: Clock | None = None) -> World:
    """A world whose cache and locks lie in `directory`: two applications over one directory are two workers."""
    gateway = gateway or MemoryGateway()
    clock = gateway.clock = clock or Clock(gateway)
    return World(
        gateway=gateway,
        cache=FileCache(directory / "cache"),
        refresh_locks=FileLocks(directory / "locks", "refresh"),
        monitoring_locks=FileLocks(directory / "locks", "monitoring"),
        instruments=instruments(),
        clock=clock,
        monotonic=clock.monotonic,
        count=lambda order, body: done(order, body.read()),
        judge=lambda orders: [judged(order) for order in orders],
    )


def as_if_remote(api: AgentApi) -> AgentApi:
    """The agent's objects in this process, called through bytes as from another one."""
    return AgentApi(
        **{name: _through_bytes(interface, getattr(api, name)) for name, interface in AgentApi.__annotations__.items()}
    )


class _SameProcess:
    """An object whose calls and values cross as bytes; its time bounds do not."""

    def __init__(self, target: Any) -> None:
        self.target = target
        for name in ("patience", "within", "stop"):
            if hasattr(target, name):
                setattr(self, name, getattr(target, name))


def _through_bytes(interface: type[T], target: T) -> T:
    methods = {name: _crossing(method) for name, method in methods_of(interface).items()}
    return cast(T, type(f"Crossing{interface.__name__}", (_SameProcess,), methods)(target))


def _crossing(method: Method) -> Callable[..., Any]:
    def call(self: _SameProcess, *args: object, **kwargs: object) -> Any:
        args = tuple(arguments_of(method, read_request(method.request(args, kwargs, None))))
        return method.outcome(answer(lambda: getattr(self.target, method.name)(*args)))

    return call
