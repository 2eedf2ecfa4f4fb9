"""The demonstration: a pool of three with the real CLI, traffic for it, and a stand-in for
Anthropic's API on loopback.

No test and no demonstration may spend a real subscription, yet what the pool promises (every cent
counted once, limits believed no longer than they are true) can only be shown against an API that
keeps accounts of its own. So the real Claude CLI talks to the stand-in: it writes a bill of what
was used, enforces a working quota an account, misbehaves on request, and so gives the second
opinion that the pool's figures are held against.

Rule: ``standin`` and ``answers`` import nothing of the pool; the rest starts a pool as anybody
does.
"""
