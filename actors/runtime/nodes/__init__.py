"""The machines of a Ray cluster: what they have, what is placed and what still runs there.

Rule: asks machines, and no actor; ``pool.nodes`` decides who may run where.
"""
