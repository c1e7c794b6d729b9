"""Alerts as an operator sets them up: the settings, and `flask alerts test`."""

from collections.abc import Callable

from click.testing import Result

from tests.api.service import Service
from tests.receivers import change, receiving
from tests.servers import HOST, free_port, until

SECRET = "the secret of the first day"


def command(service: Service) -> Result:
    found: Result = service.app.test_cli_runner().invoke(args=["alerts", "test"])
    assert not [word for word in ("path-token", "query-token", "hunter2", SECRET) if word in found.output]
    return found


def test_the_test_sends_an_example_to_each_receiver_and_says_that_it_arrived(start: Callable[..., Service]) -> None:
    with receiving() as one, receiving() as two:
        result = command(
            start(
                alert_webhook_url=one.url,
                alert_webhook_secret=SECRET,
                alert_urls=f"json://ada:hunter2@{HOST}:{two.port}/path-token xml://{HOST}:{two.port}",
            )
        )
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [f"webhook {HOST}: arrived", "json: arrived", "xml: arrived"]
    assert one.messages[0]["changes"][0]["name"] == "example"
    assert "webhook-signature" in one.requests[0][1]
    assert len(two.requests) == 2


def test_the_test_says_who_was_not_reached_and_goes_on(start: Callable[..., Service]) -> None:
    with receiving(404) as one, receiving() as two:
        urls = [f"json://{HOST}:{port}/path-token" for port in (free_port(), two.port)]
        result = command(start(alert_webhook_url=one.url, alert_urls=", ".join([*urls, "nobody://hunter2"])))
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"webhook {HOST}: failed: HTTP 404",
        "json (number 1): failed: Apprise could not deliver it",
        "json (number 2): arrived",
        "nobody: failed: Apprise does not understand the URL",
    ]
    assert result.stderr.splitlines()[-1] == (
        f"Error: The example did not arrive at webhook {HOST}, json (number 1), nobody."
    )


def test_without_receivers_it_is_said_what_to_set(service: Service) -> None:
    result = command(service)
    assert result.exit_code == 1
    assert "ALERT_WEBHOOK_URL" in result.stderr
    assert "ALERT_URLS" in result.stderr


def test_neither_answers_nor_the_configuration_show_a_receiver(start: Callable[..., Service]) -> None:
    service = start(alert_webhook_url="https://hooks.example.org/path-token", alert_urls="slack://path-token/b/c")
    assert "path-token" not in service.get("/config").text + repr(service.worker.settings)


def test_the_process_that_talks_to_mlflow_tells_the_receivers_of_the_settings(start: Callable[..., Service]) -> None:
    with receiving() as receiver:
        agent = start(alert_webhook_url=receiver.url).agent
        agent.start()
        try:
            (receiver_id,) = agent.announcer.receiver_ids
            agent.announcer.owe(receiver_id, [change()])
            until(lambda: receiver.requests)
        finally:
            agent.stop()
    assert receiver.names == ["model-0"]
