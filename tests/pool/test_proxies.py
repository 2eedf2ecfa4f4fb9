from __future__ import annotations

import pytest

from pool.proxies import proxies, sparing_loopback

PROXY = {"HTTPS_PROXY": "http://proxy:3128"}
LOOPBACK = "localhost,127.0.0.1,::1"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"])
def test_behind_a_proxy_this_machine_is_reached_without_it(name: str) -> None:
    environ = {name: "http://proxy:3128"}

    assert proxies(environ) == (name,)
    assert sparing_loopback(environ) == {"NO_PROXY": LOOPBACK, "no_proxy": LOOPBACK}


def test_exceptions_that_were_named_hold_in_both_spellings() -> None:
    environ = {**PROXY, "NO_PROXY": "intranet, 127.0.0.1", "no_proxy": ".local"}

    merged = ".local,intranet,127.0.0.1,localhost,::1"
    assert sparing_loopback(environ) == {"NO_PROXY": merged, "no_proxy": merged}


@pytest.mark.parametrize("environ", [{}, {"HTTPS_PROXY": ""}, {**PROXY, "NO_PROXY": "*"}])
def test_where_nothing_goes_through_a_proxy_nothing_is_set(environ: dict[str, str]) -> None:
    assert sparing_loopback(environ) == {}
