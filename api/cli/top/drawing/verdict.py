"""The verdict in words: a headline with the pool's figures, and up to three sentences."""

from __future__ import annotations

from rich.text import Text

from api.cli.display.board import dollars, span
from api.cli.display.words import clock, percent, plural, window_name
from api.cli.top.snapshot import Frame, Snapshot
from pool.subscriptions.overview.verdict import Level, serves

COLOURS = {
    Level.SAFE: "green",
    Level.TIGHT: "yellow",
    Level.DRY: "red",
    Level.EMPTY: "default",
}


def verdict_lines(snapshot: Snapshot, frame: Frame) -> list[Text]:
    """What the pool is at one glance: three lines."""
    sentences = [_relief(snapshot, frame), _burner(snapshot)]
    return [
        _headline(snapshot, frame),
        Text(_first(snapshot, frame), style="bold"),
        Text("  ".join(each for each in sentences if each), style="dim"),
    ]


def _headline(snapshot: Snapshot, frame: Frame) -> Text:
    level = snapshot.overview.verdict.level
    line = Text.assemble((f"● {_word(snapshot, frame)}", f"bold {COLOURS[level]}"))
    for name, value in _figures(snapshot):
        line.append("   ")
        line.append(f"{name} ", style="dim")
        line.append(value)
    return line


def _word(snapshot: Snapshot, frame: Frame) -> str:
    overview, found = snapshot.overview, snapshot.overview.verdict
    match found.level:
        case Level.EMPTY:
            return "Nothing here yet"
        case Level.SAFE | Level.TIGHT:
            return found.level.value.capitalize()
        case Level.DRY if found.serving and overview.forecast.dry_at is not None:
            return f"Runs dry in {span((overview.forecast.dry_at - frame.now).total_seconds())}"
        case Level.DRY if found.relief is not None:
            return f"Dry until {clock(found.relief.at, frame.now)}"
        case _:
            return "Dry"


def _figures(snapshot: Snapshot) -> list[tuple[str, str]]:
    overview = snapshot.overview
    slots = sum(each.capacity for each in snapshot.reports if serves(each))
    waiting = f" +{overview.queued}" if overview.queued else ""
    today = "?" if snapshot.today_usd is None else dollars(snapshot.today_usd)
    return [
        ("today", today),
        ("burns", f"{dollars(overview.forecast.burn_rate_usd_per_hour)}/h"),
        ("week left", dollars(overview.forecast.weekly_headroom_usd)),
        ("running", f"{overview.running}/{slots}{waiting}"),
    ]


def _first(snapshot: Snapshot, frame: Frame) -> str:
    found, now = snapshot.overview.verdict, frame.now
    if found.level is Level.EMPTY:
        coming = snapshot.overview.unheard
        return (
            f"{plural(len(coming), 'subscription')} still coming up."
            if coming
            else "There is no subscription yet: add one to pool.toml, or with `subscriptions add`."
        )
    if not found.serving:
        return "No subscription takes work now."
    if found.first_dry is not None:
        first, limit = found.first_dry, window_name(found.first_dry.by)
        if first.at <= now:
            return f"{first.subscription_id} has run dry ({limit})."
        left = span((first.at - now).total_seconds())
        at = clock(first.at, now)
        return f"{first.subscription_id} runs dry first, in {left} ({at}, {limit})."
    most = max(filter(serves, snapshot.reports), key=lambda each: each.weekly_percent)
    used = percent(most.weekly_percent / 100)
    return f"At this rate none runs dry; {most.id} has used the most, {used} of its week."


def _relief(snapshot: Snapshot, frame: Frame) -> str:
    found, now = snapshot.overview.verdict, frame.now
    if found.relief is None:
        waits = found.serving or found.level is Level.EMPTY
        return "" if waits else "Nothing comes back by the clock alone."
    relief, dry_at = found.relief, snapshot.overview.forecast.dry_at
    text = f"Next relief: {relief.subscription_id} at {clock(relief.at, now)}"
    if dry_at is None or not found.serving:
        return f"{text}, in {span((relief.at - now).total_seconds())}."
    if relief.at <= dry_at:
        return f"{text}, in time."
    return f"{text}, {span((relief.at - dry_at).total_seconds())} too late."


def _burner(snapshot: Snapshot) -> str:
    burner = snapshot.overview.verdict.burner
    if burner is None:
        return ""
    rate = f"{dollars(burner.usd_per_hour)}/h"
    if len(snapshot.reports) == 1:
        return f"{burner.subscription_id} burns {rate}."
    return f"{burner.subscription_id} burns most: {rate}, {percent(burner.share)}."
