"""The command `flask gate`: whether a candidate may replace the baseline, as an exit code for CI."""

from collections.abc import Callable

import click

from app.domain.comparison.requirements import requirements
from app.domain.errors import InvalidInput, TowerError
from app.domain.registry.names import is_metric_name
from app.services.monitoring.comparison import Comparison
from app.standalone_gate import printable, report


def gate_command(comparison: Comparison, warm: Callable[[], None]) -> click.Command:
    """Build the command. It reads MLflow in its own process, whether or not the service runs.

    `warm` prepares what the first call to MLflow needs.
    """

    @click.command("gate")
    @click.argument("name", callback=_sendable)
    @click.option("--baseline", required=True, callback=_sendable, help="Version or alias to compare against.")
    @click.option("--candidate", required=True, callback=_sendable, help="Version or alias that may replace it.")
    @click.option(
        "--margin",
        "margins",
        multiple=True,
        metavar="[METRIC=]NUMBER",
        help="How much worse the candidate may be, in all metrics or in one; may be repeated.  [default: 0]",
    )
    @click.option(
        "--min",
        "least",
        multiple=True,
        metavar="METRIC=NUMBER",
        help="What the candidate's value has to be at least; may be repeated.",
    )
    @click.option(
        "--max",
        "most",
        multiple=True,
        metavar="METRIC=NUMBER",
        help="What the candidate's value may be at most; may be repeated.",
    )
    @click.option(
        "--metric",
        "metrics",
        multiple=True,
        callback=_metrics,
        help="Compare this metric; may be repeated.  [default: all]",
    )
    def gate(
        name: str,
        baseline: str,
        candidate: str,
        margins: tuple[str, ...],
        least: tuple[str, ...],
        most: tuple[str, ...],
        metrics: tuple[str, ...],
    ) -> None:
        """Compare two versions of the registered model NAME. Exits 0 when the candidate passes, else 1.

        It passes if it is not worse, and if each of its values is within the limits that --min and --max give.
        """
        try:
            required = requirements(margins, least, most)
        except InvalidInput as error:
            raise click.UsageError(printable(error.detail)) from None
        try:
            # Loading MLflow's client takes seconds on a busy machine, and is no part of the time that MLflow may take.
            warm()
            result = comparison.of(name, baseline, candidate, required, metrics)
        except TowerError as error:
            raise click.ClickException(printable(error.detail)) from None
        click.echo("\n".join(report(result)))
        click.get_current_context().exit(0 if result["passes"] else 1)

    return gate


def _sendable(_: click.Context, __: click.Parameter, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("Not valid UTF-8.") from None
    return value


def _metrics(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        if not is_metric_name(name):
            raise click.BadParameter(f"{printable(name)} is not a name of a metric.")
    return value
