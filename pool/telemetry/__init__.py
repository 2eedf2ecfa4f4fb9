"""What the pool says of itself: events for whoever follows it, counters for metrics.

Rule: values alone; ``actors.telemetry`` records them.
"""
