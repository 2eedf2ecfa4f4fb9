"""OpenAI's Chat Completions: what is asked, and the answer as a whole or in chunks."""
