"""Anthropic's limits: the windows that the CLI reports, what a percent of one costs, where the rate
leads.

Rule: reads usage; knows no subscription.
"""
