"""Ledgers that no actor has now: of subscriptions that sleep, and of those that were removed.

Rule: takes a ledger over for as long as it reads or removes what is due, and lets go of it; where
somebody may have it still, it is read beside that, if the store allows it.
"""
