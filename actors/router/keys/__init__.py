"""Callers' keys: who may call, what a key lets a request do, and what is held of its budget.

Rule: what a key allows is decided in ``pool.keys``; here it is asked, reserved and settled.
"""
