"""Deliveries of MLflow's webhooks: a worker checks the signature here, and the agent reads the named model."""

from collections.abc import Mapping

from app.domain.errors import InvalidInput
from app.domain.ports import Clock, RefreshTrigger
from app.domain.registry.webhook import delivered


class DeliveryDesk:
    """Takes deliveries that are signed with the secret. Without a secret it takes none."""

    def __init__(self, secret: str | None, refresh_trigger: RefreshTrigger, clock: Clock) -> None:
        self._secret = secret
        self._refresh_trigger = refresh_trigger
        self._clock = clock

    def take(self, headers: Mapping[str, str], body: bytes) -> tuple[str | None, bool]:
        """Have the registered model of a delivery read soon. Returns its name, and whether the delivery is new.

        Raises `Unauthorized` where MLflow did not sign it or it is too old, and `InvalidInput` where it cannot be used.
        """
        if self._secret is None:
            raise InvalidInput("Set MLFLOW_WEBHOOK_SECRET to receive deliveries.")
        delivery = delivered(self._secret, headers, body, self._clock())
        return delivery.name, self._refresh_trigger.pushed(delivery.name, delivery.delivery_id, delivery.sent_at)
