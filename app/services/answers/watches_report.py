"""The report of the watches: which version each of them covers, with the verdict on it."""

import orjson

from app.domain.messages import about_to_be_monitored
from app.domain.monitoring.watches import Watch, nothing_there, target
from app.domain.ports import WatchWrites
from app.domain.registry.query import ListQuery, page_of, pagination
from app.domain.views import Json, watch_info
from app.services.answers.generations import CheckedGeneration, Generation, Generations, Made
from app.services.answers.prepared import Answer
from app.services.mirror.model_tracker import ModelTracker
from app.services.monitoring.watch_list import WatchList


class WatchesReport:
    """Answers from the watches, the registrations, the checks and the fleet that the workers share."""

    def __init__(
        self, watches: WatchList, source: WatchWrites, mirror: ModelTracker, generations: Generations, most: int
    ) -> None:
        self._watches = watches
        self._source = source
        self._mirror = mirror
        self._generations = generations
        self._most = most

    def listed(self, query: ListQuery, model: str | None) -> Answer:
        """A page of the watches, of all registered models or of one: by model, then kind, then alias or stage."""
        self._watches.ensure_read(self._source)
        now = self._generations.checked()

        def make(of: Generation) -> Made:
            found = [watch for watch in of.watches if model in (None, watch.model)]
            page = page_of(query, len(found), self._most)
            return orjson.dumps([_info(now, watch) for watch in found[page.rows]]), pagination(page)

        return Answer(now.page(("watches", model, query), make), now.of.monitored.stale, self._mirror.shows_mock())


def _info(now: CheckedGeneration, watch: Watch) -> Json:
    fleet = now.of.fleet
    version = target(watch, fleet)
    if version is None:
        return watch_info(watch, None, None, None, nothing_there(watch, fleet))
    registration = now.of.registrations.get(version.key)
    waiting = about_to_be_monitored(version.row.version)
    return watch_info(watch, version, registration, now.index.check(version), waiting)
