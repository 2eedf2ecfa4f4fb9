"""What all dialects show of an execution, and where an answer is cut.

Rule: an execution in, text out.
"""
