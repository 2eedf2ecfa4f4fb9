"""A database of a pool that runs, and another pool that is given the same."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from cluster import cluster
from postgres import Server as Database
from service import Service, write_config

from api.demo.standin.messages_api import create_app
from api.demo.standin.server import serving
from api.demo.standin.standin import Standin

pytestmark = pytest.mark.timeout(180)

KEY = {"idempotency-key": "once"}


def test_a_database_that_a_running_pool_has_is_refused_to_any_other_until_that_is_killed(
    database: Database, tmp_path: Path
) -> None:
    url = database.fresh_schema()
    with serving(create_app(Standin()), port=0) as api:
        with cluster(tmp_path) as address, ExitStack() as before_ray:
            joins = f'[ray]\naddress = "{address}"\n'
            first = on(url, tmp_path / "first", api.url, joins)
            before_ray.callback(first.kill)
            first.start()
            with first.client() as http:
                one = http.post("/v1/executions", json={"prompt": "one"}, headers=KEY).json()
                terms = terms_of(database, url)
                other = on(url, tmp_path / "other", api.url)
                has_own_ray = other.refusal()
                third = on(url, tmp_path / "third", api.url, f'{joins}namespace = "third"\n')
                in_the_same_ray = third.refusal()
                two = http.post("/v1/executions", json={"prompt": "two"}).json()
            undisturbed = terms_of(database, url)
        with other.running(), other.client() as http:  # its cluster was killed just now
            again = http.post("/v1/executions", json={"prompt": "one"}, headers=KEY).json()

    expected = "pool.store: the pool 'claude-pool' of the Ray cluster "
    assert has_own_ray.startswith(expected)
    assert in_the_same_ray.startswith(expected)
    assert " has this database, and runs: give each pool a database or a schema" in has_own_ray
    assert (one["status"], two["status"]) == ("succeeded", "succeeded")
    assert terms == undisturbed == "1"
    assert again["id"] == one["id"]


def on(url: str, folder: Path, api_url: str, more: str = "") -> Service:
    """A service of one subscription with its records in a database."""
    folder.mkdir()
    config = write_config(folder, api_url, subscriptions=1, more=more)
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("[pool]\n", f'[pool]\nstore = "{url}"\n'))
    return Service(config)


def terms_of(database: Database, url: str) -> str:
    """How many routers have begun."""
    schema = url.partition("search_path=")[2]
    return database.sql(f"SELECT epoch FROM {schema}.owner WHERE subscription_id = 'router:'")
