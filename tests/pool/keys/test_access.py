from __future__ import annotations

import pytest

from pool.keys.access import FULL_ACCESS, Access
from pool.keys.api_keys import KeySpec, Scope


@pytest.mark.parametrize(
    ("scopes", "sees", "reaches", "sees_pool"),
    [
        (("execute",), "ci", "ci", False),
        (("execute", "read"), "ci", "ci", True),
        (("read",), "ci", "ci", True),
        (("read_all",), None, "ci", True),
        (("admin",), None, None, True),
        (("report",), "ci", "ci", False),
    ],
)
def test_scopes_say_whose_things_a_key_sees_and_reaches(
    scopes: tuple[Scope, ...], sees: str | None, reaches: str | None, sees_pool: bool
) -> None:
    holder = KeySpec(name="ci", scopes=scopes).holder

    assert (holder.sees.tenant, holder.reaches.tenant) == (sees, reaches)
    assert holder.sees.sees_pool == sees_pool


def test_keys_of_one_tenant_see_the_same() -> None:
    one, two = (KeySpec(name=name, tenant="team").holder.sees for name in ("one", "two"))

    assert one == two
    assert one.tenant == "team"


def test_what_belongs_to_nobody_is_for_whoever_sees_all() -> None:
    assert FULL_ACCESS.owns(None)
    assert not Access(tenant="ci").owns(None)


@pytest.mark.parametrize(
    ("patterns", "names", "covered"),
    [
        (("claude-sonnet-*",), ("sonnet",), True),
        (("claude-sonnet-4-5",), ("sonnet",), False),
        (("claude-sonnet-4-5",), ("sonnet", "claude-sonnet-4-5"), True),
        (("sonnet",), ("claude-sonnet-4-5-20250929",), True),
        (("sonnet",), ("claude-opus-4-5",), False),
        (("default",), ("claude-opus-4-5",), True),
        (("claude-opus-*",), ("claude-opus-4-5[1m]", None), True),
        (("claude-opus-*",), (None,), False),
    ],
)
def test_a_model_is_covered_by_the_name_that_was_asked_for_or_the_one_that_answered(
    patterns: tuple[str, ...], names: tuple[str | None, ...], covered: bool
) -> None:
    assert Access(models=patterns).covers_model(*names) == covered
