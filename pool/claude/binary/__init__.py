"""The CLI's binary: where it is, which version, who is signed in, which models it offers.

Rule: asks short questions; runs no prompt.
"""
