"""What is shipped for Prometheus and Grafana asks for metrics that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.web.metrics import HttpMetrics, exposition
from pool.telemetry.counters import OF_ROUTERS, OF_SUBSCRIPTIONS, Counter, Figures, Tally, Timer
from pool.telemetry.exposition import of_pool
from tests.support.values.examples import NOON
from tests.support.values.reports import report_at, state, window

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = ("alerts.rules.yml", "grafana-dashboard.json")


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """The labels of every metric, by its name, where each has at least one sample."""
    subscription = state(windows={"five_hour": window(0.5)})
    soon = NOON + timedelta(hours=1)
    report = report_at(subscription).model_copy(
        update={"state_until": soon, "login_expires_at": soon}
    )
    figures = Figures(
        reports=(with_usage(report),),
        tallies={"sub1": of_each(OF_SUBSCRIPTIONS)},
        router=of_each(OF_ROUTERS),
        unheard=(),
        observed_at=NOON,
    )
    http = HttpMetrics()
    http.observe("GET", "/healthz", 200, 0.1)
    body = exposition("".join(each.text(openmetrics=False) for each in of_pool(figures)), http)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def of_each(declared: Iterable[Counter | Timer]) -> Tally:
    """A tally in which each was met once."""
    tally = Tally()
    for each in declared:
        if isinstance(each, Timer):
            tally = tally.timed(each, 1)
        else:
            tally = tally.counted(each, "usage_limit" if each.label else "")
    return tally


def with_usage(report: Any) -> Any:
    from pool.usage.records import usage_report
    from tests.support.values.examples import usage_of

    totals = report.totals.model_copy(update={"usage": usage_report(usage_of())})
    return report.model_copy(update={"totals": totals})


@pytest.mark.parametrize("name", FILES)
def test_every_metric_that_is_asked_for_exists(name: str, known: dict[str, set[str]]) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    asked = set(re.findall(r"claude_pool_[a-z_]+", text))

    assert len(asked) > 5
    assert asked - known.keys() == set()


@pytest.mark.parametrize("name", FILES)
def test_every_label_that_is_selected_exists(name: str, known: dict[str, set[str]]) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8").replace('\\"', '"')

    selected = [
        (metric, label)
        for metric, selectors in re.findall(r"(claude_pool_[a-z_]+)\{([^{}]*)\}", text)
        for label in re.findall(r"([a-z_]+)\s*(?:=~|!=|=|!~)", selectors)
    ]

    assert selected
    assert [each for each in selected if each[1] not in known[each[0]]] == []


def test_prometheus_finds_the_rules_and_the_address() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))

    assert all((DEPLOY / each).is_file() for each in config["rule_files"])
    assert [each["metrics_path"] for each in config["scrape_configs"]] == ["/metrics"]


def test_every_rule_says_what_it_means() -> None:
    rules = yaml.safe_load((DEPLOY / "alerts.rules.yml").read_text(encoding="utf-8"))

    for rule in rules["groups"][0]["rules"]:
        assert rule["alert"].startswith("ClaudePool")
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")


def test_the_dashboard_can_be_imported() -> None:
    board = json.loads((DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8"))

    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) > 0
    assert all(target["expr"] for panel in board["panels"] for target in panel["targets"])
