"""What the long tests share: for how long they go on, and the processes of a tower."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, default=2.0, help="How long each storm and each soak goes on.")


@pytest.fixture
def seconds(pytestconfig: pytest.Config) -> float:
    """How long to go on."""
    return float(pytestconfig.getoption("--minutes")) * 60
