"""An execution: what a caller asks for (``request``), what is made durable before it runs
(``intent``), what is kept of it (``row``), and how it is shown (``execution``).

Rule: knows usage and limits; knows neither subscriptions nor the CLI's output.
"""
