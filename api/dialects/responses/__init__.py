"""OpenAI's Responses: what is asked, what it refers to, and the answer as a whole or in events."""
