"""The settings of the model, as a process of the CLI takes them.

By its environment, which it reads at each request to the API, and by a control request for what is
shown of the thinking (tried on 2.1.330, whose requests were looked at). ``CLAUDE_CODE_EXTRA_BODY``
is put over the body of each request of the run, those of its sub-agents too. Thinking is switched
off by a variable, for the CLI then leaves out what the API takes beside thinking alone.

A process that is there already takes the variables by a control request, which puts them over those
that it was started with, and takes none away: so it gets all of them each time, and an empty one
for each that it is not to have (tried on 2.1.330 and 2.1.267: its requests were, to the letter,
those of a process that was started for the settings).

Where an answer is cut off at its longest, the CLI has the model go on, up to three times, and no
setting stops that; ``--max-turns=1`` does not either. To interrupt it there saves the output of
these answers, but its next request is out by then, 20 ms after the cut: that one's input is billed,
and the CLI reports it nowhere (tried on 2.1.330). So it is let to its end, whose cost is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pool.claude.launch.extra_body import EXTRA_BODY, extra_body
from pool.executions.model_settings import ModelSettings

_LONGEST = "CLAUDE_CODE_MAX_OUTPUT_TOKENS"
_UNTHINKING = "CLAUDE_CODE_DISABLE_THINKING"
_EFFORT = "CLAUDE_CODE_EFFORT_LEVEL"
_ALL = (_LONGEST, EXTRA_BODY, _UNTHINKING, _EFFORT)


def variables(settings: ModelSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """What is added to the environment of a run; the operator's own bound and body hold on."""
    found = {}
    if settings.max_tokens is not None:
        found[_LONGEST] = str(min(settings.max_tokens, _number(environment.get(_LONGEST))))
    found |= extra_body(environment, _body(settings))
    if settings.thinks is False:
        found[_UNTHINKING] = "1"
    if settings.effort is not None:
        found[_EFFORT] = settings.effort
    return found


def variables_anew(settings: ModelSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """What a process gets that may have others: every variable that a setting can be
    in, as one has it that is started with this environment for these settings.
    """
    return {
        **{name: environment.get(name, "") for name in _ALL},
        **variables(settings, environment),
    }


def thinking_request(settings: ModelSettings) -> dict[str, Any] | None:
    """The control request that sets how much the model thinks, and what is shown of it; None where
    nobody asks for any.
    """
    if settings.thinking is None or settings.thinking.type == "disabled":
        return None
    return {
        name: value
        for name, value in thinking_anew(settings).items()
        if name != "thinking_display" or value is not None
    }


def thinking_anew(settings: ModelSettings) -> dict[str, Any]:
    """The same for a process that may have others: what nobody asks for is as the CLI
    has it again. (A display that is left out stays what it was, even where the rest does not.)
    """
    thinking = settings.thinking
    return {
        "subtype": "set_max_thinking_tokens",
        "max_thinking_tokens": thinking and thinking.budget_tokens,
        "thinking_display": thinking and thinking.display,
    }


def _body(settings: ModelSettings) -> dict[str, Any]:
    names = ("temperature", "top_p", "top_k")
    found = {name: getattr(settings, name) for name in names}
    body = {name: value for name, value in found.items() if value is not None}
    if settings.stop_sequences:
        body["stop_sequences"] = list(settings.stop_sequences)
    return body


def _number(text: str | None) -> float:
    return int(text) if text is not None and text.isascii() and text.isdigit() else float("inf")
