"""The parts of an answer that all dialects share: what they show of an execution, and where they
cut.

Rule: an execution in, text out.
"""
