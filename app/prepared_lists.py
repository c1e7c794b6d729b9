"""Prepared lists, answered before Flask dispatches: a GET without query and body, which nearly all requests are.

Each step is the function that the way through Flask calls too: `hooks.Around`, what `access.guard` gives, the view's
`answer`, `replies.reply_to`. What is more than that, or fails, is left to Flask.
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
    """A list as its view declares it: the route, the role it needs, and what gives its answer."""

    route: str
    role: str
    answer: Callable[[], Answer]


class PreparedLists:
    """Answers requests of the lists that the views of an application declare.

    `admits` tells whether a request is let in where a role is needed.
    """

    def __init__(self, app: Flask, admits: Admits) -> None:
        self._by_path = _by_path(app)
        self._admits = admits

    def reply(self, environ: "WSGIEnvironment") -> tuple[str, Reply] | None:
        """The route that was asked for and what to send; None where Flask is to answer."""
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
    found: dict[str, PreparedList] = {}
    for rule in app.url_map.iter_rules():
        answer = getattr(app.view_functions[rule.endpoint], "answer", None)
        if answer is not None:
            listed = PreparedList(rule.rule, needed_role(app, rule.endpoint), answer)
            # No route cares for a slash at its end.
            found |= {rule.rule: listed, f"{rule.rule}/": listed}
    return found


def _asks_for_no_more(environ: "WSGIEnvironment") -> bool:
    """Whether this is a GET, or a HEAD, without a query and a body."""
    return (
        environ["REQUEST_METHOD"] in ("GET", "HEAD")
        and not environ.get("QUERY_STRING")
        and "CONTENT_LENGTH" not in environ
        and "HTTP_TRANSFER_ENCODING" not in environ
    )
