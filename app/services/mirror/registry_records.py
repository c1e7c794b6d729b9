"""The record of the registry's changes in the shared cache."""

from app.domain.ports import Locks, SharedCache, WritableCache
from app.domain.registry_history.codec import INDEX, digests_in, index_value, parts_value, record_from
from app.domain.registry_history.record import RegistryRecord
from app.services.host.kept_in_parts import Codec, KeptInParts, StoreInParts


class RegistryRecords(KeptInParts[RegistryRecord]):
    """This process's copy of the record."""

    def __init__(self, cache: SharedCache, source: str) -> None:
        super().__init__(cache, _codec(source))


class RegistryRecordStore(StoreInParts[RegistryRecord]):
    """The agent's record: it writes it."""

    def __init__(self, cache: WritableCache, locks: Locks, source: str) -> None:
        super().__init__(cache, locks, _codec(source))
        self._source = source

    def stored_digests(self) -> tuple[str, ...]:
        """The digests of the stored record's segments, without reading the segments."""
        return digests_in(self._cache.get(INDEX), self._source)


def _codec(source: str) -> Codec[RegistryRecord]:
    return Codec(INDEX, "history of the registry", source, RegistryRecord, index_value, parts_value, record_from)
