"""Who of the subscriptions is up, who sleeps and who is on the way: brought up, asked for reports,
put to sleep, woken, renewed and let go.

Rule: knows subscriptions by their protocol and their snapshots; dispatches nothing.
"""
