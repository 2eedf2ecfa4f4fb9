"""An execution: what a caller asks for, what becomes of it, and how it is shown.

Rule: knows usage and limits; knows neither subscriptions nor the CLI's output.
"""
