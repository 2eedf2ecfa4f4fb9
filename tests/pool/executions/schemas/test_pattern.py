"""What the CLI says of each of these where it checks a schema (2.1.330)."""

from __future__ import annotations

import pytest

from pool.executions.schemas.pattern import BadPattern, javascript

TAKEN = [
    *(r"(?i:abc)", r"[\-a]", r"\p{L}", r"(?<x>a)\k<x>", r"\x41", r"\u0041", r"\u{1F600}", r"\/"),
    *(r"(?<!a)b", r"[\w-]", r"(a)\1", r"\0", r"\cA", "[^]", "[]", "(?:)", r"\.", r"\$", r"[\b]"),
    *("[a&&b]", r"^[a-z]{2,}$", "a*?b+?c??d{1}?e{1,2}?", "(a|b)*", "(?:a)+", "", "a|", "()", r"\b"),
    *("é", "[à-ü]", "a\nb", r"(?=a)b", "[]a]".replace("]a]", "]a"), r"[^\]]", "[.-]", "[a-]"),
]
MENDED = {
    r"^\d{3}\-\d$": r"^\d{3}-\d$",
    r"a\_b": "a_b",
    r"[a\_]": "[a_]",
    r"[\:]": "[:]",
    r"\"\'\@\ ": "\"'@ ",
    "(?P<x>a)(?P=x)": r"(?<x>a)\k<x>",
}
REFUSED = [
    *("(?i)abc", r"\Aabc\Z", "a*+", "(?>a)", "a{", "a}", "a]", "[[:alpha:]]", "(?#c)a", "(?=a)*"),
    *("a{2,1}", "[z-a]", r"[\d-z]", r"\1", r"\2(a)", r"\00", r"\c", "**", "a**", r"\N{DASH}"),
    *(r"\e", r"\h", "x{,3}", "(?s)a", "(?<a>x)(?<a>y)", "(", ")", "(?P=x)", "^*", "[a", "a\\"),
    *("|*", "(*)", "[a\\", r"[\e]", r"\k<x>", r"\k", "(?<1>a)", r"\u{110000}", "(?<!a)*", "{1}"),
]


@pytest.mark.parametrize("pattern", TAKEN)
def test_what_javascript_reads_stays_as_it_is(pattern: str) -> None:
    assert javascript(pattern) == pattern


@pytest.mark.parametrize("pattern", MENDED)
def test_what_is_plainly_meant_is_put_as_javascript_does(pattern: str) -> None:
    assert javascript(pattern) == MENDED[pattern]


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_javascript_does_not_have_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        javascript(pattern)
