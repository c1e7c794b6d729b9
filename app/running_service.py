"""The running service, as commands ask it over HTTP."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr

if TYPE_CHECKING:
    import requests

_SECONDS = 60


class Unanswered(click.ClickException):
    """The service did not do what it was asked for. `status` is that of its answer, 0 if there was none."""

    def __init__(self, message: str, status: int, detail: str) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class RunningService:
    """The service at an address. Every failure is a `ClickException`, without the key."""

    def __init__(self, url: str, key: SecretStr | None) -> None:
        if not url.lower().startswith(("http://", "https://")):
            raise click.UsageError("--url: must begin with http:// or https://.")
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> "requests.Response":
        """The answer to a request. A redirect is not followed: the key is for the service at the address given."""
        # Commands alone need it, and the service, which has the commands too, starts sooner without it.
        import requests  # noqa: PLC0415 - see above

        try:
            answer = requests.request(
                method, self._url + path, json=body, headers=self._headers, timeout=_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            raise Unanswered(f"{self._url} does not answer ({type(error).__name__}).", 0, "") from None
        if answer.status_code in (requests.codes.ok, requests.codes.created):
            return answer
        detail = _detail(answer)
        raise Unanswered(f"{method} {path}: {answer.status_code}: {detail}", answer.status_code, detail)


def _detail(answer: "requests.Response") -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return "This is no answer of the service. Check the address."
