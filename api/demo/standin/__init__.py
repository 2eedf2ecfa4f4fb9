"""The stand-in for Anthropic's APIs: accounts, limits, prices, and how an answer is to go wrong.

Rule: shares no code with the pool, so that its bill is a second opinion.
"""
