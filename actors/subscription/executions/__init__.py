"""The executions of a subscription that have not ended: held, begun, run, settled, handed on.

Rule: intent and outcome are durable before what follows from them; stands on ``context``,
``correction`` and ``sessions``. Others know ``LiveExecutions`` and its ``LiveExecution``.
"""
