"""Settings of the model that a request brings: how long, how free and how thoughtful its answer is.

They go to the API as they are. What it refuses, alone or together, is for it to say; here stands
only what no request could mean.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pool.executions.content.verbatim import verbatim
from pool.values import Value

MAX_STOPS = 20

Effort = Literal["low", "medium", "high", "xhigh", "max"]
StopSequence = Annotated[
    str, StringConstraints(min_length=1, max_length=500), AfterValidator(verbatim)
]


class ThinkingSettings(Value):
    """Whether the model thinks before it answers, and whether that is shown."""

    type: Literal["enabled", "adaptive", "disabled"]
    budget_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Of the thinking at most; models that decide by themselves pass it over."""
    display: Literal["summarized", "omitted"] | None = None
    """Without it as the CLI has it."""

    @model_validator(mode="after")
    def _fits_together(self) -> ThinkingSettings:
        if self.budget_tokens is not None and self.type != "enabled":
            raise ValueError(f"budget_tokens goes with type enabled, and not with {self.type}")
        return self


class ModelSettings(Value):
    """``model_settings`` of a request. What is absent is as the CLI has it for the model."""

    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Of the answer at most. What is cut off there has ``stop_reason`` ``max_tokens``. The CLI has
    the model go on, up to three times, each within the same bound: that is billed, and not shown.
    """
    stop_sequences: Annotated[tuple[StopSequence, ...], Field(max_length=MAX_STOPS)] = ()
    """The answer ends before the first of them; then ``stop_sequence`` says which."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    thinking: ThinkingSettings | None = None
    """Without it, and without ``effort``, the model does not think where a field before this one is
    set: the API takes no ``temperature`` beside thinking, and ``max_tokens`` would bound both."""
    effort: Effort | None = None

    @property
    def thinks(self) -> bool | None:
        """Whether the model is to think; None for as the CLI has it."""
        if self.thinking is not None:
            return self.thinking.type != "disabled"
        others = (self.max_tokens, self.temperature, self.top_p, self.top_k)
        is_set = any(each is not None for each in others)
        return False if is_set and self.effort is None else None


AS_IT_COMES = ModelSettings()
"""All as the model has them by itself."""
