"""The machines of a Ray cluster: what they have, what is placed and what still runs there."""
