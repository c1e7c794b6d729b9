"""What all tests share. Servers start when the first test asks for them; fast tests run first."""

import gc
import os
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.servers import QUIET, SEEDED_MODELS, Proxy, Redis, Tower, mlflow_server, redis_server, tower, until

# Until all tests are collected.
gc.disable()
# mlflow reads it when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# OpenMP and OpenBLAS read these when they are loaded. Their threads wait for each other by spinning: with as many test
# processes as cores, the training of a small model took ten times as long.
for _threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

_ORDER = ("unit", "api", "demo", "contract", "integration", "browser", "long")
# Modules of tests/integration by the towers and servers that they share, those that take longest first.
_TOGETHER = {
    "reading, behind a proxy": ("test_bad_days", "test_refresh"),
    "reading": ("test_service", "test_prometheus", "test_registrations"),
    "reading, in towers of their own": ("test_cleaners", "test_deployment"),
    "writing": ("test_freshness", "test_monitoring", "test_compare", "test_data"),
    "writing, in towers of their own": ("test_watches", "test_writes", "test_clock", "test_registry_history"),
}
# Modules of tests/contract that ask an MLflow over HTTP in every test; others say so in the parameter.
_OVER_HTTP = ("test_real_gateway", "test_webhooks")
# Modules of tests/browser with a tower of their own. In one process, all of tests/browser would end last.
_OTHER_PAGES = ("test_promotions",)
# What takes longest begins first, so that no process has much left when all others are done.
_LONGEST_FIRST = (
    "browser",
    "other pages in the browser",
    "test_openapi_document",
    "test_hosts",
    "contract",
    *_TOGETHER,
    "test_pairs_of_hosts",
    "demo",
)


def _place_of(nodeid: str) -> str:
    """What runs in one process: tests of the same place. Other tests go wherever there is room."""
    path, _, test = nodeid.partition("::")
    folder, module = Path(path).parent.name, Path(path).stem
    if folder == "contract":
        return folder if module in _OVER_HTTP or "http" in test.partition("[")[2] else nodeid
    if folder == "browser" and module in _OTHER_PAGES:
        return "other pages in the browser"
    if folder == "integration":
        return next((place for place, modules in _TOGETHER.items() if module in modules), module)
    return folder if folder in ("browser", "demo") else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadscope`, have tests that share servers run in one process, the longest of these places first.

    A tower takes some seconds of processor time to start, and each process has its own.
    """
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByServers(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _place_of(nodeid)

        def _assign_work_unit(self, node: Any) -> None:
            longest = next((place for place in _LONGEST_FIRST if place in self.workqueue), None)
            if longest:
                self.workqueue.move_to_end(longest, last=False)
            super()._assign_work_unit(node)

    return ByServers(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fast tests first. Coverage does not look at property tests.

    It would double their time, and sees nothing that it does not see in the tests beside them.
    """

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return _ORDER.index(folder) if folder in _ORDER else len(_ORDER)

    items.sort(key=place)
    for item in items:
        is_of_properties = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if is_of_properties and config.pluginmanager.hasplugin("pytest_cov"):
            item.add_marker(pytest.mark.no_cover)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let the garbage collector look at what the tests make, and not again and again at the modules and the tests."""
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def mlflow_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the MLflow that tests write to has its database, `mlflow.db`."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture(scope="session")
def mlflow_url(mlflow_folder: Path) -> Iterator[str]:
    """A real MLflow that tests write to, under names of their own."""
    with mlflow_server(mlflow_folder, MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS="true") as url:
        yield url


@pytest.fixture(scope="module")
def delivering_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow that delivers to plain and private addresses.

    Each module has its own: what reaches nobody is delivered again and again, for minutes.
    """
    with mlflow_server(
        tmp_path_factory.mktemp("delivering"),
        MLFLOW_WEBHOOK_ALLOWED_SCHEMES="http,https",
        MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS="true",
        MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY=Fernet.generate_key().decode(),
    ) as url:
        yield url


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A real Redis; tests use prefixes of their own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="session")
def seeded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real MLflow with three versions of each of its models, which tests only read and register in."""
    from tests.seeding import seed  # it loads mlflow, which most processes of a test run do without

    folder = tmp_path_factory.mktemp("seeded")
    with mlflow_server(folder) as url:
        seed(folder / "mlflow.db", models=SEEDED_MODELS)
        yield url


@pytest.fixture(scope="module")
def between(seeded_url: str) -> Iterator[Proxy]:
    """A proxy before the seeded MLflow, for the towers of one module."""
    with closing(Proxy(seeded_url)) as made:
        yield made


@pytest.fixture(scope="session")
def proxy_of_all(seeded_url: str) -> Iterator[Proxy]:
    """A proxy before the seeded MLflow, for towers that several tests share."""
    with closing(Proxy(seeded_url)) as made:
        yield made


@pytest.fixture
def proxy(proxy_of_all: Proxy) -> Iterator[Proxy]:
    """That proxy, which lets everything pass again at the end."""
    yield proxy_of_all
    proxy_of_all.mode, proxy_of_all.delay = "up", 0.0
    proxy_of_all.gate.set()


@pytest.fixture(scope="session")
def tower_behind_proxy(tmp_path_factory: pytest.TempPathFactory, proxy_of_all: Proxy) -> Iterator[Tower]:
    with tower(tmp_path_factory.mktemp("proxied"), proxy_of_all.url, forked=True, **QUIET) as running:
        yield running


@pytest.fixture
def proxied(tower_behind_proxy: Tower) -> Tower:
    """A tower of two workers behind the proxy that is through with its start, and asks nothing of its own accord."""
    until(lambda: tower_behind_proxy.get("/dashboard/summary").json()["total_runs"] is not None)
    return tower_behind_proxy


@pytest.fixture(scope="session")
def written_tower(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[Tower]:
    """A tower of two workers over the MLflow that tests write to. It asks nothing of its own accord."""
    settings = {"MONITORING_EXPERIMENT": "written", "MLFLOW_REQUEST_TIMEOUT_SECONDS": "30"}
    with tower(tmp_path_factory.mktemp("written"), mlflow_url, forked=True, **QUIET, **settings) as running:
        yield running


@pytest.fixture(scope="session")
def shared_tower(tmp_path_factory: pytest.TempPathFactory, seeded_url: str) -> Iterator[Tower]:
    """A tower of two workers over the seeded MLflow, for tests that only read.

    Coverage looks at this one only: at the other towers it would see the same, in twice their time.
    """
    with tower(tmp_path_factory.mktemp("shared"), seeded_url, covered=True, forked=True) as running:
        yield running
