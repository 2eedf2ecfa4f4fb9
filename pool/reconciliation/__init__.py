"""The result of a comparison between the pool's records and Anthropic's reports.

Rule: values alone; ``pool.admin_api`` makes them.
"""
