"""Commands: `flask tokens new NAME --role ROLE`."""

import click
from flask import Flask
from flask.cli import AppGroup

from app.services.keys import ROLES, BadKeyFile, KeyRing


def register_commands(app: Flask, keys: KeyRing | None) -> None:
    """Add the service's commands to `flask`."""
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

    app.cli.add_command(group)
