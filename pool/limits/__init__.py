"""Anthropic's limits: the windows that the CLI reports, what a percent of one costs, where the rate
leads. What a limit refuses is decided in ``pool/subscriptions/admission``.

Rule: reads usage; knows no subscription.
"""
