"""Usage broken down: the sums of records by day, block, model, session, key, subscription or tag.

Everything here is a sum of integers, so that neither the order of records nor the number of
ledgers they come from matters, and the groups together are exactly the records of the range, be
they made of these or of the totals of periods that are kept with them (``period_sums``). A block
whose records retention has removed is taken from its total, which lives for ever: that knows its
day and its models, but no sessions, keys and tags, nor where a cost came from. What is covered, and
by which of the two, is said with every answer (G11); what neither knows exactly is left out and
shows as a gap.

Rule: values and sums alone; what is asked of a store for them is ``pool.storage.ledger``'s matter.
"""
