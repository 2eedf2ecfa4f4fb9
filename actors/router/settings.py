"""What a router takes from configuration."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from actors.router.dispatching.settings import DispatchSettings
from pool.alerts.alerts import AlertSettings
from pool.alerts.webhooks import Webhook
from pool.keys.api_keys import KeySpec
from pool.routing.rebalancing import Rebalancing
from pool.values import Value


class RouterSettings(Value):
    """What a router takes from configuration."""

    dispatch: DispatchSettings
    backups_dir: Path = Path("backups")
    retention: timedelta = timedelta(days=35)
    keep_prompts: timedelta = timedelta(days=1)
    tags: tuple[str, ...] = ()
    rebalancing: Rebalancing = Rebalancing()
    alerts: AlertSettings = AlertSettings()
    webhooks: tuple[Webhook, ...] = ()
    keys: tuple[KeySpec, ...] = ()
    """Those that stand in ``pool.toml``."""
    activations_at_once: int = 4
    """How many subscriptions come up at a time: about as many as there are cores."""
    idle: timedelta = timedelta(0)
    """For how long a subscription has nothing to do before it falls asleep; 0: none does."""
