"""The CLI's output, line by line: messages, tokens, limits, and the events a caller is shown.

Rule: reads text that was printed; concludes nothing.
"""
