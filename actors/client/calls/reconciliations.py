"""Reconciliations, as a client orders and lists them."""

from __future__ import annotations

from actors.aiokit import forwarded
from actors.client.calls.view import PoolView, reconciler
from actors.interfaces.reconciler_actor import ReconcilerActor


class ReconciliationCalls(PoolView):
    """What a client does with reconciliations. ``Conflict`` where no organization is configured."""

    reconcile = forwarded(reconciler, ReconcilerActor.reconcile)
    reconciliations = forwarded(reconciler, ReconcilerActor.reconciliations)
    reconciliation = forwarded(reconciler, ReconcilerActor.reconciliation)
    reverse_adjustments = forwarded(reconciler, ReconcilerActor.reverse_adjustments)
