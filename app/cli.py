"""Commands: `flask tokens new NAME --role ROLE`, `flask webhooks …`, `flask alerts test`, `flask history export`."""

from collections.abc import Sequence

import click
from flask import Flask
from flask.cli import AppGroup
from pydantic import SecretStr

from app.domain.errors import TowerError
from app.domain.monitoring.alerts import VerdictChange
from app.domain.monitoring.verdicts import DRIFTING, HEALTHY
from app.domain.ports import Clock, Gateway
from app.domain.registry.models import Subscription
from app.domain.registry.webhook import RECEIVER_PATH, WEBHOOK_NAME, receiver_url
from app.domain.registry_history.export import lines_of
from app.domain.registry_history.record import RegistryRecord
from app.domain.registry_history.tags import read_tags
from app.services.alerts import Receiver
from app.services.host.keys import ROLES, BadKeyFile, KeyRing
from config import HOW_TO_MAKE_ONE


def register_commands(
    app: Flask,
    keys: KeyRing | None,
    gateway: Gateway,
    webhook_secret: SecretStr | None,
    receivers: Sequence[Receiver],
    clock: Clock,
) -> None:
    """Add the service's commands to `flask`."""
    app.cli.add_command(_tokens(keys))
    app.cli.add_command(_webhooks(gateway, webhook_secret))
    app.cli.add_command(_alerts(receivers, clock))
    app.cli.add_command(_history(gateway))


def _tokens(keys: KeyRing | None) -> AppGroup:
    group = AppGroup("tokens", help="Access keys.")

    @group.command("new")
    @click.argument("name")
    @click.option("--role", type=click.Choice(ROLES), default="read", show_default=True, help="What it may do.")
    def new(name: str, role: str) -> None:
        """Make a key, add it to API_TOKENS_FILE, and show its token once."""
        if keys is None:
            raise click.ClickException("Set API_TOKENS_FILE to the file that shall hold the keys.")
        try:
            token = keys.add(name, role)
        except BadKeyFile as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            raise click.ClickException(f"API_TOKENS_FILE cannot be written: {error.strerror}.") from None
        click.echo(f"The token of {name} ({role}), shown this once:")
        click.echo(token)

    return group


def _webhooks(gateway: Gateway, secret: SecretStr | None) -> AppGroup:
    group = AppGroup("webhooks", help="MLflow's webhooks, which push changes to this service.")

    @group.command("register")
    @click.option("--url", required=True, help=f"This service as MLflow reaches it: https://…{RECEIVER_PATH}.")
    @click.option("--test", is_flag=True, help="Have MLflow deliver an example at once.")
    def register(url: str, test: bool) -> None:
        """Have MLflow deliver changes in its registry, signed with MLFLOW_WEBHOOK_SECRET.

        If the URL is already registered, this updates the secret that MLflow signs with.
        """
        if secret is None:
            raise click.ClickException(
                f"Set MLFLOW_WEBHOOK_SECRET, here and where the service runs, to a secret. {HOW_TO_MAKE_ONE} makes one."
            )
        try:
            address = receiver_url(url)
            made = gateway.register_webhook(address, secret.get_secret_value())
        except TowerError as error:
            raise click.ClickException(error.detail) from None
        click.echo(_line(made))
        if not address.partition("?")[0].endswith(RECEIVER_PATH):
            click.echo(f"Mind that the service takes deliveries at {RECEIVER_PATH}: this URL ends otherwise.", err=True)
        click.echo("MLflow begins to deliver within a minute.")
        if test:
            _try_out(gateway, made)

    @group.command("list")
    def show() -> None:
        """Show MLflow's webhooks: this service's, and others."""
        try:
            webhooks = gateway.list_webhooks()
        except TowerError as error:
            raise click.ClickException(error.detail) from None
        for webhook in webhooks:
            click.echo(_line(webhook))
        if not any(webhook.name == WEBHOOK_NAME for webhook in webhooks):
            click.echo("MLflow has no webhook of this service's. `flask webhooks register` makes one.")

    @group.command("remove")
    @click.argument("webhook_id", metavar="ID")
    def remove(webhook_id: str) -> None:
        """Remove one of this service's webhooks from MLflow."""
        try:
            gateway.remove_webhook(webhook_id)
        except TowerError as error:
            raise click.ClickException(error.detail) from None
        click.echo(f"Removed {webhook_id}. MLflow stops delivering within a minute.")

    return group


def _alerts(receivers: Sequence[Receiver], clock: Clock) -> AppGroup:
    group = AppGroup("alerts", help="Receivers that are notified when a verdict changes.")

    @group.command("test")
    def test() -> None:
        """Send an example to each receiver, and say whether it arrived."""
        if not receivers:
            raise click.ClickException("Set ALERT_WEBHOOK_URL or ALERT_URLS to the receivers to notify.")
        failed = [receiver.name for receiver in receivers if not _arrives(receiver, clock())]
        if failed:
            raise click.ClickException(f"The example did not arrive at {', '.join(failed)}.")

    return group


def _history(gateway: Gateway) -> AppGroup:
    group = AppGroup("history", help="The history of the registry.")

    @group.command("export")
    def export() -> None:
        """Write the whole history to the standard output, as lines of JSON, oldest first."""
        try:
            additions, bad = read_tags(gateway.registry_runs(None))
        except TowerError as error:
            raise click.ClickException(error.detail) from None
        for line in lines_of(RegistryRecord().with_more(additions)):
            click.echo(line)
        if bad:
            raise click.ClickException(f"{bad} tags of the history cannot be read, and were left out.")

    return group


def _arrives(receiver: Receiver, now: int) -> bool:
    example = VerdictChange(
        "example", 1, "classifier", "example", HEALTHY, DRIFTING, now, ("An example, sent by `flask alerts test`.",)
    )
    try:
        receiver.deliver([example])
    except TowerError as error:
        click.echo(f"{receiver.name}: failed: {error.detail}")
        return False
    except Exception as error:  # noqa: BLE001 - whatever it is, a library's own text may repeat the URL
        click.echo(f"{receiver.name}: failed: {type(error).__name__}")
        return False
    click.echo(f"{receiver.name}: arrived")
    return True


def _try_out(gateway: Gateway, made: Subscription) -> None:
    try:
        good, outcome = gateway.test_webhook(made.id)
    except TowerError as error:
        raise click.ClickException(
            f"The webhook is registered, but its test did not end. {error.detail} MLflow tries for some seconds to "
            "reach an address that does not answer: check that its host reaches the URL."
        ) from None
    if not good:
        raise click.ClickException(
            f"MLflow's test delivery failed: {outcome}. Check that MLflow's host reaches the URL, and that the service "
            "there runs with the same MLFLOW_WEBHOOK_SECRET."
        )
    click.echo(f"MLflow's test delivery arrived: {outcome}.")


def _line(webhook: Subscription) -> str:
    state = "" if webhook.active else "  (disabled)"
    owner = "" if webhook.name == WEBHOOK_NAME else f"  (not this service's: {webhook.name})"
    return f"{webhook.id}  {webhook.url}{state}{owner}"
