"""Requests, as they are checked before anybody is asked: the models, the subscription and the
session that they name.
"""

from __future__ import annotations

from actors.router.dispatching.choices import Choices
from actors.router.dispatching.placement import Order
from actors.router.keys.callers import Caller
from actors.router.presence.followers import Followers
from pool.errors import InvalidRequest, NotFound, SessionGone, UnknownModel
from pool.executions.request import ExecutionRequest


class Requests:
    """Checks what requests name against what is here."""

    def __init__(self, followers: Followers, choices: Choices, default_model: str) -> None:
        self._followers = followers
        self._choices = choices
        self._default_model = default_model

    async def checked(self, request: ExecutionRequest) -> ExecutionRequest:
        """The request with its model by the name that it has here."""
        for model in request.agent.models:
            if (name := await self.known_model(model)) != model:
                problem = f"no model {model!r} is known here by this name: write {name!r}"
                raise InvalidRequest("agent.sub_agents", problem)
        if request.model is None:
            return request
        return request.model_copy(update={"model": await self.known_model(request.model)})

    async def known_model(self, model: str) -> str:
        """The name that a model has here; ``UnknownModel`` for one that nobody has."""
        name = self._choices.catalogue.find(model)
        if name is None:
            await self._followers.await_all()  # one that has sent no report yet may have it
            name = self._choices.catalogue.find(model)
        if name is None:
            raise UnknownModel(model, self._choices.catalogue.nearest(model))
        return name

    def check_wanted(self, request: ExecutionRequest, caller: Caller) -> None:
        """``NotFound`` for a subscription that is not known. Of one that is closed to the caller
        nothing is told here: its key says no, whether it is known or not.
        """
        wanted = request.subscription_id
        if wanted is None or wanted in self._followers.followed:
            return
        if caller.key is None or caller.key.covers_subscription(wanted):
            raise NotFound("subscription", wanted)

    def check_home(self, order: Order) -> None:
        """Raise ``SessionGone`` where a session lived on a subscription that was removed."""
        home = order.home and order.home.subscription_id
        if home is not None and home not in self._followers.followed:
            problem = f"the subscription {home!r} that it lives on was removed"
            raise SessionGone(order.dispatch.execution_id, problem)

    def runs_as(self, request: ExecutionRequest) -> frozenset[str]:
        """What its model stands for, where that is an alias."""
        return self._choices.catalogue.runs_as(request.model or self._default_model)
