"""The address of a database, and how it may be written in logs: never with its password."""

from __future__ import annotations

import re

from pool.errors import StoreError

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._%-]*)(?::[0-9]+)?"
_FORM = re.compile(
    r"postgres(?:ql)?://(?:[^@/?#\s]*@)?"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)/(?P<database>[^@/?#\s]*)(?:\?[^#\s]*)?"
)


class Address:
    """A URL of a database, checked for its form. Its name and its repr hold no secret."""

    def __init__(self, url: str) -> None:
        """Raise ``StoreError``, which quotes nothing, for what is no URL of a database."""
        form = _FORM.fullmatch(url)
        if form is None:
            problem = (
                "is no URL of a database: write postgresql://user:password@host:5432/database, "
                "with '@', '/', '?', '#' and '%' in a password as %40, %2F, %3F, %23 and %25"
            )
            raise StoreError("postgresql", problem)
        self.url = url
        self.name = f"postgresql://{form['hosts']}/{form['database']}"

    def __repr__(self) -> str:
        return f"Address({self.name})"
