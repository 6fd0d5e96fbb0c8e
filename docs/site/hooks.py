"""Hooks of mkdocs: pages generated from the code, and links that lead out of docs/.

Generated are the reference of commands and params, the Markdown files of the repository's root that the navigation names,
and a page per file of the repository that a page links to, so that a link such as `../croquis/plugins.py` works in the site
as it does in the repository.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from croquis.cli.command_tree import croquis
from croquis.cli.inspection.show_params import read_keys

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OF_THE_ROOT = ("CHANGELOG.md", "CONTRIBUTING.md")
SOURCE = "source"
LINK = re.compile(r"(\]\()(?!https?:|#|mailto:)([^)#\s]+)((?:#[^)\s]*)?\))")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".md": "markdown", ".json": "json"}
WIDTH = 96


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages."""
    pages = {
        **{name: (ROOT / name).read_text() for name in OF_THE_ROOT},
        "reference/cli.md": command_page(),
        "reference/params.md": params_page(),
    }
    texts = {DOCS / name: text for name, text in pages.items()}
    texts |= {DOCS / file.src_uri: (DOCS / file.src_uri).read_text() for file in files.documentation_pages()}
    for name in sorted({name for page, text in texts.items() for name in linked_files(page, text)}):
        pages.setdefault(f"{SOURCE}/{name}.md", source_page(ROOT / name))
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turns links that lead out of docs/ to the pages made of their files."""
    name = page.file.src_uri
    if name.startswith(f"{SOURCE}/"):
        return markdown
    here = PurePosixPath(name).parent

    def lead(found: re.Match[str]) -> str:
        target = repository_file(DOCS / name, found[2])
        if target is None:
            return found[0]
        own = target.relative_to(ROOT).as_posix()
        leads = own if own in OF_THE_ROOT else f"{SOURCE}/{own}.md"
        return f"{found[1]}{posixpath.relpath(leads, here)}{found[3] if own in OF_THE_ROOT else ')'}"

    return LINK.sub(lead, markdown)


def repository_file(page: Path, link: str) -> Path | None:
    """What a link of `page` names outside docs/; None for a page of docs/."""
    base = ROOT if page.name in OF_THE_ROOT else page.parent
    target = Path(os.path.normpath(base / link))
    if target.is_relative_to(DOCS) or not target.exists() or not target.is_relative_to(ROOT):
        return None
    return target


def linked_files(page: Path, text: str) -> Iterator[str]:
    """Paths, from the root, of what `page` links to outside docs/."""
    for _, link, _ in LINK.findall(text):
        target = repository_file(page, link)
        if target is not None and target.name not in OF_THE_ROOT:
            yield target.relative_to(ROOT).as_posix()


def source_page(path: Path) -> str:
    """The text of a file, the cells of a notebook, or the list of a folder's files."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        listed = "\n".join(
            f"- `{each.name}`" for each in sorted(path.iterdir()) if not each.name.startswith("__pycache__")
        )
        return f"# {name}/\n\n{listed}\n"
    if path.suffix == ".ipynb":
        return notebook_page(json.loads(path.read_text()))
    fence = "`````"
    return f"# {name}\n\n{fence}{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text()}\n{fence}\n"


def notebook_page(notebook: dict[str, Any]) -> str:
    """The cells of a notebook, without outputs."""
    texts = {"markdown": "{}", "code": "```python\n{}\n```"}
    parts = [texts[cell["cell_type"]].format("".join(cell["source"])) for cell in notebook["cells"]]
    return "\n\n".join(parts) + "\n"


def command_page() -> str:
    """The help of every command, as `--help` prints it."""
    parts = ["# Command line", "What `croquis COMMAND --help` prints. Exit codes: 1 for a refusal, 2 for wrong usage."]
    for names, command in commands(("croquis",), croquis):
        context = click.Context(command, info_name=" ".join(names), terminal_width=WIDTH, max_content_width=WIDTH)
        parts += [f"{'#' * min(len(names) + 1, 4)} {' '.join(names)}", f"```text\n{command.get_help(context)}\n```"]
    return "\n\n".join(parts) + "\n"


def commands(names: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """A command and all below it, with the words that call them."""
    yield names, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=names[-1])
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from commands((*names, name), inner)


def params_page() -> str:
    """Every key of params.yaml by block: type, range, shipped value, what it does."""
    blocks: dict[str, list[tuple[str, ...]]] = {}
    for key in read_keys(ROOT):
        cells = (f"`{key.name}`", key.kind, key.range, f"`{key.value}`", key.says)
        blocks.setdefault(key.name.partition(".")[0], []).append(cells)
    parts = [
        "# Params",
        "Every key of params.yaml, as `croquis params` prints it: type, range, the value that is shipped.",
    ]
    for block, rows in blocks.items():
        lines = ["| key | type | range | value | what it does |", "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
        parts += [f"## {block}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def cell(text: Any) -> str:
    """A cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")
