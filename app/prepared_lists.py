"""Prepared lists, answered before Flask dispatches: a GET without query and body, as nearly all requests are.

Each step is a function that the way through Flask calls too: `hooks.Around`, the check of `access.guard`, the view's
`answer`, `replies.reply_to`. Flask answers all other requests, and those that fail here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from flask import Flask

from app.access import Admits, needed_role
from app.replies import FAILURE, Reply, reply_to
from app.services.answers.prepared import Answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class PreparedList(NamedTuple):
    """A list as its view declares it: the route, the role it needs, and the function that returns its answer."""

    route: str
    role: str
    answer: Callable[[], Answer]


class PreparedLists:
    """Answers requests for the lists that the views of an application declare.

    `admits` checks the access key of a request against a role.
    """

    def __init__(self, app: Flask, admits: Admits) -> None:
        self._by_path = _by_path(app)
        self._admits = admits

    def reply(self, environ: "WSGIEnvironment") -> tuple[str, Reply] | None:
        """The requested route and the reply to send; None where Flask is to answer."""
        wanted = self._by_path.get(environ["PATH_INFO"])
        if wanted is None or not _asks_for_no_more(environ):
            return None
        try:
            if self._admits(environ, wanted.role):
                return wanted.route, reply_to(environ, wanted.answer())
        except Exception as error:  # noqa: BLE001 - the view raises it again, and Flask answers it
            environ[FAILURE] = error
        return None


def _by_path(app: Flask) -> dict[str, PreparedList]:
    by_path: dict[str, PreparedList] = {}
    for rule in app.url_map.iter_rules():
        answer = getattr(app.view_functions[rule.endpoint], "answer", None)
        if answer is not None:
            listed = PreparedList(rule.rule, needed_role(app, rule.endpoint), answer)
            # Every route also answers with a slash at its end.
            by_path |= {rule.rule: listed, f"{rule.rule}/": listed}
    return by_path


def _asks_for_no_more(environ: "WSGIEnvironment") -> bool:
    """Whether this is a GET, or a HEAD, without a query and a body."""
    return (
        environ["REQUEST_METHOD"] in ("GET", "HEAD")
        and not environ.get("QUERY_STRING")
        and "CONTENT_LENGTH" not in environ
        and "HTTP_TRANSFER_ENCODING" not in environ
    )
