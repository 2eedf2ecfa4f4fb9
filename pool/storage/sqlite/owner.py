"""The note beside a store that says who holds it.

The owner is recorded twice: in the store itself, and in a file beside it, because the store cannot
be read by anybody else as long as it is held. The file is written right after the lock was taken;
for that moment it may still name the owner before.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from pool.storage.owner import Owner


def _note(store: Path) -> Path:
    return store.with_name(store.name + ".owner")


def write_owner(store: Path, owner: Owner) -> None:
    """Note who holds a store, at once or not at all."""
    draft = store.with_name(store.name + ".owner.new")
    draft.touch(mode=0o600)
    draft.write_text(owner.model_dump_json())
    draft.replace(_note(store))


def read_owner(store: Path) -> Owner | None:
    """Who was noted last; None where nobody was, or the note cannot be read."""
    with suppress(OSError, ValidationError, UnicodeDecodeError):
        return Owner.model_validate_json(_note(store).read_text())
    return None


def forget_owner(store: Path) -> None:
    """The owner leaves in good order. Call it while the store is still held."""
    _note(store).unlink(missing_ok=True)
