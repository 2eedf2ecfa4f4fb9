"""What is spoken: the HTTP interface, its keys and problems, and the command line.

Everything here is thin. Requests are read and answered here; what they ask for is done by
``actors.client.client.PoolClient``, with the same values and the same errors.

Rule: imports ``actors`` and ``pool``, and nobody imports it.
"""
