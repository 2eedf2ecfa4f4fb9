"""A running service, as the command line reaches it.

Whatever goes wrong on the way is said in a sentence, on standard error, and ends the command with
exit code 1: what the service refuses by its title and detail, an absent service by how to start it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, NamedTuple, ParamSpec, TypeVar
from urllib.parse import urlsplit

import typer
from pydantic import BaseModel, TypeAdapter, ValidationError
from rich.console import Console

from api.web.operator_key import operator_key
from pool.config import environment, is_loopback, load
from pool.errors import ConfigError
from pool.executions.execution import Execution
from pool.executions.progress import Progress
from pool.subscriptions.overview.pool_overview import Overview
from pool.subscriptions.report import Report

DEFAULT_URL = "http://127.0.0.1:8600"
POLL_SECONDS = 30
"""One wait for an execution; less than what proxies on the way put up with."""
TIMEOUT_SECONDS = POLL_SECONDS + 60
"""Longer than any answer takes, a subscription that restarts included."""

_PROGRESS: TypeAdapter[Progress] = TypeAdapter(Progress)
Model = TypeVar("Model", bound=BaseModel)

P = ParamSpec("P")

Url = Annotated[
    str,
    typer.Option(envvar="CLAUDE_POOL_URL", help="Where the service listens.", show_default=True),
]
KeyEnv = Annotated[
    str,
    typer.Option(
        help="The environment variable that holds your key; keys stay out of argv. Where it is not "
        "set, the operator's key is used on the pool's machine."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print what the service answered, as JSON.")]
_KEY_ENV = "CLAUDE_POOL_KEY"

errors = Console(stderr=True, soft_wrap=True)


class Answer(NamedTuple):
    """What the service said."""

    status: int
    value: Any


@dataclass(eq=False)
class Complaint(Exception):
    """What the service refused, or why it could not be asked."""

    title: str
    detail: str


def understood(model: type[Model], value: Any) -> Model:
    """A value of the service as a model."""
    try:
        return model.model_validate(value)
    except ValidationError:
        raise Complaint(
            "The service answers in a form that this command does not know",
            "is it a claude-pool of the same version?",
        ) from None


class Service:
    """Asks the service. Raises ``Complaint``."""

    def __init__(self, url: str, key: str) -> None:
        import httpx  # noqa: PLC0415 - a tenth of a second that --help need not wait for

        self._httpx = httpx
        self._url = url
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=5),
        )

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """One request. ``options`` are httpx's: ``params``, ``headers``."""
        try:
            response = self._http.request(method, path, json=body, **options)
        except self._httpx.ConnectError:
            detail = (
                f"start one with `claude-pool serve`, or say with --url where it is ({self._url})"
            )
            raise Complaint("No service listens there", detail) from None
        except (self._httpx.HTTPError, self._httpx.InvalidURL) as error:
            raise Complaint("The service did not answer", f"{error} ({self._url})") from None
        try:
            value = response.json() if response.content else None
        except ValueError:
            value = None
        if response.is_error or (value is None and response.status_code != 204):
            raise _complaint(response.status_code, value)
        return Answer(response.status_code, value)

    def pool(self) -> Overview:
        return understood(Overview, self.ask("GET", "/v1/pool").value)

    def subscriptions(self) -> list[Report]:
        items = self.ask("GET", "/v1/subscriptions").value["items"]
        return [understood(Report, each) for each in items]

    def progress(self, execution: Execution) -> Iterator[Progress]:
        """What happens to it, as it comes. Ends early where the connection breaks."""
        path = f"/v1/executions/{execution.id}/events"
        with suppress(self._httpx.HTTPError), self._http.stream("GET", path) as response:
            for line in response.iter_lines():
                if line.startswith("data: "):
                    with suppress(ValidationError):  # of a problem, after which nothing comes
                        yield _PROGRESS.validate_json(line.removeprefix("data: "))

    def ended(self, execution: Execution) -> Execution:
        """Wait until it has ended."""
        while not execution.status.is_final:
            path, params = f"/v1/executions/{execution.id}", {"wait_seconds": POLL_SECONDS}
            execution = understood(Execution, self.ask("GET", path, params=params).value)
        return execution


def _complaint(status: int, value: Any) -> Complaint:
    problem = value if isinstance(value, dict) else {}
    title = str(problem.get("title") or f"The service answered {status}")
    return Complaint(title, str(problem.get("detail") or "is it a claude-pool that listens there?"))


def _key(url: str, variable: str) -> str:
    """What the service is shown: the caller's key, or else, on this machine, the operator's, if
    this user may read it.
    """
    key = environment().get(variable, "").strip()
    if key or not is_loopback(urlsplit(url).hostname or ""):
        return key
    config = Path(environment().get("CLAUDE_POOL_CONFIG") or "pool.toml")
    try:
        data_dir = load(config).pool.data_dir
    except ConfigError:
        return ""
    return operator_key(data_dir) or ""


def asking(command: Callable[Concatenate[Service, P], None]) -> Callable[..., None]:
    """A command that asks the service, which it takes first; on the command line stand the options
    that say where that is, behind those of its own. A ``Complaint`` ends it with exit code 1.
    """

    def asks(url: Url = DEFAULT_URL, key_env: KeyEnv = _KEY_ENV, **given: Any) -> None:
        asked = Service(url, _key(url, key_env))
        try:
            command(asked, **given)  # type: ignore[call-arg] # typer names all arguments
        except Complaint as complaint:
            complain(complaint.title, complaint.detail)
            raise typer.Exit(1) from None
        finally:
            asked.close()

    of_where = list(inspect.signature(asks, eval_str=True).parameters.values())[:2]
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    shown = [each.replace(kind=each.KEYWORD_ONLY) for each in (*own, *of_where)]
    asks.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined] # typer reads it
    asks.__annotations__ = {each.name: each.annotation for each in shown}
    asks.__name__, asks.__doc__ = command.__name__, command.__doc__
    return asks


def given(**wanted: Any) -> dict[str, Any]:
    """What was said, without the options that were left out."""
    return {name: value for name, value in wanted.items() if value is not None}


def show_json(value: Any) -> None:
    """What the service answered, as it is."""
    Console(soft_wrap=True).print_json(data=value)


def complain(title: str, detail: str) -> None:
    """Say what went wrong, on standard error."""
    errors.print(f"{title}:", style="bold red", end=" ", markup=False, highlight=False)
    errors.print(detail, markup=False, highlight=False)
