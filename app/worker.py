"""gunicorn's threaded worker, which stops without waiting for connections on which nobody asks."""

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):  # type: ignore[misc]
    """An open page or a client's session holds a connection; each restart would wait `graceful_timeout` for it."""

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept, or no more; with the worker's end, idle connections end too."""
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        # What has come on them is still answered.
        self.wait_for_and_dispatch_events(timeout=0)
        for connection in (*self.keepalived_conns, *self.pending_conns):
            connection.timeout = 0
        self.murder_keepalived()
        self.murder_pending()
