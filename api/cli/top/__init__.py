"""``claude-pool top``: the pool on a terminal, as the page at ``/`` shows it.

Rule: what is drawn is a function of a ``Snapshot``, a ``View`` and a ``Frame``; only ``command``,
``keyboard`` and ``polling`` touch the terminal, the clock and the service.

Drawn with Rich, which the command line has anyway. Textual would bring five more packages and
takes 0.8 s to import, where Rich takes 0.2 s.
"""
