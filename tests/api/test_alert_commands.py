"""`flask alerts test`, as an operator types it."""

from collections.abc import Callable

from click.testing import Result

from tests.api.service import Service
from tests.receiver import receiver


def typed(service: Service) -> Result:
    return service.app.test_cli_runner().invoke(args=["alerts", "test"])


def test_each_receiver_is_sent_an_example_and_named_without_its_address(start: Callable[..., Service]) -> None:
    with receiver() as there:
        result = typed(start(alert_webhook_url=there.url, alert_urls=f"json://{there.address}/hidden-token"))
        assert result.exit_code == 0
        assert result.stdout.splitlines() == ["webhook 127.0.0.1: taken", "json: taken"]
        assert len(there.arrived) == 2
        assert "hidden-token" not in result.output


def test_one_that_does_not_take_it_makes_the_command_fail(start: Callable[..., Service]) -> None:
    with receiver() as there:
        there.status = 500
        result = typed(start(alert_webhook_url=there.url))
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "webhook 127.0.0.1: not taken: HTTP 500",
        "Error: 1 of 1 receivers did not take the example.",
    ]


def test_without_receivers_it_says_what_to_set(service: Service) -> None:
    result = typed(service)
    assert result.exit_code == 1
    assert result.stderr == "Error: Set ALERT_WEBHOOK_URL or ALERT_URLS to be told.\n"
