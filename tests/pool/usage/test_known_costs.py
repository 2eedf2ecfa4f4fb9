from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from pool.usage.expected_cost import ExpectedCost, floor
from pool.usage.known_costs import KnownCosts
from pool.usage.records import RunSize

SONNET, OPUS = "claude-sonnet-4-5", "claude-opus-4-5"

costs = st.builds(
    ExpectedCost,
    model=st.sampled_from([SONNET, OPUS]),
    uses_tools=st.booleans(),
    runs=st.integers(1, 12),
    input_usd_per_million=st.integers(1, 6).map(Decimal),
    price_source=st.sampled_from(["learned", "assumed"]),
    beyond_input_usd=st.integers(0, 6).map(lambda each: Decimal(each) / 100),
)
told = st.lists(costs, max_size=3, unique_by=lambda each: (each.model, each.uses_tools))


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), told), max_size=30),
    st.sampled_from([SONNET, OPUS, "sonnet", "claude-haiku-4-5"]),
    st.sampled_from([0, 1_000, 50_000]),
    st.booleans(),
)
def test_whatever_was_told_in_whatever_order_the_floor_is_that_of_all(
    course: list[tuple[str, list[ExpectedCost]]], model: str, tokens: int, uses_tools: bool
) -> None:
    known, now = KnownCosts(), dict[str, list[ExpectedCost]]()
    size = RunSize(model=model, input_tokens=tokens, uses_tools=uses_tools)

    for id_, tells in course:
        known.heard(id_, tells)
        now[id_] = tells
        everything = [each for tells in now.values() for each in tells]
        assert known.floor(size) == floor(everything, size)


def test_nothing_that_is_cheaper_for_every_prompt_is_looked_at() -> None:
    known = KnownCosts()
    cost = ExpectedCost(
        model=SONNET,
        uses_tools=False,
        runs=1,
        input_usd_per_million=Decimal(3),
        price_source="learned",
        beyond_input_usd=Decimal(0),
    )
    for n in range(1_000):
        known.heard(f"s{n}", [cost.model_copy(update={"beyond_input_usd": Decimal(n)})])

    (kind,) = known._kinds.values()
    assert [(each.beyond_input_usd, each.runs) for each in kind.dearest()] == [(999, 1_000)]
