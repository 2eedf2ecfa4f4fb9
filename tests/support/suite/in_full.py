"""Whether the tests run as ``make chaos`` runs them: with the numbers that take their time."""

from __future__ import annotations

import os

IS_FULL = os.environ.get("CHAOS") == "full"
