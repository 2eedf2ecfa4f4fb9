"""What is true about a pool of Claude subscriptions.

Values, rules and the durable stores: no Ray, no web framework. Rules are pure functions that take
``now``; the clock, the disk and processes live in ``store``, ``claude`` and ``config``. Money is
integer nano-dollars inside and ``Decimal`` US dollars in what is shown.
"""
