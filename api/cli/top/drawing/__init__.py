"""What ``claude-pool top`` draws: the screen and its parts.

Rule: functions of a ``Snapshot``, a ``View`` and a ``Frame``; nothing here touches the terminal.
"""
