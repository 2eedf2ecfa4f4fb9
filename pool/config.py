"""The configuration: ``pool.toml``, and the only place that reads files and the environment.

``load`` answers with a value that is complete and checked: paths are absolute, ids unique, every
directory and credential variable that is named exists. Whatever is wrong is a ``ConfigError`` that
names the field and the remedy, before anything is started.
"""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    model_validator,
)

from pool.admin_api.organizations import Organization, ReconciliationSettings
from pool.alerts.alerts import AlertSettings
from pool.alerts.webhooks import Webhook, WebhookSpec, signing_key
from pool.errors import ConfigError
from pool.executions.request import MAX_TIMEOUT_SECONDS, MetadataName
from pool.executions.tools.client_tools import ToolSettings
from pool.keys.api_keys import KeySpec
from pool.proxies import sparing_loopback
from pool.routing.policy import RoutingSettings
from pool.routing.rebalancing import Rebalancing
from pool.subscriptions.admission import AdmissionLimits
from pool.subscriptions.health import HealthWeights
from pool.subscriptions.spec import Credential, EnvironmentName, SubscriptionSpec
from pool.usage.model_names import ModelId
from pool.usage.records import MAX_TAGS
from pool.values import Duration, Size, Value, problem_in

_DATABASE = re.compile(r"postgres(ql)?://")


def _store(value: object) -> object:
    """A URL is made a secret before anything can quote it."""
    match value:
        case "sqlite" | SecretStr():
            return value
        case str() if _DATABASE.match(value):
            return SecretStr(value)
    raise ValueError('should be "sqlite" or "postgresql://user:password@host:5432/database"')


def _fingerprint(store: str | SecretStr) -> str:
    """What can be shown of it, and differs where it does: actors of an earlier URL are replaced."""
    if isinstance(store, str):
        return store
    digest = hashlib.sha256(store.get_secret_value().encode()).hexdigest()
    return f"postgresql, sha256 {digest[:16]}"


Store = Annotated[
    Literal["sqlite"] | SecretStr,
    BeforeValidator(_store),
    PlainSerializer(_fingerprint, return_type=str, when_used="json"),
]


class PoolSettings(Value):
    data_dir: Path = Path("data")
    """The stores live here, and the files of runs."""
    store: Store = "sqlite"
    """``sqlite``, or the URL of a PostgreSQL database: a secret, since it may hold a password."""
    retention_days: Annotated[int, Field(ge=8, le=3650)] = 35
    """How long records are kept; never less than the week that budgets look back on."""
    keep_prompts: Annotated[Duration, Field(ge=timedelta(0), le=timedelta(days=3650))] = timedelta(
        days=1
    )
    """How long prompt and answer are kept after the end of an execution."""
    tags: Annotated[tuple[MetadataName, ...], Field(max_length=MAX_TAGS)] = ()
    """Keys of requests' ``metadata`` whose values usage records keep, to be added up by."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"


CredentialPattern = Annotated[str, Field(pattern=r"^[A-Za-z_*?][A-Za-z0-9_*?]{0,99}$")]
"""The name of a variable, in which ``*`` and ``?`` stand for any text and any character."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name alone: nothing is resolved."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class ServerSettings(Value):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8600
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 20
    """At a stop: how long running work may go on before it is interrupted and settled."""
    credential_env: Annotated[tuple[CredentialPattern, ...], Field(max_length=100)] = ()
    """Patterns of the variables that a subscription which is added over HTTP may name."""

    @property
    def is_loopback(self) -> bool:
        return is_loopback(self.host)


class RaySettings(Value):
    address: str = "local"
    """``local`` starts a Ray of its own; ``auto`` or an address joins a running cluster."""
    namespace: str = "claude-pool"

    @property
    def is_cluster(self) -> bool:
        """Whether other machines may be part of it."""
        return self.address != "local"


class TracingSettings(Value):
    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s?#]*$")] | None = None
    """The base URL of a collector that takes OTLP over HTTP; without one there are no traces."""


class ClaudeSettings(Value):
    path: str | None = None
    """Default: ``claude`` on PATH, then the binary inside claude-agent-sdk."""
    model: ModelId = "sonnet"
    """An alias, which the CLI resolves, outlives every dated name."""
    models: tuple[str, ...] = ()
    """Patterns of the models that callers may name; without any, all that the CLI offers."""
    system_prompt: str = "You are a helpful assistant."
    """Used where a request brings none."""
    timeout_seconds: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_SECONDS)] = 600
    max_retries: Annotated[int, Field(ge=0, le=10)] = 1
    """The CLI's own retries of an API call; it would make ten, which takes three minutes."""
    max_output_bytes: Annotated[int, Field(ge=100_000)] = 64_000_000
    env: dict[EnvironmentName, str] = Field(default_factory=dict)
    """Extra variables for every attempt."""


class ProcessesSettings(Value):
    """For processes of the CLI that have nothing to do and could be of use soon."""

    keep_session_seconds: Annotated[float, Field(ge=0, le=3600)] = 60
    """How long a process stays with its session after an answer, for the next turn; 0: it ends."""
    spares: Literal["auto"] | Annotated[int, Field(ge=0, le=20)] = 0
    """How many a subscription that is used may have started ahead of requests; ``auto`` is 2."""
    reuse: Literal["off", "same_key"] = "off"
    """Whether one may serve another session of the same key, after ``/clear``: a note of that stays
    in what the model reads."""
    max_memory: Size | Literal["auto"] = "auto"
    """What all of them may take on a machine; ``auto`` is a quarter of its memory."""


class HibernationSettings(Value):
    """For subscriptions that have nothing to do."""

    idle_seconds: Annotated[float, Field(ge=0, le=30 * 86_400)] = 900
    """For how long, before one falls asleep: its actor leaves until somebody needs it. 0: never."""


class ApiKeySpec(KeySpec):
    """A key whose value stands in an environment variable, with the limits of any key."""

    key_env: EnvironmentName


class AgentsSettings(Value):
    """For requests that use tools, which the keys of their callers grant."""

    roots: tuple[Path, ...] = ()
    """Directories below which such a request may work, on every machine of the pool."""


def _unique(values: list[str], what: str) -> None:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"{what} {', '.join(map(repr, repeated))} appears more than once")


class Config(Value):
    """Everything that ``pool.toml`` says, with the defaults filled in."""

    pool: PoolSettings = PoolSettings()
    server: ServerSettings = ServerSettings()
    ray: RaySettings = RaySettings()
    claude: ClaudeSettings = ClaudeSettings()
    processes: ProcessesSettings = ProcessesSettings()
    hibernation: HibernationSettings = HibernationSettings()
    tools: ToolSettings = ToolSettings()
    limits: AdmissionLimits = AdmissionLimits()
    health: HealthWeights = HealthWeights()
    routing: RoutingSettings = RoutingSettings()
    rebalancing: Rebalancing = Rebalancing()
    tracing: TracingSettings = TracingSettings()
    alerts: AlertSettings = AlertSettings()
    webhooks: Annotated[tuple[WebhookSpec, ...], Field(max_length=20)] = ()
    agents: AgentsSettings = AgentsSettings()
    subscriptions: tuple[SubscriptionSpec, ...] = ()
    api_keys: tuple[ApiKeySpec, ...] = ()
    reconciliation: ReconciliationSettings = ReconciliationSettings()
    organizations: Annotated[tuple[Organization, ...], Field(max_length=100)] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Config:
        _unique([spec.id for spec in self.subscriptions], "subscription id")
        _unique([key.name for key in self.api_keys], "api key name")
        _unique([webhook.name for webhook in self.webhooks], "webhook name")
        _unique([each.id for each in self.organizations], "organization id")
        return self

    @model_validator(mode="after")
    def _adjustments_have_one_ledger(self) -> Config:
        for each in self.organizations if self.reconciliation.adjust else ():
            if len(each.subscriptions) > 1:
                raise ValueError(
                    f"organization {each.id!r} has several subscriptions, and nobody could say "
                    "whose ledger an adjustment belongs to: give each an [[organizations]] of its "
                    "own with its api_key_ids, or set reconciliation.adjust = false"
                )
        return self

    @model_validator(mode="after")
    def _open_doors_have_keys(self) -> Config:
        if not self.server.is_loopback and not self.api_keys:
            raise ValueError(
                f"server.host {self.server.host!r} is reachable from other machines, which needs "
                "at least one [[api_keys]]: add one, or listen on 127.0.0.1"
            )
        return self


def _field(location: tuple[int | str, ...]) -> str:
    name = ""
    for part in location:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else part
    return name


def config_error(error: ValidationError) -> ConfigError:
    """The first problem of a validation, named by its field."""
    first = error.errors()[0]
    problem = problem_in(first)
    if first["type"] == "extra_forbidden":
        problem = "is not a known setting: remove it or mend its name"
    return ConfigError(_field(first["loc"]) or "pool.toml", problem)


def parse(document: Mapping[str, Any]) -> Config:
    """A configuration from parsed TOML; nothing on disk is looked at."""
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise config_error(error) from None


def environment() -> dict[str, str]:
    """A copy of this process's environment."""
    return dict(os.environ)


def spare_loopback() -> None:
    """Have this process, and those that it starts, reach this machine without its proxies."""
    os.environ.update(sparing_loopback(os.environ))


def secret(environ: Mapping[str, str], name: str, field: str) -> str:
    """The value of a variable that must be set."""
    value = environ.get(name, "").strip()
    if not value:
        raise ConfigError(
            field, f"the environment variable {name} is not set: export it and start again"
        )
    return value


MIN_KEY_LENGTH = 16
"""Of a caller's key that an operator makes up: a shorter one may be found by trying."""


def caller_key(environ: Mapping[str, str], spec: ApiKeySpec, field: str) -> str:
    """The value of a key of ``pool.toml``."""
    value = secret(environ, spec.key_env, field)
    if len(value) < MIN_KEY_LENGTH:
        problem = f"the key in {spec.key_env} is shorter than {MIN_KEY_LENGTH} characters"
        raise ConfigError(field, f"{problem}: make one with openssl rand -hex 24")
    return value


def _located(spec: SubscriptionSpec, base: Path) -> SubscriptionSpec:
    if spec.config_dir is None:
        return spec
    return spec.model_copy(update={"config_dir": base / spec.config_dir.expanduser()})


def check_subscription(spec: SubscriptionSpec, environ: Mapping[str, str], field: str) -> None:
    """Raise ``ConfigError`` for a directory or a credential variable that is missing."""
    if spec.config_dir is not None and not spec.config_dir.is_dir():
        raise ConfigError(
            f"{field}.config_dir",
            f"{spec.config_dir} is no directory: create it, or sign in with "
            f"CLAUDE_CONFIG_DIR={spec.config_dir} claude /login",
        )
    if spec.config_dir is None and spec.credential is None:
        raise ConfigError(
            f"{field}.credential", "is missing: name a credential, or a config_dir with a login"
        )
    credential: Credential | None = spec.credential
    if credential is not None:
        secret(environ, credential.environment_name, f"{field}.credential")


def webhooks(config: Config, environ: Mapping[str, str]) -> tuple[Webhook, ...]:
    """The receivers of alerts with their keys. ``ConfigError`` for one that cannot be used."""
    found = []
    for index, spec in enumerate(config.webhooks):
        if spec.forbidden is not None:
            raise ConfigError(f"webhooks[{index}].url", spec.forbidden)
        field = f"webhooks[{index}].secret_env"
        try:
            key = signing_key(secret(environ, spec.secret_env, field))
        except ValueError as error:
            raise ConfigError(field, f"the secret in {spec.secret_env} {error}") from None
        found.append(Webhook(spec, key))
    return tuple(found)


def check(config: Config, environ: Mapping[str, str]) -> None:
    """Raise ``ConfigError`` for the first thing named that is not there. What subscriptions need in
    a cluster may be on other machines, and is looked for as they are placed.
    """
    for index, spec in enumerate(() if config.ray.is_cluster else config.subscriptions):
        check_subscription(spec, environ, f"subscriptions[{index}]")
    for index, key in enumerate(config.api_keys):
        caller_key(environ, key, f"api_keys[{index}].key_env")
    for index, organization in enumerate(config.organizations):
        secret(environ, organization.admin_key_env, f"organizations[{index}].admin_key_env")
    webhooks(config, environ)


def load(path: Path) -> Config:
    """Read ``pool.toml``. Relative paths in it are relative to its own folder."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            str(path), "there is no such file: copy deploy/pool.example.toml, or pass --config"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(str(path), f"cannot be read: {error}") from None
    config, base = parse(document), path.resolve().parent
    located = tuple(_located(spec, base) for spec in config.subscriptions)
    settings = config.pool.model_copy(update={"data_dir": base / config.pool.data_dir.expanduser()})
    return config.model_copy(update={"pool": settings, "subscriptions": located})
