"""The whole record as lines of JSON, for auditors."""

from collections.abc import Iterable
from typing import Any

import orjson

from app.domain.registry_history.change import change_info
from app.domain.registry_history.lineage import FirstLook
from app.domain.registry_history.record import RegistryRecord
from app.domain.times import rfc3339


def lines_of(record: RegistryRecord) -> Iterable[bytes]:
    """What the first look found (`first_look`), changes, and times without a look (`not_looked`), oldest first.

    A change is as in the API, and names the change before it of the same model, version or alias as `previous`.
    """
    rows: list[tuple[int, int, dict[str, Any]]] = []
    for lineage in record.lineages():
        rows += [(look.ended, 0, _first_look_info(look)) for look in lineage.first]
        rows += [
            (change.not_after, 2, {**change_info(change), "previous": change.previous}) for change in lineage.changes
        ]
    rows += [
        (end, 1, {"kind": "not_looked", "not_before": rfc3339(start), "not_after": rfc3339(end)})
        for start, end in record.gaps
    ]
    return (orjson.dumps(row) for *_, row in sorted(rows, key=lambda row: row[:2]))


def _first_look_info(look: FirstLook) -> dict[str, Any]:
    return {
        "kind": "first_look",
        "model_name": look.name,
        "created_at": rfc3339(look.created),
        "versions": [
            {"version": str(number), "created_at": rfc3339(created), "stage": stage}
            for number, created, stage in look.versions
        ],
        "aliases": {alias: str(number) for alias, number in look.aliases},
        "not_before": rfc3339(look.began),
        "not_after": rfc3339(look.ended),
    }
