"""Checks of a subscription's login: whether it was signed in again, and when the login ends.

An authentication failure stops a subscription for five minutes at a time. Before such a time ends
the CLI is asked whether there is a credential at all: while there is none, no request is tried on
it. The end of a login is read again and again: whoever signs in anew tells nobody.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from actors.aiokit import every
from actors.subscription.context import SubscriptionContext
from pool.errors import ConfigError, StoreError
from pool.executions.outcome import FailureKind
from pool.subscriptions.consequences.standing import active_cooldown, still_signed_out

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
BEFORE_THE_END = timedelta(seconds=10)
"""When the CLI is asked: its answer takes up to a second, on a busy machine more."""
READ_SECONDS = 300.0
"""Reading a file costs nothing; where there is none the CLI is asked, for 0.3 s of one CPU."""


async def check_login(context: SubscriptionContext) -> None:
    """Keep a subscription stopped while nobody is signed in, as long as this activation lasts."""
    await every(LOOK_SECONDS, partial(_check_login, context), "login not checked")


async def _check_login(context: SubscriptionContext) -> None:
    cooldown = active_cooldown(context.state.standing, context.now())
    if cooldown is None or cooldown.cause is not FailureKind.AUTHENTICATION:
        return
    if cooldown.until - context.now() > BEFORE_THE_END:
        return
    if await _is_signed_out(context):
        try:
            await context.stand(still_signed_out(context.state.standing, context.now()))
        except StoreError as error:
            context.trouble(error)


async def _is_signed_out(context: SubscriptionContext) -> bool:
    try:
        environment = context.deps.environment(context.state.spec)
        return not await context.deps.runner.is_signed_in(environment)
    except ConfigError as error:  # a credential that is missing altogether, or no CLI to ask
        log.warning(
            "login not checked",
            extra={"subscription_id": context.state.spec.id, "problem": str(error)},
        )
        return False


async def follow_login(context: SubscriptionContext) -> None:
    """Let the report say when the login ends, for as long as this activation lasts."""
    await every(READ_SECONDS, partial(_read_login, context), "end of login not read")


async def _read_login(context: SubscriptionContext) -> None:
    try:
        environment = context.deps.environment(context.state.spec)
        ends_at = await context.deps.runner.login_expires_at(environment, context.now())
    except (ConfigError, OSError):  # what was known stays
        return
    if ends_at != context.state.login_expires_at:
        context.state.login_expires_at = ends_at
        context.changed()
