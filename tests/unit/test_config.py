"""Settings: their defaults, where they come from, and what stops the start."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.wiring.preparing import check_alert_urls, check_driver
from app.wiring.public_config import public_config
from config import EMBEDDED_STORE, BadSetting, Settings, as_json, from_json, load_settings, secret_settings


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """A directory without a `.env`, and an environment without settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*Settings.model_fields, *(f"{name}_file" for name in secret_settings())]:
            patch.delenv(name.upper(), raising=False)
        patch.chdir(tmp_path)
        yield patch


def test_the_defaults_are_those_of_the_old_service() -> None:
    found = load_settings()
    assert (found.api_host, found.api_port, found.log_level) == ("0.0.0.0", 8000, "INFO")
    assert (found.cache_refresh_interval_minutes, found.cache_timeout_seconds) == (30, 300)
    assert (found.enable_cache, found.enable_cache_persistence, found.max_models_returned) == (True, True, 1000)
    assert (str(found.cache_directory), found.cache_max_age_hours) == ("cache", 24)
    assert (found.enable_mock_data, found.enable_debug_endpoints) == (False, True)


def test_the_defaults_of_what_was_added() -> None:
    found = load_settings()
    assert (found.production_aliases, found.staging_aliases) == (("champion", "production"), ("challenger", "staging"))
    assert (found.mlflow_request_timeout_seconds, found.mlflow_request_max_retries) == (10, 1)
    assert (found.monitoring_experiment, found.cors_origins, found.api_tokens_file) == ("control-tower", (), None)
    assert found.tracking_uri == f"sqlite:///{EMBEDDED_STORE}"


def test_the_environment_wins_over_the_file_and_arguments_over_both(
    elsewhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("API_PORT=1111\nAPI_HOST=from-file\nlog_level=debug\nNOT_OURS=1\n")
    elsewhere.setenv("API_PORT", "2222")
    found = load_settings()
    assert (found.api_port, found.api_host, found.log_level) == (2222, "from-file", "DEBUG")
    assert load_settings(api_port=3333).api_port == 3333


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_an_empty_value_is_the_default(elsewhere: pytest.MonkeyPatch, name: str) -> None:
    elsewhere.setenv(name.upper(), "")
    assert load_settings() == Settings()
    assert getattr(load_settings(), name) == Settings.model_fields[name].default


@pytest.mark.parametrize(
    ("text", "names"),
    [("a", ("a",)), (" a , b,,c ", ("a", "b", "c")), (",", ()), ('["a"]', ('["a"]',))],
)
def test_lists_are_separated_by_commas(elsewhere: pytest.MonkeyPatch, text: str, names: tuple[str, ...]) -> None:
    for name in ("PRODUCTION_ALIASES", "STAGING_ALIASES", "CORS_ORIGINS"):
        elsewhere.setenv(name, text)
    found = load_settings()
    assert found.production_aliases == found.staging_aliases == found.cors_origins == names


@pytest.mark.parametrize(
    ("name", "value", "shown", "allowed"),
    [
        ("API_PORT", "abc", "'abc'", "valid integer"),
        ("API_PORT", "0", "'0'", "greater than or equal to 1"),
        ("API_PORT", "65536", "'65536'", "less than or equal to 65535"),
        ("API_PORT", "80.5", "'80.5'", "valid integer"),
        ("WEB_CONCURRENCY", "0", "'0'", "greater than or equal to 1"),
        ("LOG_LEVEL", "LOUD", "'LOUD'", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("LOG_FORMAT", "xml", "'xml'", "'text' or 'json'"),
        ("ENABLE_CACHE", "maybe", "'maybe'", "valid boolean"),
        ("ENABLE_MOCK_DATA", "2", "'2'", "valid boolean"),
        ("CACHE_TIMEOUT_SECONDS", "0", "'0'", "greater than 0"),
        ("CACHE_TIMEOUT_SECONDS", "nan", "'nan'", ""),
        ("CACHE_TIMEOUT_SECONDS", "inf", "'inf'", ""),
        ("CACHE_REFRESH_INTERVAL_MINUTES", "-1", "'-1'", "greater than 0"),
        ("CACHE_MAX_AGE_HOURS", "x", "'x'", "valid number"),
        ("MAX_MODELS_RETURNED", "0", "'0'", "greater than or equal to 1"),
        ("MLFLOW_REQUEST_TIMEOUT_SECONDS", "2.5", "'2.5'", "valid integer"),
        ("MLFLOW_REQUEST_MAX_RETRIES", "-1", "'-1'", "greater than or equal to 0"),
        ("MLFLOW_TRACKING_URI", "mlflow:5000", "(hidden)", "http://, https:// or sqlite:///"),
        ("MLFLOW_TRACKING_URI", "http://", "(hidden)", "must be an address"),
        ("MLFLOW_TRACKING_URI", "http://ada:hun/ter2@mlflow:5000", "(hidden)", "percent-encode"),
        ("MLFLOW_TRACKING_URI", "https://ada:hun#ter2@mlflow", "(hidden)", "percent-encode"),
        ("MLFLOW_TRACKING_URI", "https://ada:[ter2@mlflow", "(hidden)", "percent-encode"),
        ("MLFLOW_WEBHOOK_SECRET", "fifteen-hunter2", "(hidden)", "secrets.token_urlsafe"),
        ("MLFLOW_WEBHOOK_SECRET", "x" * 257, "(hidden)", "16 to 256"),
        ("MLFLOW_WEBHOOK_SECRET", "sixteen or more, ü", "(hidden)", "ASCII"),
        ("MLFLOW_WEBHOOK_SECRET", "sixteen or more\n,", "(hidden)", "ASCII"),
        ("MLFLOW_WORKSPACE", "Fraud_", "'Fraud_'", "lower-case letters"),
        ("MLFLOW_WORKSPACE", "fraud", "'fraud'", "only an MLflow server has workspaces"),
        ("CHECK_INTERVAL_MINUTES", "-1", "'-1'", "greater than or equal to 0"),
        ("MLFLOW_UI_URL", "javascript:alert(1)", "(hidden)", "http:// or https://"),
        ("MLFLOW_UI_URL", "https://ada:hunter2@mlflow", "(hidden)", "without a user name"),
        ("ALERT_FILTERS", "{", "'{'", "must be JSON like"),
        ("ALERT_FILTERS", '{"webhook": {}}', "", "there is no receiver 'webhook'"),
        ("ALERT_FILTERS", "[]", "", "must be JSON like"),
        ("PUBLIC_URL", "https://tower/?a=b", "(hidden)", "without a query"),
        ("MONITORING_EXPERIMENT", "x" * 251, "'xxx", "at most 250"),
        ("ALERT_WEBHOOK_URL", "hooks.example.com/hunter2", "(hidden)", "must be an address"),
        ("ALERT_WEBHOOK_URL", "ftp://hooks.example.com/hunter2", "(hidden)", "must be an address"),
        ("ALERT_WEBHOOK_URL", "https:///hunter2", "(hidden)", "must be an address"),
        ("ALERT_WEBHOOK_URL", "https://h:0/hunter2", "(hidden)", "must be an address"),
        ("ALERT_WEBHOOK_URL", "https://[hunter2/", "(hidden)", "must be an address"),
        ("ALERT_WEBHOOK_URL", "https://h/hunter2 b", "(hidden)", "must be an address"),
        ("ALERT_WEBHOOK_URL", "https://h/hunter2\nb", "(hidden)", "must be an address"),
        ("ALERT_WEBHOOK_SECRET", "fifteen-hunter2", "(hidden)", "16 to 256"),
        ("ALERT_WEBHOOK_SECRET", "whsec_hunter2 hunter2", "(hidden)", "base64"),
        ("ALERT_WEBHOOK_SECRET", "whsec_aHVudGVyMg==", "(hidden)", "16 bytes or more"),
        ("ALERT_URLS", "hunter2", "(hidden)", "number 1 is no Apprise URL"),
        ("ALERT_URLS", "slack://a/b/c, hunter2 mailto://x", "(hidden)", "number 2 is no Apprise URL"),
        ("ALERT_URLS", "slack://a/b/c mailto://", "(hidden)", "number 2 is no Apprise URL"),
        ("ALERT_URLS", "slack://hunter2\x07", "(hidden)", "number 1 is no Apprise URL"),
    ],
)
def test_a_value_that_cannot_be_used_stops_the_start_with_one_line(
    elsewhere: pytest.MonkeyPatch, name: str, value: str, shown: str, allowed: str
) -> None:
    elsewhere.setenv(name, value)
    with pytest.raises(BadSetting) as stopped:
        load_settings()
    line = str(stopped.value.code)
    assert line.startswith(f"{name}={shown}")
    assert allowed in line
    assert "\n" not in line
    assert len(line) < 300
    assert "ter2" not in line


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        ({"owner": []}, "webhook: owner must be a list of one text or more"),
        ({"verdict": ["bad"]}, "webhook: 'bad' is no verdict"),
        ({"tag": ["noval"]}, "webhook: a tag must be key:value"),
        ({"first_healthy": 1}, "webhook: first_healthy must be true or false"),
        ({"ovner": ["ada"]}, "webhook: 'ovner' is not known"),
    ],
)
def test_a_filter_of_alerts_that_could_never_match_stops_the_start_and_says_why(
    elsewhere: pytest.MonkeyPatch, wanted: dict[str, object], problem: str
) -> None:
    elsewhere.setenv("ALERT_WEBHOOK_URL", "https://hooks.example.com/a")
    elsewhere.setenv("ALERT_FILTERS", json.dumps({"webhook": wanted}))
    with pytest.raises(BadSetting) as stopped:
        load_settings()
    assert problem in str(stopped.value.code)


def test_a_value_with_line_breaks_is_told_in_one_line(elsewhere: pytest.MonkeyPatch) -> None:
    elsewhere.setenv("API_PORT", "80\n81" * 100)
    with pytest.raises(BadSetting) as stopped:
        load_settings()
    assert "\n" not in str(stopped.value.code)


def test_a_file_that_is_no_utf8_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"API_HOST=\xff\xfe\n")
    with pytest.raises(BadSetting, match="UTF-8"):
        load_settings()


def test_no_complaint_repeats_a_secret(elsewhere: pytest.MonkeyPatch) -> None:
    elsewhere.setenv("MLFLOW_TRACKING_URI", "ftp://ada:hunter2@mlflow")
    with pytest.raises(BadSetting) as stopped:
        load_settings()
    assert "hunter2" not in str(stopped.value.code)


@pytest.mark.parametrize(
    "values",
    [
        {"mlflow_tracking_password": "hunter2", "mlflow_tracking_token": "hunter2"},
        {"mlflow_tracking_password": "hunter2", "mlflow_webhook_secret": "hunter2 hunter2 hunter2"},
        {"mlflow_tracking_uri": "http://ada:hunter2@mlflow"},
        {"alert_webhook_url": "https://hooks/hunter2", "alert_webhook_secret": "hunter2 hunter2 hunter2"},
        {"alert_urls": "slack://hunter2/hunter2/hunter2"},
    ],
)
def test_secrets_are_not_in_what_is_shown_of_the_settings(values: dict[str, Any]) -> None:
    found = load_settings(**values)
    assert "hunter2" not in str(public_config(found))
    if "mlflow_tracking_uri" not in values:
        assert "hunter2" not in repr(found) + str(found)


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("slack://a/b/c", ("slack://a/b/c",)),
        ("slack://a/b/c,mailto://u:p@h", ("slack://a/b/c", "mailto://u:p@h")),
        (" slack://a/b/c\n  json://h:1/x , xml://h,", ("slack://a/b/c", "json://h:1/x", "xml://h")),
        ("mailto://u:p@h?to=a@x,b@y, pagerduty://k@r", ("mailto://u:p@h?to=a@x,b@y", "pagerduty://k@r")),
        ("https://hooks.slack.com/services/a/b/c", ("https://hooks.slack.com/services/a/b/c",)),
        (" , ", ()),
    ],
)
def test_urls_of_alerts_are_separated_by_commas_or_blanks(
    elsewhere: pytest.MonkeyPatch, text: str, urls: tuple[str, ...]
) -> None:
    elsewhere.setenv("ALERT_URLS", text)
    assert load_settings().apprise_urls == urls


def test_without_settings_nobody_is_told_of_verdicts() -> None:
    found = load_settings()
    assert (found.alert_webhook_url, found.alert_webhook_secret, found.apprise_urls) == (None, None, ())


@pytest.mark.parametrize("secret", ["sixteen or more.", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_secrets_of_alerts_are_text_or_as_the_standard_webhooks_write_them(secret: str) -> None:
    assert load_settings(alert_webhook_secret=secret, alert_webhook_url="http://h:1/x?y=z").alert_webhook_secret


def test_an_url_that_apprise_does_not_understand_stops_the_start_and_is_not_shown() -> None:
    check_alert_urls(load_settings())
    with pytest.raises(BadSetting) as stopped:
        check_alert_urls(load_settings(alert_urls="json://h/ nobody://hunter2"))
    assert str(stopped.value.code) == "ALERT_URLS=(hidden): Apprise does not understand number 2 of them"


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("postgresql://ada:hunter2@h/mlflow", "package psycopg[binary]"),
        ("postgresql+psycopg2://ada:hunter2@h/mlflow", "package psycopg2-binary"),
        ("mysql://ada:hunter2@h/mlflow", "package mysqlclient"),
        ("mysql+pymysql://ada:hunter2@h/mlflow", "package pymysql"),
        ("mysql+nobody://ada:hunter2@h/mlflow", "no such database"),
    ],
)
def test_a_database_without_its_driver_stops_the_start_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, uri: str, named: str
) -> None:
    for driver in ("psycopg", "psycopg2", "MySQLdb", "pymysql"):
        # The import system takes None for a module that is not there.
        monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(BadSetting) as stopped:
        check_driver(load_settings(mlflow_tracking_uri=uri).tracking_uri)
    line = str(stopped.value.code)
    assert line.startswith("MLFLOW_TRACKING_URI=(hidden): ")
    assert named in line
    assert "hunter2" not in line


@pytest.mark.parametrize("uri", ["http://mlflow", "https://mlflow", "sqlite:///mlflow.db"])
def test_servers_and_sqlite_need_no_driver(uri: str) -> None:
    check_driver(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://h",
        "https://u:p@h:1/x",
        "http://[::1]:5000",
        "http://u:a%2Fb@c@h",
        "sqlite:///x.db",
        "postgresql+psycopg2://h/db",
        "mysql+pymysql://h/db",
    ],
)
def test_addresses_of_every_kind_of_mlflow_are_taken(uri: str) -> None:
    assert load_settings(mlflow_tracking_uri=uri).tracking_uri == uri


@pytest.mark.parametrize("url", ["redis://h", "redis://:p%40ss@h:1/3", "rediss://user:pass@h:6380/0"])
def test_addresses_of_redis_are_taken(url: str) -> None:
    found = load_settings(redis_url=url).redis_url
    assert found is not None
    assert found.get_secret_value() == url


@pytest.mark.parametrize("url", ["hunter2", "http://hunter2", "redis://", "redis://h:x/hunter2", "redis://h/hunter2"])
def test_another_address_of_redis_stops_the_start_and_is_not_repeated(url: str) -> None:
    with pytest.raises(BadSetting, match="REDIS_URL") as refused:
        load_settings(redis_url=url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("prefix", ["", "a b", "{a}", "a:b", "x" * 65])
def test_a_prefix_that_is_no_part_of_a_key_stops_the_start(prefix: str) -> None:
    with pytest.raises(BadSetting, match="REDIS_PREFIX"):
        load_settings(redis_prefix=prefix)


def test_settings_cannot_be_changed_while_the_service_runs() -> None:
    found = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        found.api_port = 1  # type: ignore[misc]


SECRET = "mlflow_webhook_secret"


def shown(settings: Settings) -> str | None:
    found = settings.mlflow_webhook_secret
    return found.get_secret_value() if found else None


@pytest.mark.parametrize("name", sorted(secret_settings()))
def test_each_secret_may_be_in_a_file_of_its_own(elsewhere: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    secret = "redis://:hunter2@h" if name == "redis_url" else "https://ada:hunter2@hooks.example.com/x"
    (tmp_path / "secret").write_text(f"{secret}\n")
    elsewhere.setenv(f"{name.upper()}_FILE", "secret")
    assert as_json(load_settings()) == as_json(load_settings(**{name: secret}))


def test_only_what_ends_a_file_is_cut_off_its_secret(elsewhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere.setenv(f"{SECRET.upper()}_FILE", str(tmp_path / "secret"))
    for end in ("", "\n", "\r\n", "\n\n"):
        (tmp_path / "secret").write_bytes(f" blanks around it ,; {end}".encode())
        assert shown(load_settings()) == " blanks around it ,; "


def test_the_file_that_the_environment_names_wins_over_dotenv_and_an_argument_over_both(
    elsewhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a secret of the environment")
    (tmp_path / "b").write_text("a secret of the dotenv file")
    (tmp_path / ".env").write_text(f"{SECRET}_FILE=b\n")
    assert shown(load_settings()) == "a secret of the dotenv file"
    elsewhere.setenv(f"{SECRET.upper()}_FILE", "a")
    assert shown(load_settings()) == "a secret of the environment"
    (tmp_path / ".env").write_text(f"{SECRET}=a secret of the dotenv file\n")
    assert shown(load_settings()) == "a secret of the environment"
    elsewhere.delenv(f"{SECRET.upper()}_FILE")
    (tmp_path / ".env").write_text(f"{SECRET}_FILE=b\n")
    elsewhere.setenv(SECRET.upper(), "a secret of the environment")
    assert shown(load_settings()) == "a secret of the environment"
    assert shown(load_settings(**{SECRET: "a secret as an argument"})) == "a secret as an argument"


def test_another_process_of_the_service_reads_no_file_again(elsewhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("gone after the start")
    elsewhere.setenv(f"{SECRET.upper()}_FILE", "secret")
    handed_over = as_json(load_settings())
    (tmp_path / "secret").unlink()
    assert shown(from_json(handed_over)) == "gone after the start"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"hunter2 hunter2 hunter2\xff", "the file is not UTF-8"),
    ],
)
def test_a_file_without_a_secret_stops_the_start(
    elsewhere: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    elsewhere.setenv(f"{SECRET.upper()}_FILE", "secret")
    with pytest.raises(BadSetting) as stopped:
        load_settings()
    assert str(stopped.value.code) == f"{SECRET.upper()}_FILE='secret': {complaint}."


def test_a_secret_that_is_given_twice_stops_the_start(elsewhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("sixteen or more, hunter2")
    elsewhere.setenv(SECRET.upper(), "sixteen or more, hunter2")
    elsewhere.setenv(f"{SECRET.upper()}_FILE", "secret")
    with pytest.raises(BadSetting) as stopped:
        load_settings()
    assert str(stopped.value.code) == f"{SECRET.upper()} and {SECRET.upper()}_FILE are both set: keep one of them."


def test_a_secret_in_a_file_is_checked_and_not_shown(elsewhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    elsewhere.setenv(f"{SECRET.upper()}_FILE", "secret")
    with pytest.raises(BadSetting) as stopped:
        load_settings()
    assert str(stopped.value.code).startswith(f"{SECRET.upper()}=(hidden): must be 16 to 256")
