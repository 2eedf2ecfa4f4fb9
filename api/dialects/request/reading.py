"""Messages of either dialect, read into turns and system prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, assert_never

from api.dialects.request.field_support import Row, ignored, pass_over
from api.dialects.request.history import Turn
from api.dialects.request.parts import (
    AnyPart,
    ImagePart,
    OtherPart,
    RefusalPart,
    TextPart,
    image_of,
    unread,
)
from api.dialects.request.request import Lenient, extra_of, news_of, no_images_in
from api.web.dialect_errors import Unsupported
from pool.executions.content.image import Image

Role = Literal["system", "user", "assistant"]


class Reading:
    """What messages say, and the names of what is passed over. ``fields`` and ``kinds`` are the
    dialect's, of a message and of its parts.
    """

    def __init__(self, fields: Sequence[Row], kinds: Sequence[Row]) -> None:
        self._fields = fields
        self._kinds = kinds
        self._turns: list[Turn] = []
        self.system: list[str] = []
        self.ignored: list[str] = []

    def take(
        self,
        message: Lenient,
        role: Role | None,
        content: str | Sequence[AnyPart],
        where: str,
        refusal: str | None = None,
    ) -> None:
        """Take the next message. Without a role it is what a tool answered."""
        self.ignored += ignored(extra_of(message), self._fields, "messages")
        texts, images = [refusal] if refusal else [], list[Image]()
        parts = [TextPart(type="text", text=content)] if isinstance(content, str) else content
        for at, part in enumerate(parts):
            self._take_part(part, f"{where}.content.{at}", texts, images)
        text = "\n\n".join(texts)
        match role:
            case "system":
                no_images_in(images, where)
                self.system.append(text)
            case "user" | "assistant":
                self._turns.append(Turn(role=role, text=text, images=tuple(images)))
            case None:
                raise Unsupported(where, "tells what a tool answered: there are none here")
            case never:
                assert_never(never)

    def news(self, session_id: str | None) -> tuple[Turn, ...]:
        """The turns that are told: in a session those that it has not heard."""
        turns = news_of(self._turns, session_id)
        if len(turns) < len(self._turns):
            self.ignored.append("messages[before the last answer]")
        return turns

    def _take_part(self, part: AnyPart, where: str, texts: list[str], images: list[Image]) -> None:
        match part:
            case TextPart(text=text) | RefusalPart(refusal=text):
                texts.append(text)
            case ImagePart():
                images.append(image_of(part, where))
            case OtherPart(type=kind):
                pass_over(kind, self._kinds, where)
                self.ignored.append(f"messages.content.{kind}")
                return
            case never:
                assert_never(never)
        self.ignored += ignored(unread(part), self._fields, "messages.content")
