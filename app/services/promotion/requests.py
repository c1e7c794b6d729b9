"""What a worker's views ask of promotions. The agent does it, if promotion is on and people have access keys."""

from app.domain.errors import Forbidden
from app.domain.messages import PROMOTION_NEEDS_KEYS, PROMOTION_OFF
from app.domain.ports import PromotionWrites
from app.domain.promotion.promotions import Promotion, Wanted


class PromotionRequests:
    """A worker's `PromotionWrites`. Every method also raises `Forbidden` where promotion is off.

    `refusal` says why it is off; None where it is on.
    """

    def __init__(self, writes: PromotionWrites, *, is_enabled: bool, has_keys: bool) -> None:
        self._writes = writes
        self.refusal = PROMOTION_OFF if not is_enabled else PROMOTION_NEEDS_KEYS if not has_keys else None

    def propose(self, name: str, version: str, wanted: Wanted, by: str, may_approve: bool) -> Promotion:
        self._check()
        return self._writes.propose(name, version, wanted, by, may_approve)

    def approve(self, name: str, promotion_id: str, by: str, note: str) -> Promotion:
        self._check()
        return self._writes.approve(name, promotion_id, by, note)

    def end(self, name: str, promotion_id: str, by: str, may_approve: bool, reason: str) -> Promotion:
        self._check()
        return self._writes.end(name, promotion_id, by, may_approve, reason)

    def roll_back(self, name: str, wanted: Wanted, since: str, to: str | None, by: str) -> Promotion:
        self._check()
        return self._writes.roll_back(name, wanted, since, to, by)

    def _check(self) -> None:
        if self.refusal is not None:
            raise Forbidden(self.refusal)
