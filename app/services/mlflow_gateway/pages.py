"""Reading long lists from MLflow in few, large pages that shrink when the server is too slow for them."""

from collections.abc import Callable, Iterator
from typing import Any

from app.domain.errors import MlflowTooSlow
from app.services.mlflow_gateway.calls import Calls

# Measured against MLflow 3.17 with a time-out of 10 s a request.
MODELS, VERSIONS, RUNS, EXPERIMENTS = 1000, 10_000, 2000, 10_000
# How often a size is halved before the server counts as hanging rather than slow.
_HALVINGS = 3


def read_all(
    calls: Calls, search: Callable[..., Any], size: int, *, shrink: bool = True, **arguments: Any
) -> Iterator[Any]:
    """Every row of a paged search. A page that times out is asked for again at half its size."""
    token: str | None = None
    smallest = size >> _HALVINGS if shrink else size
    while True:
        try:
            page = calls.call(search, max_results=size, page_token=token, **arguments)
        except MlflowTooSlow:
            if size <= smallest:
                raise
            size //= 2
            continue
        yield from page
        # The last token is '' in the registry and None in tracking.
        token = page.token
        if not token:
            return
