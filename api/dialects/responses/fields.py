"""Field support of OpenAI's Responses: the rows beside those of the other dialects."""

from __future__ import annotations

from api.dialects.request.field_support import CHAT, CHAT_PARTS, FieldSupport, Row

HONOURED, REFUSED, IGNORED = FieldSupport.HONOURED, FieldSupport.REFUSED, FieldSupport.IGNORED

_CHAT = {row.name: row for row in CHAT}
_NOT_OFFERED = "not offered: leave it out"
_SERVERS_TOOLS = "OpenAI would run it: the pool runs none of its tools"


def _as_in_chat(name: str, chat: str = "") -> Row:
    return _CHAT[chat or name]._replace(name=name)


RESPONSES = (
    _as_in_chat("model"),
    Row(
        "input",
        HONOURED,
        "a text, or items: messages of every role, in the words of either API; the last one must "
        "be of the user",
    ),
    Row("instructions", HONOURED, "joined with the `system` and `developer` messages of `input`"),
    Row(
        "previous_response_id",
        HONOURED,
        "goes on in the session of that response, which remembers by itself: send what is new; "
        "where the session has gone on since, it is a 400",
    ),
    _as_in_chat("session_id"),
    _as_in_chat("stream"),
    Row(
        "text",
        HONOURED,
        "`format` of type `json_schema`: the answer's text is JSON of that schema, of any kind at "
        "its root; a schema that the API cannot take is a 400 with the place in it; `json_object`: "
        "of any object",
    ),
    _as_in_chat("metadata"),
    _as_in_chat("user"),
    Row("store", HONOURED, "every response is kept, as an execution; `false` is ignored"),
    Row("conversation", REFUSED, "send previous_response_id or session_id"),
    Row("prompt", REFUSED, "the pool keeps no prompts of its callers: send its text as input"),
    Row("background", REFUSED, "send it to POST /v1/executions, which offers it", (False,)),
    Row("context_management", REFUSED, _NOT_OFFERED, ([],)),
    Row("moderation", REFUSED, _NOT_OFFERED),
    _as_in_chat("top_logprobs"),
    _as_in_chat("tools"),
    _as_in_chat("tool_choice"),
    _as_in_chat("parallel_tool_calls"),
    Row("max_tool_calls", IGNORED, "it bounds tools that OpenAI would run: there are none"),
    _as_in_chat("max_output_tokens", "max_completion_tokens"),
    _as_in_chat("temperature"),
    _as_in_chat("top_p"),
    Row(
        "reasoning",
        HONOURED,
        f"`effort`: {_CHAT['reasoning_effort'].note}; what is thought is not shown",
    ),
    _as_in_chat("text.verbosity", "verbosity"),
    Row("include", IGNORED, "what it would add there is none of", ([],)),
    Row("truncation", IGNORED, "the CLI decides what becomes of an input too long", ("disabled",)),
    Row("access_programs", IGNORED, "it is passed on to nobody"),
    Row("background_options", IGNORED, "nothing runs in the background"),
    Row("image", IGNORED, "images are shown as they are"),
    _as_in_chat("prompt_cache_key"),
    _as_in_chat("prompt_cache_options"),
    _as_in_chat("prompt_cache_retention"),
    _as_in_chat("safety_identifier"),
    _as_in_chat("service_tier"),
    Row("input.content.annotations", IGNORED, "sent without them", ([],)),
    Row("input.content.logprobs", IGNORED, "sent without them", ([],)),
    Row("stream_options", IGNORED, "it is about obfuscation: there is none", ({},)),
)

RESPONSE_ITEMS = (
    Row("message", HONOURED, "what somebody said, an earlier answer included"),
    Row("function_call", HONOURED, "a call that was made before"),
    Row(
        "function_call_output",
        HONOURED,
        "of text and images. At the end: the run that made the call goes on with it, and what is "
        "said behind it is sent with it",
    ),
    Row("item_reference", HONOURED, "to an earlier answer, by the id of its message"),
    Row("reasoning", IGNORED, "what the model thought is not sent again"),
    Row("web_search_call", REFUSED, _SERVERS_TOOLS),
    Row("file_search_call", REFUSED, _SERVERS_TOOLS),
    Row("code_interpreter_call", REFUSED, _SERVERS_TOOLS),
    Row("computer_call", REFUSED, _SERVERS_TOOLS),
    Row("image_generation_call", REFUSED, _SERVERS_TOOLS),
    Row("mcp_call", REFUSED, _SERVERS_TOOLS),
)
"""Kinds of `input`. Any other is refused: it may be half of what was said."""

RESPONSE_PARTS = (*CHAT_PARTS,)
