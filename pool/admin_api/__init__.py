"""Anthropic's Admin API, and what the pool makes of it.

An organization's admin can ask Anthropic what was used: tokens by the hour, dollars by the UTC day,
Claude Code by person and day. Here those reports are fetched (``client``, at the pace of ``pace``),
read (``reports``), brought side by side with the pool's own records (``organizations``,
``comparison``), and where it is wished the records are adjusted (``adjustment``). What is due when
is decided by ``schedule``. Everything but ``client`` and ``pace`` is pure.

A report counts as a whole or not at all: what is cut off, repeated, misshapen or out of step with
this machine's clock is a ``ReportProblem``, and nothing is concluded from it.

Rule: knows records and findings, no ledger and no actor.
"""
