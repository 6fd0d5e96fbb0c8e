"""What the commands share: groups that import a command when it is called, common options, the state of one call."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from croquis.credentials import without_credentials

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
PATH: Any = click.Path(path_type=Path)  # whether it exists is left to the command, which knows what to say


@dataclass
class Invocation:
    """One call of `croquis`.

    Attributes:
        root: of the project, where the caller gives it.
        verbosity: how often -v was given, minus how often -q was.
        debug: whether errors show their traceback.
        extra: of pyproject.toml, which the command needs.
    """

    root: Path | None = None
    verbosity: int = 0
    debug: bool = False
    extra: str = "pipeline"

    @property
    def project(self) -> Path:
        """The project's folder."""
        from croquis.tracking.environment import project_root

        return (self.root or project_root()).resolve()

    def set_up_logging(self, usual: int = logging.WARNING) -> None:
        """Log lines on stderr, from the level `usual` on; each -v and -q moves it by one step."""
        level = min(max(usual - 10 * self.verbosity, logging.DEBUG), logging.ERROR)
        handler = logging.StreamHandler()
        handler.setFormatter(_WithoutCredentials("%(message)s"))
        logging.basicConfig(level=level, handlers=[handler])
        if self.verbosity < 0:
            os.environ["TQDM_DISABLE"] = "1"


class _WithoutCredentials(logging.Formatter):
    """Messages, and the tracebacks below them, of whatever library."""

    def format(self, record: logging.LogRecord) -> str:
        return without_credentials(super().format(record))


def _count(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    invocation = context.find_object(Invocation)
    if invocation is not None and value:
        if parameter.name == "debug":
            invocation.debug = True
        else:
            invocation.verbosity += value if parameter.name == "verbose" else -value


def _common_options() -> list[click.Parameter]:
    """Of every command and group, so that they may stand before or after the command's name."""
    unseen: dict[str, Any] = {"expose_value": False, "is_eager": True, "callback": _count}
    return [
        click.Option(["-v", "--verbose"], count=True, help="log more; -vv even more", **unseen),
        click.Option(["-q", "--quiet"], count=True, help="log less, draw no progress bars", **unseen),
        click.Option(["--debug"], is_flag=True, help="show the traceback of an error", **unseen),
    ]


class Command(click.Command):
    """Has the common options; its help keeps the lines of the docstring that it is made from."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += _common_options()

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        formatter.write_paragraph()
        with formatter.indentation():
            indent = " " * formatter.current_indent
            for line in (self.help or "").rstrip().splitlines():
                formatter.write(f"{indent}{line}".rstrip() + "\n")


option = partial(click.option, show_default=True)


def command(doc: str | None) -> Callable[[Callable[..., Any]], click.Command]:
    """Makes a function a command whose help is `doc`, a module's docstring."""
    return click.command(cls=Command, help=doc)


@dataclass(frozen=True)
class Subcommand:
    """A sub-command that is not imported yet.

    Attributes:
        place: `module:attribute` of the Click command.
        says: what it does, in the list of commands.
        extra: of pyproject.toml, which it needs.
    """

    place: str
    says: str
    extra: str = "pipeline"

    def load(self) -> click.Command:
        """Imports the command.

        Raises:
            ImportError: when a package of `extra` is missing.
        """
        module, _, attribute = self.place.partition(":")
        if self.extra == "pipeline":
            from croquis.tracking.environment import quiet

            quiet()  # libraries read it when they are imported
        found: click.Command = getattr(import_module(module), attribute)
        return found


class LazyGroup(click.Group):
    """Sub-commands by name; each is imported when it is called, and none for the list of them."""

    def __init__(self, name: str, entries: Mapping[str, Subcommand], **options: Any) -> None:
        super().__init__(name, **options)
        self.entries = entries
        self.params += _common_options()

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        invocation = ctx.find_object(Invocation)
        if invocation is not None:
            invocation.extra = entry.extra
        return entry.load()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in self.entries and not name.startswith("-") and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(name, possibilities=self.entries, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.says) for name, entry in self.entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        found = [
            click.shell_completion.CompletionItem(name, help=entry.says)
            for name, entry in self.entries.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]


def one_of(**given: Any) -> None:
    """Refuses unless exactly one of the options, named by their parameters, was given."""
    named = [f"--{name.replace('_', '-')}" for name in given]
    count = sum(value is not None for value in given.values())
    if count != 1:
        raise click.UsageError(f"give {'one of ' if count == 0 else 'only one of '}{' and '.join(named)}")


def bundle_options(use: str) -> Callable[[Decorated], Decorated]:
    """Adds --bundle and --model, of which one is given.

    Args:
        use: what the bundle is for, in the help.
    """

    def add(function: Decorated) -> Decorated:
        function = click.option(
            "--model", metavar="URI", help="models:/NAME@ALIAS or models:/NAME/NUMBER, looked up once"
        )(function)
        return click.option("--bundle", type=PATH, metavar="FOLDER", help=f"{use}; MLflow is not used at all")(function)

    return add


def store_options() -> list[click.Parameter]:
    """--store and --catalogue, of the group `store` and of each of its commands, so that they may stand in either place."""
    unseen: dict[str, Any] = {"expose_value": False, "callback": _note_store}
    uri = "faiss:FOLDER, milvus:FILE.db or milvus:http://HOST:PORT"
    return [
        click.Option(["--store"], metavar="URI", help=uri, **unseen),
        click.Option(["--catalogue"], metavar="NAME", help="name of the catalogue in the store (catalogue)", **unseen),
    ]


def _note_store(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.meta[f"croquis.{parameter.name}"] = value


def named_store(context: click.Context) -> tuple[str, str]:
    """URI and catalogue that the command line gives."""
    uri = context.meta.get("croquis.store")
    if uri is None:
        raise click.UsageError("Missing option '--store'.")
    return uri, context.meta.get("croquis.catalogue", "catalogue")
