"""The two dialects: Anthropic's Messages and OpenAI's Chat Completions, spoken by this pool.

A program that uses one of the official SDKs points it here and goes on as it is. What the CLI
behind the pool can do is done; what it cannot is refused with the field's name, or ignored and
named in a header, as ``field_support`` says and README.md beside it shows. Nothing is made to look
as if it had been done.
"""
