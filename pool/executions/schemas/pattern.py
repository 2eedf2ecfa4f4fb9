"""Regular expressions of JSON schemas, as the CLI reads them: JavaScript's, in its Unicode mode.

That mode knows no escape that means nothing, and no brace or bracket that stands for itself. Many
schemas are written for readers who do: what is plainly meant is put so that both read the same, and
what JavaScript does not have at all is refused. The CLI passes over a schema that it cannot read,
and asks the model all the same; so whatever is wrong with a pattern is to be found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class BadPattern(ValueError):
    """What JavaScript does not take."""


class _Token(NamedTuple):
    """A piece of a pattern."""

    kind: str
    text: str
    written: str


_TOKENS = re.compile(
    r"""
    (?P<backreference> \\k<\w+> | \\[1-9]\d* | \(\?P=\w+\))
  | (?P<zero>          \\0(?!\d))
  | (?P<boundary>      \\[bB] | [\^$])
  | (?P<set>           \\[dDwWsS] | \\[pP]\{[A-Za-z_]+(?:=[A-Za-z_]+)?\} | \.)
  | (?P<character>     \\[fnrtv^$\\.*+?()\[\]{}|/] | \\c[A-Za-z] | \\x[0-9a-fA-F]{2}
                     | \\u[0-9a-fA-F]{4} | \\u\{[0-9a-fA-F]{1,5}\} | \\u\{10[0-9a-fA-F]{4}\})
  | (?P<needless>      \\[^\w\s\\] | \\[_ ])
  | (?P<class>         \[(?:[^\]\\]|\\.)*\])
  | (?P<named>         \(\?P?<[A-Za-z_]\w*>)
  | (?P<lookahead>     \(\?[=!])
  | (?P<lookbehind>    \(\?<[=!])
  | (?P<group>         \(\?[ims]*(?:-[ims]+)?: | \((?!\?))
  | (?P<close>         \))
  | (?P<repeat>        (?:[*+?]|\{\d+(?:,\d*)?\})\??)
  | (?P<or>            \|)
  | (?P<literal>       [^\\\[\](){}*+?|])
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENS = {"named", "lookahead", "lookbehind", "group"}
_UNREPEATABLE = {"boundary", "repeat", "or", "lookbehind end", "lookahead end", *_OPENS, "begin"}
_IN_CLASS = re.compile(
    r"""
    (?P<set>       \\[dDwWsS] | \\[pP]\{[A-Za-z_]+(?:=[A-Za-z_]+)?\})
  | (?P<character> \\[fnrtvb^$\\.*+?()\[\]{}|/-] | \\c[A-Za-z] | \\x[0-9a-fA-F]{2} | \\0(?!\d)
                 | \\u[0-9a-fA-F]{4} | \\u\{[0-9a-fA-F]{1,6}\})
  | (?P<needless>  \\[^\w\s\\] | \\[_ ])
  | (?P<literal>   [^\\])
    """,
    re.VERBOSE | re.DOTALL,
)


def javascript(pattern: str) -> str:
    """The pattern as JavaScript reads it. ``BadPattern`` says what it does not take."""
    tokens = list(_read(pattern))
    names = [each.written[3:-1] for each in tokens if each.kind == "named"]
    groups = sum(each.kind == "named" or each.written == "(" for each in tokens)
    if len(set(names)) < len(names):
        raise BadPattern("has two groups of one name")
    _check_nesting(tokens)
    for each in tokens:
        _check_reference(each, names, groups)
    return "".join(each.written for each in tokens)


def _read(pattern: str) -> Iterator[_Token]:
    at = 0
    while at < len(pattern):
        found = _TOKENS.match(pattern, at)
        if found is None or found.lastgroup is None:
            raise BadPattern(f"holds {pattern[at : at + 2]!r} where JavaScript knows no such thing")
        kind, text, at = found.lastgroup, found[0], found.end()
        yield _Token(kind, text, _written(kind, text))


def _written(kind: str, text: str) -> str:
    """A piece as JavaScript writes it."""
    match kind:
        case "needless":
            return text[1:]
        case "named":
            return text.replace("(?P<", "(?<")
        case "backreference" if text.startswith("(?P="):
            return rf"\k<{text[4:-1]}>"
        case "class":
            return _class(text)
        case _:
            return text


def _class(text: str) -> str:
    negation = "^" if text.startswith("[^") else ""
    inside, at, written = text[1 + len(negation) : -1], 0, []
    while at < len(inside):
        found = _IN_CLASS.match(inside, at)
        if found is None:
            raise BadPattern(f"holds {inside[at : at + 2]!r} in [], which JavaScript does not know")
        at = found.end()
        written.append(
            (found.lastgroup, found[0][1:] if found.lastgroup == "needless" else found[0])
        )
    for (kind, low), (_, dash), (other, high) in zip(
        written, written[1:], written[2:], strict=False
    ):
        if dash == "-" and ("set" in {kind, other} or (len(low) == len(high) == 1 and low > high)):
            raise BadPattern(f"holds the range {low}-{high} in []")
    return f"[{negation}{''.join(each for _, each in written)}]"


def _check_nesting(tokens: list[_Token]) -> None:
    open_, before = [], "begin"
    for each in tokens:
        if each.kind in _OPENS:
            open_.append(each.kind)
        elif each.kind == "close":
            if not open_:
                raise BadPattern("closes a group that it has not opened")
            before = f"{open_.pop()} end"
            continue
        elif each.kind == "repeat":
            _check_repeat(each.text, before)
        before = each.kind
    if open_:
        raise BadPattern("opens a group that it does not close")


def _check_repeat(text: str, before: str) -> None:
    if before in _UNREPEATABLE:
        raise BadPattern(f"holds {text!r} where there is nothing to repeat")
    bounds = [int(each) for each in re.findall(r"\d+", text)]
    if bounds != sorted(bounds):
        raise BadPattern(f"holds {text!r}, whose numbers are out of order")


def _check_reference(token: _Token, names: list[str], groups: int) -> None:
    if token.kind != "backreference":
        return
    name = token.written[3:-1] if token.written.startswith(r"\k") else ""
    is_known = name in names if name else int(token.written[1:]) <= groups
    if not is_known:
        raise BadPattern(f"refers to a group that it does not have: {token.text!r}")
