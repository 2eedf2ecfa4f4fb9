"""A tool of the CLI, as requests and grants name it: ``Read``, ``Bash(git log:*)``,
``mcp__server__name``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

Tool = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,99}(\([^()\x00-\x1f\x7f]{1,200}\))?$"),
]
