"""A request on its way to a subscription: claimed, ranked, placed, and brought on to another one.

Rule: asks subscriptions by their protocol, and goes by the reports that presence has of them.
"""
