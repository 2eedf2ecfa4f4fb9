"""A stand-in for Anthropic's Messages API, on loopback.

No test and no demonstration may spend a real subscription, yet what the pool promises (every cent
counted once, limits believed no longer than they are true) can only be shown against an API that
keeps accounts of its own. So the real Claude CLI talks to this one: it writes a bill of what
was used, enforces a working quota an account, misbehaves on request, and so gives the second
opinion that the pool's figures are held against. It imports nothing of the pool.
"""
