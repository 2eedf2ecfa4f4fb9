"""Ray: the actors' shells, what they are made of, and where the cluster is.

Rule: the only room that imports ray, and the only one that chooses a store.
"""

import os
import sys

if "ray" not in sys.modules:
    # Read once, when Ray is loaded. A Ray of the pool's own makes its token; that of a cluster has
    # to be here.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
