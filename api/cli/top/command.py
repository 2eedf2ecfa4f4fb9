"""``claude-pool top``: the screen, until q or Ctrl-C; where there is no terminal, printed once."""

from __future__ import annotations

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from rich.console import Console
from rich.live import Live

from api.cli.service import Complaint, Service, asking
from api.cli.top.drawing.screen import screen
from api.cli.top.keyboard import Keyboard, keyboard
from api.cli.top.polling import Polling, first_snapshot
from api.cli.top.snapshot import Frame
from api.cli.top.view import Order, Quit, View, pressed

TICK_SECONDS = 1.0
"""How often it is drawn anew where nothing happens: spans grow meanwhile."""


@asking
def top(asked: Service) -> None:
    """Watch the pool: is it safe, who runs dry first, what runs, what needs attention.

    Keys pause, resume and drain a subscription, cancel an execution, and explain either; each says
    what it will do and asks first. Figures with a `*` are the pool's own, the others Anthropic's.
    Where the output is no terminal, it is printed once.
    """
    watch(asked)


def watch(service: Service) -> None:
    """Show the pool until somebody leaves."""
    console = Console()
    first = first_snapshot(service)
    if not console.is_terminal or console.is_dumb_terminal:
        console.print(screen(first, View(), Frame(first.overview.observed_at, console.width)))
        return
    terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
    with keyboard(terminal) as keys, suppress(KeyboardInterrupt):
        polling = Polling(service, first, keys.ring)
        polling.start()
        try:
            _show(console, service, polling, keys, has_keys=terminal is not None)
        finally:
            polling.stop()


def _show(
    console: Console, service: Service, polling: Polling, keys: Keyboard, *, has_keys: bool
) -> None:
    view = View()
    said: list[str] = []

    def ended(done: Future[str]) -> None:
        said.append(done.result())
        polling.soon()
        keys.ring()

    def carry_out(order: Order) -> None:
        done: Future[str] = orders.submit(_carried_out, service, order)
        done.add_done_callback(ended)

    with (
        ThreadPoolExecutor(1, thread_name_prefix="orders") as orders,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            if said:
                view = replace(view, note=said.pop())
            frame = Frame(polling.now, console.width, console.height, has_keys)
            live.update(screen(polling.snapshot, view, frame), refresh=True)
            for key in keys.pressed(TICK_SECONDS):
                view, wanted = pressed(view, key, polling.snapshot)
                match wanted:
                    case Quit():
                        return
                    case Order():
                        carry_out(wanted)


def _carried_out(service: Service, order: Order) -> str:
    try:
        service.ask("POST", order.path)
    except Complaint as complaint:
        return f"{complaint.title}: {complaint.detail}"
    return order.done
