"""OpenAI's Responses: what is asked, what it refers to, and the answer as a whole or in events.

Rule: pure but for ``earlier``, which asks the client; of the other dialects it knows ``chat``,
whose tools it has.
"""
