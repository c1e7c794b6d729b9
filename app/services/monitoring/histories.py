"""The history of the registrations in the shared cache."""

from app.domain.monitoring.history_codec import INDEX, history_from, index_value, parts_value
from app.domain.monitoring.monitor_history import MonitorHistory
from app.domain.ports import Locks, SharedCache, WritableCache
from app.services.host.kept_in_parts import Codec, KeptInParts, StoreInParts


class Histories(KeptInParts[MonitorHistory]):
    """This process's copy of the history."""

    def __init__(self, cache: SharedCache, source: str) -> None:
        super().__init__(cache, _codec(source))


class HistoryStore(StoreInParts[MonitorHistory]):
    """The agent's history: it writes it."""

    def __init__(self, cache: WritableCache, locks: Locks, source: str) -> None:
        super().__init__(cache, locks, _codec(source))


def _codec(source: str) -> Codec[MonitorHistory]:
    what = "history of the registrations"
    return Codec(INDEX, what, source, MonitorHistory, index_value, parts_value, history_from)
