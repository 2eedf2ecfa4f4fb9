"""The dialects: Anthropic's Messages, OpenAI's Chat Completions and Responses, as this pool speaks
them.

A program that uses one of the official SDKs points it here and goes on as it is. What the CLI
behind the pool can do is done; what it cannot is refused with the field's name, or ignored and
named in a header, as ``field_support`` says and README.md beside it shows. Nothing is made to look
as if it had been done.

Each dialect has a room: its request, its answer as a whole and as a stream. What they share is in
``request`` and ``answer``, which know none of them.

Rule: makes an ``ExecutionRequest`` of a body and an answer of an ``Execution``; what runs is the
client's business.
"""
