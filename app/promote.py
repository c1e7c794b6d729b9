"""The command `flask promote`: proposes a promotion to a running service, and waits for what becomes of it, for CI."""

import time
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import click
from pydantic import SecretStr

from app.domain.errors import InvalidInput
from app.domain.promotion.promotions import DONE, MOVING, STAGES, WAITING, check_alias
from app.running_service import RunningService, Unanswered
from app.standalone_gate import printable

_PAUSE_SECONDS = 5.0
_LONGEST_WAIT = 604_800
_REFUSED, _CALLED_WRONGLY, _WAITED_IN_VAIN = 1, 2, 3
# What says that the request itself is wrong: bad input, no key or an unknown one, no such model or version.
_WRONG = (400, 401, 404)


def promote_command(port: int, key: SecretStr | None, pause: float = _PAUSE_SECONDS) -> click.Command:
    """Build the command. It asks a running service, at `port` of this machine unless it is given its address.

    `key` is the access key that it sends; `pause` is between two looks, in seconds.
    """

    @click.command("promote")
    @click.argument("name")
    @click.option("--version", required=True, help="The version to promote.")
    @click.option("--alias", help="The alias to move to it.")
    @click.option("--stage", type=click.Choice(STAGES), help="The stage to move it to, instead of an alias.")
    @click.option("--reason", default="Proposed by flask promote.", show_default=True, help="Why.")
    @click.option(
        "--margin", "margins", multiple=True, metavar="[METRIC=]NUMBER",
        help="How much worse it may be than what is there now; may be repeated.  [default: 0]",
    )  # fmt: skip
    @click.option("--metric", "metrics", multiple=True, help="Compare this metric; may be repeated.  [default: all]")
    @click.option("--override", is_flag=True, help="Pass over the gate; needs a key with the role approve.")
    @click.option(
        "--wait", type=click.FloatRange(0, _LONGEST_WAIT), default=0, show_default=True, metavar="SECONDS",
        help="How long to wait for the approvals.",
    )  # fmt: skip
    @click.option("--url", default=f"http://localhost:{port}", show_default=True, help="Address of the service.")
    def promote(
        name: str,
        version: str,
        alias: str | None,
        stage: str | None,
        reason: str,
        margins: tuple[str, ...],
        metrics: tuple[str, ...],
        override: bool,
        wait: float,
        url: str,
    ) -> None:
        """Promote a version of the registered model NAME, with the access key CONTROL_TOWER_KEY.

        Exits 0 when it is done, 1 when it was refused, 2 when it was called wrongly, and 3 when it waited in vain. The
        proposal then goes on waiting, and the same command waits for it again.
        """
        service, path = RunningService(url, key), f"/model/{quote(name, safe='')}/promotions"
        body = {
            "version": version, **_place(alias, stage), "reason": reason, "margin": list(margins),
            "metrics": list(metrics), "override": override,
        }  # fmt: skip
        end = time.monotonic() + wait
        promotion = _proposed(service, path, body, end, pause)
        click.echo(f"{promotion['id']}: {promotion['state']}")
        while promotion["state"] in (WAITING, MOVING) and time.monotonic() < end:
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
            promotion = _again(service, f"{path}/{promotion['id']}", promotion)
        click.get_current_context().exit(_told(promotion))

    return promote


def _place(alias: str | None, stage: str | None) -> dict[str, str]:
    if (alias is None) == (stage is None):
        raise click.UsageError("Give --alias or --stage, and not both.")
    if alias is None:
        return {"stage": stage or ""}
    try:
        return {"alias": check_alias(alias)}
    except InvalidInput as error:
        raise click.UsageError(f"--{error.detail}") from None


def _proposed(service: RunningService, path: str, body: dict[str, Any], end: float, pause: float) -> dict[str, Any]:
    """What was proposed. A service that is busy has done nothing, and is asked again until `end`, in seconds."""
    while True:
        try:
            made: dict[str, Any] = service.ask("POST", path, body).json()
        except Unanswered as error:
            click.echo(f"Error: {printable(error.message)}", err=True)
            if error.status != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() >= end:
                click.get_current_context().exit(_CALLED_WRONGLY if error.status in _WRONG else _REFUSED)
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
        else:
            return made


def _again(service: RunningService, path: str, before: dict[str, Any]) -> dict[str, Any]:
    """The promotion as it is now, or as it was, where the service does not answer for a while."""
    try:
        answer: dict[str, Any] = service.ask("GET", path).json()
    except Unanswered as error:
        if error.status in (*_WRONG, 403):
            raise
        click.echo(printable(error.message), err=True)
        return before
    return answer


def _told(promotion: dict[str, Any]) -> int:
    """Say what became of it. Returns the exit code."""
    state, place = promotion["state"], promotion["alias"] or promotion["stage"]
    if state == DONE:
        by = ", ".join(promotion["approved_by"]) or promotion["proposed_by"]
        click.echo(printable(f"done: {place} is version {promotion['version']}, by {by}"))
        return 0
    if state in (WAITING, MOVING):
        needed = promotion["approvals_needed"] - len(promotion["approved_by"])
        left = f"{needed} more to approve" if state == WAITING else "it is being carried out"
        click.echo(f"waited in vain: {left}", err=True)
        return _WAITED_IN_VAIN
    click.echo(printable(f"{state.replace('_', ' ')}: {promotion['why']}"), err=True)
    return _REFUSED
