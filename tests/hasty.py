"""The service's worker with less patience, so that tests see its end."""

from app.worker import TowerWorker


class HastyWorker(TowerWorker):
    """Gives a request two seconds to come."""

    arriving_seconds = 2.0
