"""Webhooks: the subscriptions by which MLflow notifies the tower of changes in its registry."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from app.domain.errors import InvalidInput, MlflowRefused, MlflowUnavailable, NotFound
from app.domain.redact import redact
from app.domain.registry.models import Subscription
from app.domain.registry.webhook import EVENTS, WEBHOOK_NAME
from app.services.mlflow_gateway import pages, rows
from app.services.mlflow_gateway.calls import NOT_THERE, UNEXPLAINED, Calls
from app.services.mlflow_gateway.client import MlflowConnection

T = TypeVar("T")

# MLflow's own limit of a page. There are rarely more than a few webhooks.
_PAGE = 1000
_KEY = "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
_UNSUPPORTED = "This MLflow has no webhooks. They need MLflow 3.3 or newer, and a database as its backend store."
_BROKEN = (
    f"MLflow runs, but fails on its webhooks. They need a database as its backend store, and all its processes the "
    f"same {_KEY} as when the webhooks were made: without it each process makes up a key of its own."
)
_NO_KEY = (
    f"A webhook's secret is stored encrypted, and MLflow's server could not read it. Set MLFLOW_TRACKING_URI to that "
    f"server's address, or {_KEY} here to the one it has."
)
_REFUSED = (
    "MLflow refused the address. By default it takes https and public addresses that it can resolve. For others start "
    "its server with MLFLOW_WEBHOOK_ALLOWED_SCHEMES=http,https and MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS=true."
)


class Webhooks:
    """The webhooks of an MLflow. The tower's own webhooks are recognized by their name."""

    def __init__(self, connection: MlflowConnection, calls: Calls) -> None:
        self._connection = connection
        self._calls = calls

    def register(self, url: str, secret: str) -> Subscription:
        """Have MLflow deliver to the address. A webhook that exists for it is brought up to date."""
        if not self._connection.is_http and not os.environ.get(_KEY):
            raise MlflowRefused(_NO_KEY)
        client = self._connection.client()
        known = [row for row in self._rows() if row.name == WEBHOOK_NAME and row.url == url]
        wanted = {"name": WEBHOOK_NAME, "url": url, "events": list(EVENTS), "secret": secret, "status": "ACTIVE"}
        try:
            if not known:
                return rows.only(rows.subscription, self._call(client.create_webhook, **wanted), "webhook")
            made = self._call(client.update_webhook, known[0].webhook_id, **wanted)
        except MlflowRefused:
            raise MlflowRefused(_REFUSED) from None
        # Two processes may have registered at once, and then MLflow would deliver everything twice.
        for row in known[1:]:
            self._call(client.delete_webhook, row.webhook_id)
        return rows.only(rows.subscription, made, "webhook")

    def list(self) -> Sequence[Subscription]:
        """Every webhook, the tower's and others, newest first."""
        return rows.readable(rows.subscription, self._rows(), "webhook")[0]

    def remove(self, subscription_id: str) -> None:
        self._call(self._connection.client().delete_webhook, self._own(subscription_id).id)

    def test(self, subscription_id: str) -> tuple[bool, str]:
        """Have MLflow deliver an example. Returns whether that succeeded, and a description of the result."""
        client = self._connection.client()
        result = self._call(client.test_webhook, self._own(subscription_id).id, EVENTS[0])
        if result.response_status:
            return bool(result.success), f"HTTP {result.response_status}"
        return bool(result.success), redact(result.error_message or "no answer")[:500]

    def _own(self, subscription_id: str) -> Subscription:
        # The id is looked up in the list, since MLflow's client would put any text into the path of its request.
        subscription = next((listed for listed in self.list() if listed.id == subscription_id), None)
        if subscription is None:
            raise NotFound("MLflow has no webhook with this id. `flask webhooks list` shows those there are.")
        if subscription.name != WEBHOOK_NAME:
            raise InvalidInput(f"This webhook is not the tower's, whose are named {WEBHOOK_NAME}. Change it in MLflow.")
        return subscription

    def _rows(self) -> Sequence[Any]:
        """Every webhook as MLflow has it, with its full address, so that addresses can be compared."""
        return list(pages.read_all(self._call, self._connection.client().list_webhooks, _PAGE, rows.WEBHOOK_KEY))

    def _call(self, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
        try:
            return self._calls.call(_supported(function), *args, **kwargs)
        except MlflowUnavailable as error:
            # If MLflow answers other calls, only its webhooks are missing or broken.
            if error.detail == NOT_THERE and self._answers():
                raise MlflowRefused(_UNSUPPORTED) from None
            if error.detail == UNEXPLAINED and self._answers():
                raise MlflowUnavailable(_BROKEN) from None
            raise

    def _answers(self) -> bool:
        try:
            self._calls.call(self._connection.client().search_experiments, max_results=1)
        except MlflowUnavailable:
            return False
        return True


def _supported(function: Callable[..., T]) -> Callable[..., T]:
    """The call, raising `MlflowRefused` where the store has no webhooks."""

    def called(*args: Any, **kwargs: Any) -> T:
        try:
            return function(*args, **kwargs)
        except NotImplementedError:
            raise MlflowRefused(_UNSUPPORTED) from None

    return called
