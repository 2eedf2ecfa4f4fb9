"""What was used: tokens and dollars, by model, block, week and record.

Rule: knows records and sums alone; nothing here knows a subscription's limits or an execution.
"""
