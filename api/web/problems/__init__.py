"""Errors over HTTP by RFC 9457: one table from errors to statuses, and what is answered.

A problem says what happened, to what, and what to do next. It never repeats a value that was sent:
that may be a prompt. What nobody expected is a 500 without details; the log has the place where it
happened, and no values either.

Rule: an error in, an answer out; which shape it has at an address is that address's matter.
"""
