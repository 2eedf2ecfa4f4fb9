"""Keeps a run from telling the model where on this machine an image lies.

The CLI writes each image of a prompt to a directory of the session's, and adds the path to the
prompt ("[Image: source: /..]"). Where that directory cannot be had it goes on without the file and
without the words (tried on 2.1.330; no setting does it but the one that keeps no sessions at all).
So a file is put in its place. It is named after the working directory, shortened in a way of the
CLI's own where that is longer than 200 characters: there the model sees the path.
"""

from __future__ import annotations

import os
import re
from pathlib import Path


def occupy(temporary: Path, work_dir: Path, session_id: str) -> None:
    """Put a file where a run with this ``CLAUDE_CODE_TMPDIR`` would make its image directory."""
    project = re.sub("[^a-zA-Z0-9]", "-", str(work_dir.resolve()))
    place = temporary
    for name in (f"claude-{os.getuid()}", project, session_id):
        place /= name
        place.mkdir(mode=0o700, exist_ok=True)
    (place / "images").touch()
