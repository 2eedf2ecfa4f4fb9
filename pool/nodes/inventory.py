"""The inventory of a node: which of the things that subscriptions need are there.

It is taken on the node itself, and is a value that travels. Names of variables and a digest of who
is signed in stand in it; no secret does. Reading it starts nothing and makes no directory.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from pydantic import Field

from pool.nodes.identity import node_id
from pool.subscriptions.spec import SubscriptionSpec
from pool.values import Value

_LOGIN, _ACCOUNT = ".credentials.json", ".claude.json"
_LARGEST_BYTES = 20_000_000
"""The CLI keeps a history of prompts beside the account."""
ACTIVATION = "activation"
"""A file in a subscription's directory: the epoch of its last activation there."""


class Inventory(Value):
    """What a node has, of what was asked for."""

    node_id: str
    hostname: str
    directories: dict[str, str | None] = Field(default_factory=dict)
    """Those that are there, by path: a digest of who is signed in, or None where nobody is."""
    variables: frozenset[str] = frozenset()
    """Those that are set."""
    activations: dict[str, int] = Field(default_factory=dict)
    """Subscriptions that were here, by id: the epoch of the last time. Where it is the highest of
    all nodes, the latest transcripts are."""
    taken_at: datetime | None = None
    """By the node's own clock."""


def take_inventory(
    data_dir: Path,
    specs: Iterable[SubscriptionSpec],
    environ: Mapping[str, str],
    now: datetime | None = None,
) -> Inventory:
    """Look at this machine for what subscriptions need. Blocking, for milliseconds."""
    specs = tuple(specs)
    directories = {each.config_dir for each in specs if each.config_dir is not None}
    credentials = (each.credential for each in specs if each.credential is not None)
    wanted = {each.environment_name for each in credentials}
    homes = {each.id: data_dir / "subscriptions" / each.id for each in specs}
    return Inventory(
        node_id=node_id(data_dir),
        hostname=platform.node(),
        directories={str(each): signed_in(each) for each in directories if each.is_dir()},
        variables=frozenset(name for name in wanted if environ.get(name, "").strip()),
        activations={id_: epoch for id_, home in homes.items() if (epoch := _epoch(home))},
        taken_at=now,
    )


def note_activation(home: Path, epoch: int) -> None:
    """Leave a mark that a subscription is here. Blocking."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = home / f"{ACTIVATION}.new"
    draft.write_text(str(epoch), encoding="ascii")
    draft.replace(home / ACTIVATION)


def signed_in(config_dir: Path) -> str | None:
    """A digest of who is signed in there, by the account where the CLI has noted it: copies of one
    login renew themselves each for itself. None where nobody is.
    """
    login = _read(config_dir / _LOGIN)
    if not login:
        return None
    account = _read(config_dir / _ACCOUNT).get("oauthAccount")
    who = account.get("accountUuid") if isinstance(account, dict) else None
    return hashlib.sha256((who or json.dumps(login)).encode()).hexdigest()[:16]


def _read(file: Path) -> dict[str, object]:
    with suppress(OSError, ValueError, RecursionError):
        if file.stat().st_size <= _LARGEST_BYTES:
            kept = json.loads(file.read_bytes())
            return kept if isinstance(kept, dict) else {}
    return {}


def _epoch(home: Path) -> int:
    with suppress(OSError, ValueError):
        return int((home / ACTIVATION).read_text(encoding="ascii"))
    return 0
