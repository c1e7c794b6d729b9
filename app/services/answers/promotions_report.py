"""Answers about promotions, read from MLflow when they are asked for: what waits must not be out of date."""

from collections.abc import Callable, Sequence
from typing import Any

from app.domain.errors import NotFound
from app.domain.messages import MODEL_NOT_FOUND, NO_PROMOTION
from app.domain.ports import Clock, Gateway
from app.domain.promotion.promotions import MOVING, WAITING, Promotion, newest_first, promotion_info
from app.domain.promotion.renames import Renames
from app.domain.promotion.tags import promotion_from
from app.domain.registry.query import ListQuery
from app.domain.registry_history.record import RegistryRecord
from app.domain.times import HOUR_MS, TOLERANCE_MS
from app.services.answers.prepared import Answer, Prepared, page_body
from app.services.mirror.model_tracker import ModelTracker


class PromotionsReport:
    """The promotions of all models and of one. `most` is the limit of rows in an answer.

    `record` is the history of the registry, which says what models were renamed.
    """

    def __init__(
        self,
        gateway: Gateway,
        mirror: ModelTracker,
        record: Callable[[], RegistryRecord],
        clock: Clock,
        most: int,
        expires_hours: float,
    ) -> None:
        self._gateway = gateway
        self._mirror = mirror
        self._record = record
        self._clock = clock
        self._most = most
        self._expires_ms = int(expires_hours * HOUR_MS)

    def of_all(self, query: ListQuery, since: int | None) -> Answer:
        """What waits for an approval or is being carried out, of all models, newest first.

        With `since`, all that was asked for at that time (milliseconds) or later.
        """
        if since is not None:
            return self._page(query, self._read(None, lambda one: one.proposal.at >= since, since=since))
        return self._page(query, self._read(None, lambda one: one.state in (WAITING, MOVING), only_open=True))

    def of_model(self, name: str, query: ListQuery, state: str | None) -> Answer:
        """All promotions and rollbacks of a registered model, newest first. Raises `NotFound`."""
        rows = self._read(name, lambda one: state in (None, one.state))
        if not rows and self._mirror.fleet().model(name)[0] is None:
            raise NotFound(MODEL_NOT_FOUND)
        return self._page(query, rows)

    def of(self, name: str, promotion_id: str) -> dict[str, Any]:
        """A promotion. Raises `NotFound`."""
        with self._gateway.within(self._gateway.patience):
            run = self._gateway.find_promotion_run(promotion_id)
        promotion = promotion_from(run) if run else None
        followed = promotion and self._renames().followed(promotion)
        if promotion is None or followed is None or name not in (promotion.proposal.model, followed.proposal.model):
            raise NotFound(NO_PROMOTION)
        return self.info(followed)

    def info(self, promotion: Promotion) -> dict[str, Any]:
        """A promotion as clients see it."""
        return promotion_info(promotion, self._expires_ms)

    def _read(
        self,
        name: str | None,
        wanted: Callable[[Promotion], bool],
        *,
        only_open: bool = False,
        since: int | None = None,
    ) -> Sequence[Promotion]:
        if self._mirror.shows_mock():
            return ()
        # A run begins a moment after what it holds was asked for, by the clock of another host.
        started = None if since is None else max(0, since - TOLERANCE_MS)
        renames = self._renames()
        names = renames.names(name) if name is not None else [None]
        with self._gateway.within(self._gateway.patience):
            runs = [run for each in names for run in self._gateway.promotion_runs(each, only_open, started)]
        rows = []
        for promotion in filter(None, map(promotion_from, runs)):
            followed = renames.followed(promotion)
            # Under a name that a model had before, as the history has it.
            if wanted(promotion) and name in (None, promotion.proposal.model, followed.proposal.model):
                rows.append(followed)
        return newest_first(rows)

    def _renames(self) -> Renames:
        return Renames(self._record().lineages())

    def _page(self, query: ListQuery, rows: Sequence[Promotion]) -> Answer:
        body, pagination = page_body(query, rows, self._most, self.info)
        return Answer(Prepared(body, self._clock(), pagination), mock=self._mirror.shows_mock())
