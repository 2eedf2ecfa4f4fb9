"""The checkup of a configuration on this machine, before anything is started.

Of a cluster this machine is all that is looked at: what a subscription lacks here may be on another
node, and what the running pool finds there is shown by ``claude-pool nodes``.

Looks at this machine: the CLI and its version, each subscription's directory, variable and login,
the data directory, Ray and where it keeps its files, proxies. Nothing is changed and nothing is
spent: ``claude auth status`` asks no server, so a login is what the CLI says, not proven.
Each finding says what to do.
"""

from __future__ import annotations

import asyncio
import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

from actors.runtime.cluster import answers
from actors.runtime.ray_directory import base_directory, why_not
from pool.alerts.alerts import AlertSettings
from pool.claude.binary.auth import AuthStatus, auth_status
from pool.claude.binary.locate import find_executable, read_version
from pool.claude.binary.login import login_expires_at
from pool.claude.binary.models import offered_models
from pool.claude.binary.version import refusal
from pool.claude.launch.environment import environment as run_environment
from pool.claude.transcripts.files import why_not_writable
from pool.config import Config, check_subscription, load, secret
from pool.errors import ConfigError
from pool.proxies import proxies
from pool.routing.model_catalogue import Catalogue, merged
from pool.subscriptions.spec import SubscriptionSpec
from pool.values import instant_text

AT_ONCE = 4
"""A question to the CLI takes a process of 200 MB."""


class Finding(NamedTuple):
    """One thing that was looked at. A ``problem`` keeps the pool, or a subscription of it, from
    working.
    """

    level: Literal["ok", "warning", "problem"]
    subject: str
    message: str


class CheckedSubscription(NamedTuple):
    """A subscription and what the CLI says of it: how it is signed in, None where that could not be
    asked, which models it is offered, and when its login ends, where that is known.
    """

    spec: SubscriptionSpec
    status: AuthStatus | None
    models: Mapping[str, str] = {}
    login_expires_at: datetime | None = None


async def examine(path: Path, environ: Mapping[str, str]) -> list[Finding]:
    """Everything that can be said about a configuration on this machine."""
    found = [_ray()]
    try:
        config = load(path)
    except ConfigError as error:
        return [*found, Finding("problem", "configuration", str(error))]
    found += [Finding("ok", "configuration", str(path)), _data_dir(config.pool.data_dir)]
    found += _temporary(config, environ)
    found += await asyncio.to_thread(lambda: list(_cluster(config)))
    found += _proxies(environ)
    found += _keys(config, environ)
    executable, about_the_cli = await _cli(config, environ)
    found.append(about_the_cli)
    if not config.subscriptions:
        remedy = "none is configured: add a [[subscriptions]] to the file, or one over HTTP"
        return [*found, Finding("warning", "subscriptions", remedy)]
    gate = asyncio.Semaphore(AT_ONCE)
    subscriptions = await asyncio.gather(
        *(_subscription(spec, config, executable, environ, gate) for spec in config.subscriptions)
    )
    found += [finding for _, finding in subscriptions]
    found += _models(config, [subscription for subscription, _ in subscriptions])
    return [*found, *twins([subscription for subscription, _ in subscriptions], environ)]


def _ray() -> Finding:
    try:
        ray = version("ray")
    except PackageNotFoundError:
        return Finding("problem", "ray", "is not installed here: pip install ray")
    return Finding("ok", "python and ray", f"{platform.python_version()}, {ray}")


def _data_dir(directory: Path) -> Finding:
    """Whether stores can be kept there; it need not exist yet."""
    existing = next(each for each in (directory, *directory.parents) if each.exists())
    if not existing.is_dir():
        return Finding("problem", "data_dir", f"{existing} is no directory: choose another one")
    if not os.access(existing, os.W_OK | os.X_OK):
        remedy = "make it writable for this user, or choose another pool.data_dir"
        return Finding("problem", "data_dir", f"{existing} cannot be written: {remedy}")
    return Finding("ok", "data_dir", str(directory))


def _temporary(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Where a Ray of the pool's own keeps its files."""
    if config.ray.address != "local":
        return
    try:
        base = base_directory(environ)
    except ConfigError as error:
        yield Finding("problem", "temporary files", str(error))
        return
    wanted = environ.get("RAY_TMPDIR") or environ.get("TMPDIR")
    if wanted and Path(wanted) != base:
        detail = f"{why_not(Path(wanted))}: Ray's files go to {base}"
        yield Finding("warning", "temporary files", f"TMPDIR: {detail}")
    else:
        yield Finding("ok", "temporary files", str(base))


def _cluster(config: Config) -> Iterator[Finding]:
    """Whether a cluster that is to be joined is there, and what it wants of the store."""
    address = config.ray.address
    if not config.ray.is_cluster:
        return
    if not answers(address):
        remedy = "is its head there, and reachable from here?"
        yield Finding("problem", "ray.address", f"no Ray answers at {address}: {remedy}")
    else:
        detail = "the nodes of a running pool are shown by claude-pool nodes"
        yield Finding("ok", "ray.address", f"{address}; {detail}")
    if config.pool.store == "sqlite":
        detail = "sqlite serves a cluster of one node alone: with more, name a PostgreSQL database"
        yield Finding("warning", "pool.store", detail)


def _proxies(environ: Mapping[str, str]) -> Iterator[Finding]:
    if named := proxies(environ):
        detail = f"requests go through {', '.join(named)}; those to this machine do not"
        yield Finding("ok", "proxies", detail)


def _keys(config: Config, environ: Mapping[str, str]) -> Iterator[Finding]:
    for index, key in enumerate(config.api_keys):
        try:
            secret(environ, key.key_env, f"api_keys[{index}].key_env")
        except ConfigError as error:
            yield Finding("problem", f"key {key.name}", str(error))
        else:
            yield Finding("ok", f"key {key.name}", f"may {', '.join(key.scopes)}")
    if not config.api_keys:
        yield Finding("ok", "keys", "none: whoever is on this machine may do everything")


async def _cli(config: Config, environ: Mapping[str, str]) -> tuple[Path | None, Finding]:
    try:
        executable = find_executable(config.claude.path, search_path=environ.get("PATH"))
        found = await read_version(executable)
    except ConfigError as error:
        return None, Finding("problem", "claude", str(error))
    refused = refusal(found)
    if refused is not None:
        return None, Finding("problem", "claude", refused)
    return executable, Finding("ok", "claude", f"{found} at {executable}")


async def _subscription(
    spec: SubscriptionSpec,
    config: Config,
    executable: Path | None,
    environ: Mapping[str, str],
    gate: asyncio.Semaphore,
) -> tuple[CheckedSubscription, Finding]:
    """How a subscription is signed in, and what that means."""
    subscription = CheckedSubscription(spec, None)
    try:
        check_subscription(spec, environ, f"subscriptions.{spec.id}")
        _check_writable(spec)
        if executable is not None:
            async with gate:
                subscription = await _asked(spec, config, executable, environ)
    except ConfigError as error:
        if config.ray.is_cluster:  # it may be placed on another node
            return subscription, Finding("warning", spec.id, f"not on this node: {error}")
        return subscription, Finding("problem", spec.id, str(error))
    return subscription, _login(subscription, config.alerts, datetime.now(UTC))


def _check_writable(spec: SubscriptionSpec) -> None:
    if spec.config_dir and (why := why_not_writable(spec.config_dir)):
        detail = f"{spec.config_dir} cannot be written ({why}), so no session could be kept"
        raise ConfigError(f"subscriptions.{spec.id}.config_dir", detail)


async def _asked(
    spec: SubscriptionSpec, config: Config, executable: Path, environ: Mapping[str, str]
) -> CheckedSubscription:
    """The CLI's answers in the environment of a run; only its home is a passing one."""
    with tempfile.TemporaryDirectory(prefix="claude-pool-doctor-") as home:
        variables = run_environment(
            spec,
            parent=environ,
            config_dir=spec.config_dir or Path(home),
            home=Path(home),
            extra=config.claude.env,
            is_root=os.geteuid() == 0,
        )
        status, models = await auth_status(executable, variables), dict[str, str]()
        with suppress(ConfigError):
            models = await offered_models(executable, variables)
        ends_at = await login_expires_at(variables, datetime.now(UTC), partial(_known, status))
        return CheckedSubscription(spec, status, models, ends_at)


async def _known(status: AuthStatus) -> AuthStatus:
    return status


def _models(config: Config, subscriptions: Iterable[CheckedSubscription]) -> Iterator[Finding]:
    """Whether the CLI offers what the configuration names."""
    settings = config.claude
    known = Catalogue(
        settings.model,
        settings.models,
        merged(subscription.models for subscription in subscriptions),
        frozenset(),
    )
    if not known.offered:
        detail = "the CLI does not say which it offers: any plausible name is taken"
        yield Finding("ok", "models", detail)
        return
    offer = ", ".join(sorted(known.offered))
    unknown = [name for name in known.spelt_out if not known.is_offered(name)]
    for name in unknown:
        detail = f"the CLI does not offer {name!r} (but {offer}): it may be gone, or near its end"
        yield Finding("warning", "models", f"{detail}; an alias is always up to date")
    if not unknown:
        yield Finding("ok", "models", offer)


def _login(subscription: CheckedSubscription, alerts: AlertSettings, now: datetime) -> Finding:
    spec, status, ends_at = subscription.spec, subscription.status, subscription.login_expires_at
    if status is None:
        return Finding("warning", spec.id, "its login cannot be asked for without the CLI")
    if not status.logged_in:
        where = f"CLAUDE_CONFIG_DIR={spec.config_dir} claude /login" if spec.config_dir else ""
        remedy = where or "claude setup-token, and put the token into the variable it names"
        return Finding("problem", spec.id, f"is not signed in: run {remedy}")
    who = [word for word in (status.email, status.plan, status.method) if word]
    detail = f"signed in, says the CLI ({', '.join(who)})" if who else "signed in, says the CLI"
    if spec.email and status.email and spec.email.lower() != status.email.lower():
        return Finding("warning", spec.id, f"{detail}, but pool.toml says {spec.email}: mend one")
    if ends_at is None:
        return Finding("ok", spec.id, detail)
    detail = (
        f"{detail}; its login {'ended' if ends_at <= now else 'ends'} by {instant_text(ends_at)}"
    )
    if now < ends_at - timedelta(days=alerts.login_expires_days):
        return Finding("ok", spec.id, detail)
    remedy = f"CLAUDE_CONFIG_DIR={spec.config_dir} claude /login"
    return Finding("warning", spec.id, f"{detail}: sign in again with {remedy}")


_ONE_ACCOUNT = "so they are one account and share its limits: remove one, or sign in as another"
_SHARED = {
    "credential": _ONE_ACCOUNT,
    "account": _ONE_ACCOUNT,
    "email": _ONE_ACCOUNT,
    "config_dir": "so they share a login and sessions: give each its own",
}


def _marks(
    subscription: CheckedSubscription, environ: Mapping[str, str]
) -> Mapping[str, str | None]:
    """What tells one account from another, by the names in ``_SHARED``."""
    spec, status = subscription.spec, subscription.status
    credential, directory = spec.credential, spec.config_dir
    return {
        "credential": environ.get(credential.environment_name) if credential else None,
        "account": status.account if status else None,
        "email": status.email if status else None,
        "config_dir": str(directory.resolve()) if directory else None,
    }


def twins(
    subscriptions: Iterable[CheckedSubscription], environ: Mapping[str, str]
) -> Iterator[Finding]:
    """A warning for every two subscriptions of one account: its limits would count twice."""
    marked = [
        (subscription.spec.id, _marks(subscription, environ)) for subscription in subscriptions
    ]
    for (one, left), (other, right) in combinations(marked, 2):
        for name, consequence in _SHARED.items():
            if left[name] and left[name] == right[name]:
                detail = f"have the same {name}, {consequence}"
                yield Finding("warning", f"{one} and {other}", detail)
                break
