"""gunicorn's settings. Options on its command line win over them."""

import gc

from app.logs import logging_config
from app.services.host.marks import shared_marks
from app.starting import announce, count_together, end_in_order, prepare, process_ended
from config import load_settings

# Until everything is loaded: most of it stays for good, and to look through it again and again takes a quarter of the
# start.
gc.disable()
end_in_order()
count_together()
# Before any fork, since all workers share it; also with `--reload`, where each worker loads the application.
shared_marks()
_settings = load_settings()
_host = f"[{_settings.api_host}]" if ":" in _settings.api_host else _settings.api_host

bind = f"{_host}:{_settings.api_port}"
workers = _settings.web_concurrency
# gunicorn's gthread, in which slow clients hold no thread.
worker_class = "app.worker.TowerWorker"
# More than the 64 concurrent calls to MLflow: if MLflow hangs on all of them, other threads can still answer.
threads = 96
# The master loads the application once, and the forked workers share its memory.
preload_app = True
keepalive = 30
graceful_timeout = 10
limit_request_line = 8190
# gunicorn trusts requests from loopback, which are those of every client behind a proxy on this host. So no header may
# move the application to another path. The scheme comes from the one header that such a proxy always sets itself.
forwarder_headers = ""
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
# By default gunicorn opens a control socket in the home directory, which this service does not use.
control_socket_disable = True

logconfig_dict = logging_config(_settings.log_level, _settings.log_format)
logger_class = "app.access_log.AccessLog"
accesslog = "-"
# Neither the query nor a header of the client is logged, since both may carry credentials.
access_log_format = "%(h)s %(m)s %(U)s %(s)s %(B)s bytes %(M)s ms"


def on_starting(server):
    """Called in the master, after the application is loaded and before any worker is forked."""
    if server.cfg.preload_app:
        prepare(server.app.wsgi(), server.cfg.bind)
        gc.collect()
        gc.freeze()
    gc.enable()


def when_ready(server):
    """Called in the master once it listens."""
    announce(server.cfg.bind)


def post_worker_init(worker):
    """Called in each worker: threads do not survive a fork, so they start here."""
    if not worker.cfg.preload_app:
        prepare(worker.wsgi, worker.cfg.bind)
    worker.wsgi.extensions["control_tower"].serve()


def worker_exit(server, worker):  # noqa: ARG001 - gunicorn hands over both
    """Called in a worker that ends: stop its threads, and the agent if this worker is the keeper."""
    application = getattr(worker, "wsgi", None)
    if application is not None:
        application.extensions["control_tower"].stop()


def child_exit(server, worker):  # noqa: ARG001 - as above
    """Called in the master after the end of a worker, for whatever reason."""
    process_ended(worker.pid)
