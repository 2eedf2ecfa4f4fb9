from __future__ import annotations

import pytest

from pool.routing.model_catalogue import Catalogue, catalogue
from pool.usage.records import ModelUsage, Usage
from tests.support.values.reports import report_at, state

OFFER = {
    "default": "claude-sonnet-5-5",
    "sonnet": "claude-sonnet-5-5",
    "opus": "claude-opus-5-5[1m]",
    "haiku": "claude-haiku-5-5",
}


def of(
    *patterns: str, default: str = "sonnet", offer: dict[str, str] | None = None, used: str = ""
) -> Catalogue:
    """What a pool of one subscription can be asked for."""
    subscription = state("a")
    subscription.models = OFFER if offer is None else offer
    if used:
        usage = Usage(models={used: ModelUsage(output_tokens=1)})
        subscription.totals = subscription.totals.model_copy(update={"usage": usage})
    return catalogue(default, patterns, [report_at(subscription)])


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("sonnet", "sonnet"),
        ("fable", "fable"),  # an alias of every release, listed or not
        ("claude-opus-5-5", "claude-opus-5-5"),
        ("claude-sonnet-5-5[1m]", "claude-sonnet-5-5[1m]"),
        ("claude-haiku-5-5-20260901", "claude-haiku-5-5-20260901"),
        ("claude-haiku-5-5-latest", "claude-haiku-5-5-latest"),
        ("anthropic/claude-sonnet-5-5", "claude-sonnet-5-5"),
        ("claude/opus", "opus"),
        ("openrouter/anthropic/claude-opus-5-5[1m]", "claude-opus-5-5[1m]"),
        ("claude-sonnet-4.6", None),
        ("anthropic/claude-sonnet-4.6", None),
        ("claude-sonnet-4-6", None),
        ("claude-opus-4-5-20251101", None),
        ("gpt-5", None),
        ("claude-sonnet-5-5/", None),
        ("", None),
    ],
)
def test_a_model_is_known_by_what_the_cli_offers(asked: str, name: str | None) -> None:
    assert of().find(asked) == name


@pytest.mark.parametrize("pattern", ["claude-opus-4-5-20251101", "claude-opus-*", "*"])
def test_what_the_cli_does_not_list_can_be_allowed_by_a_pattern(pattern: str) -> None:
    assert of(pattern).find("claude-opus-4-5-20251101") == "claude-opus-4-5-20251101"
    assert of(pattern).find("claude-opus-4.5") is None


def test_what_the_pool_has_used_is_known_without_a_pattern() -> None:
    old = "claude-opus-4-5-20251101"

    assert of(used=old).find(old) == old
    assert of(used=old).find("claude-opus-4-5") == "claude-opus-4-5"


def test_patterns_keep_the_others_out() -> None:
    only = of("claude-haiku-*", default="haiku")

    assert only.find("claude-haiku-5-5") == "claude-haiku-5-5"
    assert only.find("haiku") == "haiku"
    assert only.find("sonnet") is None
    assert only.find("default") is None
    assert only.find("claude-sonnet-5-5") is None
    assert only.names == ("haiku", "claude-haiku-5-5")


def test_an_alias_is_allowed_where_what_it_runs_as_is() -> None:
    assert of("claude-sonnet-*", default="sonnet").find("default") == "default"
    assert of("claude-sonnet-5-5", default="haiku").find("sonnet") == "sonnet"
    assert of("claude-sonnet-4-*", default="haiku").find("sonnet") is None


def test_an_alias_that_runs_as_two_models_is_allowed_where_both_are() -> None:
    by_key, by_login = state("a"), state("b")
    by_key.models, by_login.models = {"default": "claude-opus-5-5"}, OFFER
    reports = [report_at(by_key), report_at(by_login)]

    assert catalogue("haiku", ("claude-sonnet-*",), reports).find("default") is None
    both = catalogue("haiku", ("claude-sonnet-*", "claude-opus-*"), reports)
    assert both.find("default") == "default"
    assert both.runs_as("default") == {"claude-opus-5-5", "claude-sonnet-5-5"}


@pytest.mark.parametrize(
    ("asked", "is_taken"),
    [
        ("sonnet", True),
        ("default[1m]", True),
        ("claude-sonnet-4-5", True),
        ("anthropic/claude-opus-4-5-20251101", True),
        ("claude-3-5-haiku-latest", True),
        ("claude-newer-7", True),
        ("claude-sonnet-4.6", False),
        ("claude-no-such-model", False),
        ("gpt-5", False),
    ],
)
def test_where_no_cli_has_said_anything_a_name_of_the_right_form_is_taken(
    asked: str, *, is_taken: bool
) -> None:
    silent = of(offer={})

    assert (silent.find(asked) is not None) == is_taken


def test_the_model_of_the_configuration_is_known_with_its_slash() -> None:
    own = of(default="my-gateway/sonnet")

    assert own.find("my-gateway/sonnet") == "my-gateway/sonnet"
    assert of("my-gateway/*").find("my-gateway/large") == "my-gateway/large"


def test_the_nearest_names_are_those_that_can_be_asked_for() -> None:
    assert of().nearest("openrouter/anthropic/claude-sonnet-4.6")[0] == "claude-sonnet-5-5"
    assert of().nearest("sonet") == ("sonnet",)
    assert of().nearest("gpt-5") == ()
    assert "claude-sonnet-5-5" not in of("claude-haiku-*", default="haiku").nearest("claude-sonnet")


def test_the_default_is_listed_first_then_the_others_by_name() -> None:
    assert of(used="claude-opus-4-1").names == (
        "sonnet",
        "claude-haiku-5-5",
        "claude-opus-4-1",
        "claude-opus-5-5",
        "claude-sonnet-5-5",
        "default",
        "haiku",
        "opus",
    )
    assert of(offer={}).names == ("sonnet", "default", "fable", "haiku", "opus")


def test_a_model_has_its_aliases_and_an_alias_none() -> None:
    assert of().aliases("claude-sonnet-5-5") == ("default", "sonnet")
    assert of().aliases("claude-opus-5-5") == ("opus",)
    assert of().aliases("sonnet") == ()


def test_what_is_left_without_its_prefix_has_to_be_a_name() -> None:
    assert of("*").find("-x/[1m]") is None
    assert of("*").find("-x/-y") is None
    assert of("*").find("-x/") is None
