"""Promotions follow their model when it is renamed, as its history does."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from app.domain.promotion.promotions import Promotion
from app.domain.registry_history.change import MODEL
from app.domain.registry_history.lineage import Lineage
from app.domain.registry_history.standing import is_other


class Renames:
    """The registered models that had other names before, as far as their renaming is recorded."""

    def __init__(self, lineages: Iterable[Lineage]) -> None:
        self._renamed = [lineage for lineage in lineages if len(lineage.names) > 1]

    def names(self, name: str) -> Sequence[str]:
        """The names under which promotions of the model with this name may have been proposed, this name first."""
        others = [other for lineage in self._renamed if name in lineage.names for other in lineage.names]
        return list(dict.fromkeys([name, *others]))

    def followed(self, promotion: Promotion) -> Promotion:
        """The promotion with the name that its model has now, or had last."""
        proposal = promotion.proposal
        for lineage in self._renamed:
            if proposal.model in lineage.names and _was_made(lineage, proposal.model_created):
                return replace(promotion, proposal=replace(proposal, model=lineage.name))
        return promotion


def _was_made(lineage: Lineage, created: int) -> bool:
    """Whether the registered model was made at a time, in milliseconds. One that is made again has several."""
    times = [look.created for look in lineage.first]
    values = [value for change in lineage.changes if change.subject == MODEL for value in (change.old, change.new)]
    times += [value[1] for value in values if value is not None]
    return any(not is_other(time, created) for time in times)
