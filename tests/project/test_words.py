"""The project writes plain technical English: words of a short list are replaced by the field's terms.

Read are README, docs, deploy, the comments, docstrings and strings of the packages, and the comments of the page's scripts;
not the tests and not CHANGELOG.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.imports import ROOT

PACKAGES = ("croquis", "lightning_modules", "stages", "benchmarks")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md")]
MODULES = [path for package in PACKAGES for path in ROOT.glob(f"{package}/**/*.py")]
SCRIPTS = [*ROOT.glob("croquis/serving/page/*.js"), *ROOT.glob("croquis/report_page/*.js")]
# A pattern in any case -> what to write.
WORDS = {
    r"nobody|no one": "name what is absent: `not searched yet`, `no client`",
    r"somebody|anybody": "name who it is: a client, a user, a process",
    r"whoever": "name who it is",
    r"(is|are) told (of|about)": "counts, records, is called with",
    r"know(s|n)? nothing of|knew nothing of": "is independent of, has no record of",
    r"mend(s|ed|ing)?": "fix, correct",
    r"hangs? on|hung on": "depends on",
    r"parted|parting": "split",
    r"told apart|tells? (\w+ ){0,3}apart|telling apart": "distinguish",
    r"torn": "truncated",
    r"put up with": "tolerate",
    r"senseless": "invalid",
    r"unseen": "silently, held out",
    r"cures?|remedy|remedies": "fix",
    r"anew": "again",
    r"(photos?|images?|drawings?|domain|val|test) (that )?asks?": "is a query",
    r"asked with|asks with": "the query is",
    r"what became of": "the outcome of",
    r"embedded catalogue": "rendered catalogue",
    r"knobs?": "setting",
}
BAD = re.compile(r"(?<![-\w])(" + "|".join(WORDS) + r")(?![-\w])", re.IGNORECASE)
QUOTED = re.compile(r"\{[^{}]*\}|https?://\S+|^\s+\w+:(?= )")  # fields of f-strings, addresses
CODE = re.compile(r"`[^`]*`")  # names in code, which may go on in the next line
COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)
BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def blank(found: re.Match[str]) -> str:
    """Nothing but the line breaks of what was found, so that numbers of lines stay."""
    return "\n" * found[0].count("\n")


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Pieces of text that people read, each with the number of its first line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield 1, BLOCK.sub(blank, text)
        return
    if path.suffix == ".js":
        yield from ((text.count("\n", 0, found.start()) + 1, found[0]) for found in COMMENT.finditer(text))
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_name = token.type == tokenize.STRING and " " not in token.string  # a key, an option
        if token.type in (tokenize.COMMENT, tokenize.STRING) and not is_name:
            yield token.start[0], token.string


def bad_words(path: Path) -> list[str]:
    """One line for each word of the list: place, word, what to write."""
    found = []
    for start, text in prose(path):
        for number, line in enumerate(CODE.sub(blank, text).split("\n"), start):
            for hit in BAD.finditer(QUOTED.sub(" ", line)):
                better = next(each for word, each in WORDS.items() if re.fullmatch(word, hit[1], re.IGNORECASE))
                found.append(f"{path.name}:{number}: {hit[1]!r} -> {better}")
    return found


@pytest.mark.slow
def test_pages_and_modules_use_plain_words() -> None:
    assert not [line for path in [*PAGES, *MODULES, *SCRIPTS] for line in bad_words(path)]


@pytest.mark.parametrize(
    "word", ["nobody", "mend", "hangs on", "told apart", "tells two of them apart", "a photo that asks"]
)
def test_each_kind_of_word_is_found_in_prose_and_not_in_code(tmp_path: Path, word: str) -> None:
    page, module = tmp_path / "page.md", tmp_path / "module.py"
    page.write_text(f"# Page\n\n`a\nb` Here is {word}. `c`\n\n`{word}`\n\n```\n{word}\n```\n")
    script = tmp_path / "script.js"
    script.write_text(f"/**\n * Here is {word}. */\nconst address = 'http://remedy'; // {word}\n")
    module.write_text(f'"""Here is {word}."""\n\nremedy = anew = 1\nfix = f"{{remedy}} is in `{word}`"\n')
    assert [line.split(":")[1] for line in bad_words(page)] == ["4"]
    assert [line.split(":")[1] for line in bad_words(script)] == ["2", "3"]
    assert [line.split(":")[1] for line in bad_words(module)] == ["1"]
