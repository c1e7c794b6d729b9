"""All settings. Only this module reads the environment and `.env`."""

import base64
import binascii
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

ROOT = Path(__file__).resolve().parent
EMBEDDED_STORE = ROOT / "var" / "mlflow.db"
# The version of the API that clients rely on, as in the old service.
API_VERSION = "1.0.0"
# The version of the package, raised with each release.
RELEASE: str = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

Names = Annotated[tuple[str, ...], NoDecode]
_URI_SCHEMES = ("http://", "https://", "sqlite:///", "postgresql", "mysql", "mssql", "databricks")
# The least and the most characters of a webhook's secret.
_SHORTEST, _LONGEST = 16, 256
# The prefix of secrets in base64, as the Standard Webhooks specify.
_ENCODED = "whsec_"
# An Apprise URL may contain a comma, but no blank.
_BETWEEN_URLS = re.compile(r"\s*,\s*(?=[A-Za-z][A-Za-z0-9]*://)|,?\s+,?\s*")
_APPRISE_URL = re.compile(r"[A-Za-z][A-Za-z0-9]*://.+")
# An address that a path can be added to, and that no chat breaks.
_BASE_URL = re.compile(r"https?://[A-Za-z0-9._~:%/\[\]-]+", re.IGNORECASE)
_VERDICTS = {"healthy", "degraded", "drifting", "insufficient_data"}
_FILTERS = (
    '{"webhook": {"verdict": ["drifting"]}, "1": {"owner": ["vision"], "tag": ["team:a"], "first_healthy": false}}'
)
_REDIS_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")
# MLflow's rule for names of workspaces.
_WORKSPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")
HOW_TO_MAKE_ONE = "`python3 -c 'import secrets; print(secrets.token_urlsafe(32))'`"


class BadSetting(SystemExit):
    """Stops the start with one line that names the variable, the value and what is allowed."""


class _SecretsInFiles(PydanticBaseSettingsSource):
    """Secret settings whose source has the variable `NAME_FILE`: the content of that file."""

    def __init__(self, settings_cls: type[BaseSettings], source: EnvSettingsSource) -> None:
        super().__init__(settings_cls)
        self._given = source.env_vars

    def __call__(self) -> dict[str, Any]:
        """The secrets by setting. Raises `BadSetting` if a file cannot be read, or if a secret is given twice."""
        secrets = {}
        # Arguments win, so their files are not read: the agent gets its secrets from the worker that starts it.
        for name in secret_settings() - self.current_state.keys():
            path = self._given.get(f"{name}_file")
            if path and self._given.get(name):
                raise BadSetting(f"{name.upper()} and {name.upper()}_FILE are both set: keep one of them.")
            if path:
                secrets[name] = _content_of(name, path)
        return secrets

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        """Required by pydantic's interface, and never called: `__call__` returns all values at once."""
        raise NotImplementedError


def secret_settings() -> frozenset[str]:
    """The names of settings that may hold a secret, each of which may be given as a file."""
    hidden = {name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)}
    # The address of MLflow may contain a password. It is shown without it, so its type is not `SecretStr`.
    return frozenset(hidden | {"mlflow_tracking_uri"})


def _content_of(name: str, path: str) -> str:
    """The secret in a file, without the line breaks that editors and `echo` add at its end."""
    variable = f"{name.upper()}_FILE"
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise BadSetting(f"{variable}={path!r}: cannot be read ({error.strerror}).") from None
    except ValueError:
        raise BadSetting(f"{variable}={path!r}: the file is not UTF-8.") from None
    if not text:
        raise BadSetting(f"{variable}={path!r}: the file is empty.")
    return text


class Settings(BaseSettings):
    """The checked settings. Each is named like its environment variable, whose case does not matter."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True
    )

    mlflow_tracking_uri: str | None = Field(None, description="Where MLflow is: an http(s) address or a database URI.")
    mlflow_tracking_username: str | None = Field(None, description="User name for MLflow.")
    mlflow_tracking_password: SecretStr | None = Field(None, description="Password for MLflow.")
    mlflow_tracking_token: SecretStr | None = Field(None, description="Bearer token for MLflow, instead of a password.")
    mlflow_workspace: str | None = Field(
        None, description="Workspace of the MLflow server to show; without it, the server's default workspace."
    )
    mlflow_request_timeout_seconds: int = Field(10, ge=1, le=600, description="Time-out of one MLflow request.")
    mlflow_request_max_retries: int = Field(1, ge=0, le=10, description="How often a failed MLflow request is retried.")
    mlflow_webhook_secret: SecretStr | None = Field(None, description="Signs what MLflow's webhooks deliver.")

    api_host: str = Field("0.0.0.0", min_length=1, description="Address to listen on.")  # noqa: S104 - the old default
    api_port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    web_concurrency: int = Field(
        min(4, (os.cpu_count() or 1) + 1),
        ge=1,
        le=256,
        description="Worker processes; by default the number of cores plus one, at most 4.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level that is logged.")
    log_format: Literal["text", "json"] = Field("text", description="One line per event, for people or for machines.")
    mlflow_ui_url: str | None = Field(None, description="Where people open MLflow's own pages: http or https.")
    cors_origins: Names = Field((), description="Origins whose pages may call the API, separated by commas.")
    api_tokens_file: Path | None = Field(None, description="File of access keys; without it the service is open.")
    control_tower_key: SecretStr | None = Field(
        None, description="The access key that commands send to the service; the service does not use it."
    )

    redis_url: SecretStr | None = Field(
        None, description="The Redis through which several hosts are one tower; without it, this host is alone."
    )
    redis_prefix: str = Field(
        "control-tower", description="The beginning of all keys in Redis; give each tower on that Redis its own."
    )

    enable_cache: bool = Field(True, description="Mirror MLflow; if false, every request reads MLflow.")
    cache_refresh_interval_minutes: float = Field(30, gt=0, le=10080, description="How often everything is read again.")
    change_poll_seconds: float = Field(
        15, ge=0, le=86400, description="How often to look for new and updated models and versions; 0 is never."
    )
    alias_poll_seconds: float = Field(
        60, ge=0, le=86400, description="How often to look for changes of aliases, tags and deletions; 0 is never."
    )
    check_interval_minutes: float = Field(
        15, ge=0, le=10080, description="How often all monitored versions are checked; 0 is after observations only."
    )
    cache_timeout_seconds: float = Field(
        300, gt=0, le=86400, description="Time limit of one refresh, all its MLflow calls together."
    )
    max_models_returned: int = Field(1000, ge=1, le=1_000_000, description="Most rows in one answer.")
    max_batch_mb: int = Field(32, ge=1, le=1024, description="Most MiB in one body with rows.")
    enable_cache_persistence: bool = Field(True, description="Keep the snapshot over a restart.")
    cache_directory: Path = Field(Path("./cache"), description="Where the workers share and keep the snapshot.")
    cache_max_age_hours: float = Field(24, gt=0, le=87600, description="An older snapshot is served marked stale.")

    alert_webhook_url: SecretStr | None = Field(None, description="Address that changes of verdict are posted to.")
    alert_webhook_secret: SecretStr | None = Field(None, description="Signs what is posted there.")
    alert_urls: SecretStr | None = Field(None, description="Apprise URLs that changes of verdict are sent to.")
    public_url: str | None = Field(
        None, description="Address at which people reach this service; alerts link to its pages."
    )

    alert_filters: str | None = Field(None, description="Which changes of verdict each receiver gets, as JSON.")

    production_aliases: Names = Field(("champion", "production"), description="Aliases that stand for Production.")
    staging_aliases: Names = Field(("challenger", "staging"), description="Aliases that stand for Staging.")
    stale_after_days: int = Field(
        180,
        ge=0,
        le=36500,
        description="Days after which an unchanged version in Production is a finding; 0 is never.",
    )
    monitoring_experiment: str = Field(
        "control-tower", min_length=1, max_length=250, description="MLflow experiment of the monitor runs."
    )
    enable_promotion: bool = Field(False, description="Let versions be promoted through this service.")
    protected_aliases: Names = Field(
        (), description="Aliases that only this service may move; by default those that stand for Production."
    )
    promotion_approvals: int = Field(1, ge=0, le=10, description="How many other people have to approve a promotion.")
    promotion_expires_hours: float = Field(168, gt=0, le=8760, description="How long a proposal waits.")
    promotion_evidence_hours: float = Field(24, gt=0, le=8760, description="How old the evidence of a proposal may be.")
    enable_mock_data: bool = Field(False, description="Show a small sample fleet while there is no data to show.")
    enable_debug_endpoints: bool = Field(True, description="Serve /debug/monitored.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic hands it over by this name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, and the environment over `.env`. In both a secret may be in a file."""
        sources: list[PydanticBaseSettingsSource] = [init_settings]
        for source in (env_settings, dotenv_settings):
            if isinstance(source, EnvSettingsSource):
                sources.append(_SecretsInFiles(settings_cls, source))
            sources.append(source)
        return tuple(sources)

    @field_validator("cors_origins", "production_aliases", "staging_aliases", "protected_aliases", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("log_format", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("mlflow_ui_url", "public_url")
    @classmethod
    def _is_for_people(cls, value: str | None) -> str | None:
        # Pages and alerts link to this address: only http(s) is safe there, and all would see a password.
        if value is not None and (not _is_http(value) or "@" in value):
            raise ValueError("must be an http:// or https:// address without a user name")
        return value.rstrip("/") if value else value

    @field_validator("public_url")
    @classmethod
    def _can_be_continued(cls, value: str | None) -> str | None:
        if value is not None and not _BASE_URL.fullmatch(value):
            raise ValueError("must be an address like https://tower.example.com/mlops, without a query")
        return value

    @field_validator("mlflow_webhook_secret", "alert_webhook_secret")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else None
        # MLflow stores secrets encrypted in 1000 characters, and encryption lengthens them.
        if text is not None and not (_SHORTEST <= len(text) <= _LONGEST and text.isascii() and text.isprintable()):
            raise ValueError(f"must be {_SHORTEST} to {_LONGEST} ASCII characters. {HOW_TO_MAKE_ONE} makes one")
        return value

    @field_validator("alert_webhook_secret")
    @classmethod
    def _readable_key(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else ""
        if text.startswith(_ENCODED):
            try:
                key = base64.b64decode(text.removeprefix(_ENCODED), validate=True)
            except binascii.Error:
                key = b""
            if len(key) < _SHORTEST:
                raise ValueError(f"must be base64 of {_SHORTEST} bytes or more behind {_ENCODED}")
        return value

    @field_validator("alert_webhook_url")
    @classmethod
    def _address(cls, value: SecretStr | None) -> SecretStr | None:
        text = value.get_secret_value() if value else None
        if text is not None and (not _is_http(text) or not text.isprintable() or " " in text):
            raise ValueError("must be an address like https://hooks.example.com/tower")
        return value

    @field_validator("alert_urls")
    @classmethod
    def _apprise_urls(cls, value: SecretStr | None) -> SecretStr | None:
        for place, url in enumerate(_urls_in(value), 1):
            if not _APPRISE_URL.fullmatch(url) or not url.isprintable():
                raise ValueError(f"number {place} is no Apprise URL, like slack://… or mailto://…")
        return value

    @field_validator("alert_filters")
    @classmethod
    def _filters(cls, value: str | None, others: ValidationInfo) -> str | None:
        count = len(_urls_in(others.data.get("alert_urls")))
        known = {
            *(str(place) for place in range(1, count + 1)),
            *["webhook"][: bool(others.data.get("alert_webhook_url"))],
        }
        try:
            filters = json.loads(value or "{}")
            for receiver, wanted in filters.items():
                if receiver not in known:
                    raise ValueError(
                        f"there is no receiver {receiver!r:.40}: name it webhook, or by its number in ALERT_URLS"
                    )
                if problem := _filter_problem(wanted):
                    raise ValueError(f"{receiver}: {problem}, as in {_FILTERS}")
        except (json.JSONDecodeError, AttributeError, TypeError):
            raise ValueError(f"must be JSON like {_FILTERS}") from None
        return value

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _known_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(_URI_SCHEMES):
            raise ValueError("must start with http://, https:// or sqlite:///, or be another database URI")
        if value is not None and value.startswith(("http://", "https://")) and not _is_http(value):
            # An unescaped `/`, `?` or `#` in a password ends the host early: the rest would be shown as a path.
            raise ValueError("must be an address; percent-encode / ? # [ ] in the user name and the password")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_redis(value.get_secret_value()):
            raise ValueError(
                "must be an address like redis://redis.example.com:6379/0 or rediss://:PASSWORD@HOST:PORT/0"
            )
        return value

    @field_validator("redis_prefix")
    @classmethod
    def _key_prefix(cls, value: str) -> str:
        if not _REDIS_PREFIX.fullmatch(value):
            raise ValueError("must be 1 to 64 letters, digits, dots, hyphens and underscores")
        return value

    @field_validator("mlflow_workspace")
    @classmethod
    def _workspace(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value is not None and not _WORKSPACE.fullmatch(value):
            raise ValueError("must be 2 to 63 lower-case letters, digits and hyphens, with no hyphen at its ends")
        if value is not None and not _is_http(others.data.get("mlflow_tracking_uri") or ""):
            raise ValueError("only an MLflow server has workspaces: MLFLOW_TRACKING_URI must be its http(s) address")
        return value

    @property
    def tracking_uri(self) -> str:
        """The address of MLflow: the setting, or else the embedded store."""
        return self.mlflow_tracking_uri or f"sqlite:///{EMBEDDED_STORE}"

    @property
    def filters(self) -> dict[str, dict[str, Any]]:
        """The filters of `alert_filters`, by the receiver."""
        filters: dict[str, dict[str, Any]] = json.loads(self.alert_filters or "{}")
        return filters

    @property
    def apprise_urls(self) -> tuple[str, ...]:
        """The URLs of `alert_urls`, in their order."""
        return _urls_in(self.alert_urls)


def as_json(settings: Settings) -> str:
    """The settings with their secrets, to hand to another process of this service, which calls `from_json`."""

    def plain(value: Any) -> Any:
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    return json.dumps({name: plain(getattr(settings, name)) for name in Settings.model_fields}, default=str)


def from_json(text: str) -> Settings:
    """The settings from `as_json`; the environment of this process is ignored."""
    return Settings(_env_file=None, **json.loads(text))


def _urls_in(value: SecretStr | None) -> tuple[str, ...]:
    text = value.get_secret_value() if value else ""
    return tuple(part for part in _BETWEEN_URLS.split(text.strip(", \t\r\n")) if part)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` win. Raises `BadSetting`."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise BadSetting(_in_one_line(error)) from None
    except UnicodeDecodeError:
        raise BadSetting(".env: not UTF-8. Save it as UTF-8.") from None


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        path = parts.path.strip("/")
        return (
            parts.scheme in ("redis", "rediss")
            and bool(parts.hostname)
            and parts.port != 0
            and (not path or path.isdecimal())
        )
    except ValueError:
        return False


def _filter_problem(value: dict[str, Any]) -> str | None:
    """What is wrong with the filter of a receiver, None if nothing is."""
    for name, wanted in value.items():
        if name == "first_healthy":
            if not isinstance(wanted, bool):
                return "first_healthy must be true or false"
        elif name not in ("owner", "verdict", "tag"):
            return f"{name!r:.40} is not known"
        elif not isinstance(wanted, list) or not wanted or not all(isinstance(text, str) for text in wanted):
            return f"{name} must be a list of one text or more"
        elif name == "verdict" and (bad := set(wanted) - _VERDICTS):
            return f"{min(bad)!r:.40} is no verdict"
        elif name == "tag" and not all(":" in text for text in wanted):
            return "a tag must be key:value"
    return None


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and parts.hostname is not None and parts.port != 0
    except ValueError:
        return False


_SECRET = ("password", "token", "secret", "uri", "url")


def _in_one_line(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    shown = "(hidden)" if any(word in name.lower() for word in _SECRET) else repr(first.get("input"))[:80]
    allowed = first["msg"].replace("Value error, ", "").replace("Input should be", "must be")
    return f"{name.upper()}={shown}: {allowed}"
