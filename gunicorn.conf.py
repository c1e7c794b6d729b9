"""gunicorn's settings. What its command line says wins."""

import gc

from app.logs import logging_config
from app.services.host.marks import shared_marks
from app.starting import announce, count_together, prepare, process_ended
from config import load_settings

count_together()
# Before any fork, also where each worker loads the application for itself.
shared_marks()
_settings = load_settings()
_host = f"[{_settings.api_host}]" if ":" in _settings.api_host else _settings.api_host

bind = f"{_host}:{_settings.api_port}"
workers = _settings.web_concurrency
# gthread that stops at once.
worker_class = "app.worker.Worker"
# More than the gateway's calls at once (64): with MLflow hanging on all of them, others are left to answer.
threads = 96
# The application is loaded once and shared by the forked workers.
preload_app = True
keepalive = 30
graceful_timeout = 10
limit_request_line = 8190
# gunicorn trusts what comes from loopback, so every client of a proxy on this host: none of their headers may move the
# application to another path. The scheme is told by the one header that such a proxy always sets itself.
forwarder_headers = ""
secure_scheme_headers = {"X-FORWARDED-PROTO": "https"}
# It listens in the home directory by default; nobody asked for it.
control_socket_disable = True

logconfig_dict = logging_config(_settings.log_level, _settings.log_format)
logger_class = "app.access_log.AccessLog"
accesslog = "-"
# The path without its query, and no header of the client's: neither may carry a credential into the log.
access_log_format = "%(h)s %(m)s %(U)s %(s)s %(B)s bytes %(M)s ms"


def on_starting(server):
    """In the master, with the application loaded and before any worker is forked."""
    if server.cfg.preload_app:
        prepare(server.app.wsgi(), server.cfg.bind)
        gc.freeze()


def when_ready(server):
    """In the master, listening."""
    announce(server.cfg.bind)


def post_worker_init(worker):
    """In each worker: threads do not survive a fork, so they start here."""
    if not worker.cfg.preload_app:
        prepare(worker.wsgi, worker.cfg.bind)
    worker.wsgi.extensions["control_tower"].serve()


def worker_exit(server, worker):  # noqa: ARG001 - gunicorn hands over both
    """A worker ends: let go of MLflow."""
    application = getattr(worker, "wsgi", None)
    if application is not None:
        application.extensions["control_tower"].stop()


def child_exit(server, worker):  # noqa: ARG001 - as above
    """In the master, after the end of a worker, however that came."""
    process_ended(worker.pid)
