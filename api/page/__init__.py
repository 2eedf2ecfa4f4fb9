"""The page at ``/``: what a person sees of the pool.

``frontend`` has its sources in TypeScript and their tests; ``make page`` builds them into
``built``, which ships in the wheel. The page is a caller like any other: it knows nothing but the
public HTTP API, and shows what its key may see. Here it is only served.

Rule: serves files; knows neither the pool nor the routes.
"""
