"""The settings of the model, given to an idle process before its next turn.

It is believed only if it says of every request that it was done; else it is let go, and the turn,
of which it knows nothing yet, has a process of its own. A process that has the settings already, as
in a conversation whose turns all bring the same, does not get them again (tried on 2.1.330:
nothing but such a request changes them, ``/clear`` neither).
"""

from __future__ import annotations

from collections.abc import Mapping

from pool.claude.launch.command import settings_lines
from pool.claude.process.idle.control import all_asked
from pool.claude.process.idle.kept import KeptProcess
from pool.claude.process.watch import Watcher
from pool.executions.model_settings import ModelSettings

SETTINGS_SECONDS = 3.0
"""It took 8-30 ms."""


async def is_set(
    kept: KeptProcess, watcher: Watcher, wanted: ModelSettings, environment: Mapping[str, str]
) -> bool:
    """Give a process the settings that a turn is to have, and say whether it has them now;
    ``environment`` is that of the turn, as the process was started in it.
    """
    if kept.settings.model_settings == wanted:
        return True
    lines = settings_lines(wanted, environment)
    return await all_asked(kept.process, watcher, lines, SETTINGS_SECONDS) is not None
