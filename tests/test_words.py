"""Messages, docstrings and comments use plain technical English: the words that are listed here do not occur in them.

Run it as a script to list the findings in files or folders (Python and Markdown)::

    python -m tests.test_words [--names] [path …]
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
#: What is checked: prose of the package, the tests, the examples and the documents; and names in ``NAMES_IN``.
PATHS = (
    "airflow_provider_secoda",
    "tests",
    "example_dags",
    "scripts",
    "benchmarks",
    "docs",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
)
NAMES_IN = ("airflow_provider_secoda", "tests")
#: File and phrase of findings that stay, with the reason.
EXCEPTIONS = {
    ("tests/client/test_schema.py", "cut"): "the text of a record, which a server sends",
}
#: Phrase (a regular expression, case does not matter), and what to write instead.
WORDS = {
    r"told|tells?|telling": "reports, says, is passed, is recorded, distinguish",
    r"asked|asks?|asking": "requests, queries, reads, checks",
    r"look(s|ed|ing)?(?! (like|for|up|as if|it up|them up)\b)": "polls, reads",
    # The noun: "sign" as a verb is the term for what a private key does.
    r"(an?|the|no|any|all|other|each|every|these|those|such|some|more|control|holds?|two|\d) signs?(?! (of|that)\b)": (
        "character(s)"
    ),
    r"that (is|are) not empty": "non-empty",
    r"a text|texts": "a string, strings",
    r"(?<!there )(is|are|was|were|be) no(?! (longer|more than|less than|later|earlier|older|newer)\b)\b": "is not a(n)",
    r"none of (ours|theirs|its(?! \w)|secoda's)": "not one of ours",
    r"(?<!there )(is|are|was|were) none(?! of)": "is not one of",
    r"stands?|stood|standing": "is in, is written in",
    r"lies?|lying|lay (in|on|beside|under|behind)": "is in, is at",
    r"beside": "next to",
    r"whole": "complete, entire, all of",
    r"cuts?|cutting": "truncated; split",
    r"ever more": "with exponential backoff; more and more",
    r"again and again": "repeatedly",
    r"for ?ever": "without limit, until stopped",
    r"so many": "N, that many",
    r"anew": "again",
    r"meanwhile": "in the meantime",
    r"whatever": "any",
    r"land(s|ed|ing)?": "is written, writing",
    r"brings?|brought|bringing": "return(s), returned, load(s)",
    r"mend(s|ed|ing)?": "fix(es)",
    r"ways? out": "options",
    r"vouch(es|ed|ing)?": "verified",
    r"people see|people saw|in the eyes of": "is shown",
    r"in words": "as text",
    r"as it should be": "OK",
    r"but for": "except",
    r"amid": "during, in",
    r"in vain": "without effect, unused",
    r"unseen": "unchecked",
    r"whoever|whosoever": "a caller who, a user who",
}
#: Where a word of these is the precise term.
TERMS = {
    r"whole (numbers?|seconds?|minutes?|hours?|days?)": "arithmetic",
    r"(plus|minus|equals|dollar|percent) signs?": "the name of a character",
    r"ask (an?|the|your) (\w+ )?admin(istrator)?": "advice in an error: to ask a person",
    r"cut[ -]off": "a limit",
    r"tell (an?|the) [\w ]{1,40} from": "to distinguish",
    r"standing order": "a term",
}
#: Words of names that were replaced, as parts of identifiers.
NAMES = frozenset(
    re.findall(
        r"\w+",
        "told asked looker vigil shelf keeper trouble patience verdict scrutiny misfit hungry softened ledger wording"
        " owe owed landing",
    )
)


class Finding(NamedTuple):
    """A word that is not used here, and where it was found."""

    path: str
    line: int
    kind: str
    phrase: str
    instead: str
    context: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind}: {self.phrase!r} (better: {self.instead}) in: {self.context}"


_WORDS = [(re.compile(rf"(?<![\w-])(?:{one})(?![\w-])", re.IGNORECASE), instead) for one, instead in WORDS.items()]
_TERMS = re.compile("|".join(rf"\b(?:{one})\b" for one in TERMS), re.IGNORECASE)
#: Quoted code, URLs, and the directives of linters: not prose.
_CODE = re.compile(r"``.*?``|`[^`\n]+`|https?://\S+|(?:noqa|type|fmt|pragma): ?[\w\[\], -]*?(?= - |\n|$)", re.DOTALL)


def find_in_text(text: str, kind: str, path: str, line: int, *, one_line: bool = False) -> Iterator[Finding]:
    """Yield the findings in a text.

    :param line: the line in the file on which the text begins
    :param one_line: line breaks in the text are not line breaks in the file, as in a literal
    """
    text = _CODE.sub(lambda code: "\u2026" + "\n" * code[0].count("\n"), text)
    text = _TERMS.sub(lambda term: "\u2026" + "\n" * term[0].count("\n"), text)
    words = [(word, line + number) for number, each in enumerate(text.split("\n")) for word in each.split()]
    flat = " ".join(word for word, _ in words)
    for pattern, instead in _WORDS:
        for match in pattern.finditer(flat):
            at = line if one_line else words[flat.count(" ", 0, match.start())][1]
            context = flat[max(0, match.start() - 40) : match.end() + 30]
            yield Finding(path, at, kind, match[0], instead, context)


def find_in_python(source: str, path: str) -> Iterator[Finding]:
    """Yield the findings in a module's docstrings, comments and messages (all literals of more than one word)."""
    docstrings = set()
    for node in ast.walk(tree := ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and ast.get_docstring(node):
                docstrings.add(first.value)
                yield from find_in_text(str(first.value.value), "docstring", path, first.value.lineno)
    inside = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in ast.walk(tree):
        text = None
        if isinstance(node, ast.JoinedStr):
            text = "".join(part.value if isinstance(part, ast.Constant) else "\u2026" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings | inside:
            text = node.value
        if text is not None and " " in text.strip():
            yield from find_in_text(text, "message", path, node.lineno, one_line=True)
    yield from _find_in_comments(source, path)


def _find_in_comments(source: str, path: str) -> Iterator[Finding]:
    """Yield the findings in comments; those on consecutive lines are read as one."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [(token.start, token.string.lstrip("#: ")) for token in tokens if token.type == tokenize.COMMENT]
    block: list[str] = []
    for number, ((line, column), text) in enumerate(comments):
        block.append(text)
        if number + 1 == len(comments) or comments[number + 1][0] != (line + 1, column):
            yield from find_in_text("\n".join(block), "comment", path, line - len(block) + 1)
            block = []


def find_names(source: str, path: str) -> Iterator[Finding]:
    """Yield the names of functions, classes, arguments and variables in which there is a word of ``NAMES``."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", token.string)
            if found := NAMES.intersection(word.lower() for word in words):
                yield Finding(path, token.start[0], "name", ", ".join(sorted(found)), "words.md", token.string)


def find_in_markdown(text: str, path: str) -> Iterator[Finding]:
    """Yield the findings in a document, without its blocks of code."""
    text = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\]\([^)\s]*\)|<!--.*?-->", "]", text)
    yield from find_in_text(text, "document", path, 1)


def find(path: Path, *, names: bool = False) -> list[Finding]:
    """Return the findings in a file, or in all files of a folder, in their order."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.suffix in (".py", ".md"))
    found: list[Finding] = []
    for file in files:
        if file == Path(__file__):
            continue
        text = file.read_text()
        name = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else str(file)
        if file.suffix == ".md":
            found += find_in_markdown(text, name)
        else:
            found += find_in_python(text, name)
            found += find_names(text, name) if names else []
    return sorted(set(found))


@pytest.mark.parametrize("name", PATHS)
def test_plain_words(name):
    """No message, docstring, comment, document or name contains a word that is listed above."""
    found = find(ROOT / name, names=name in NAMES_IN)
    assert [str(each) for each in found if (each.path, each.phrase.lower()) not in EXCEPTIONS] == []


def test_every_exception_is_needed():
    """Each exception is a finding in its file."""
    for path, phrase in EXCEPTIONS:
        assert phrase in {each.phrase.lower() for each in find(ROOT / path)}


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ('"""What people see."""', ["docstring"]),
        ('def f():\n    """Stands\n    in the way."""', ["docstring"]),
        ("x = 1  # it stands here", ["comment"]),
        ("# a log that lies\n# in the past", ["comment"]),
        ("# it again and\n# again failed", ["comment"]),
        ('raise ValueError(f"{x} is no key of {y}")', ["message"]),
        ('raise ValueError("it is" f" no key {y}")', ["message"]),
        ('log.warning("Was told %s", x)', ["message"]),
        ('parser.add_argument("x", help="must be a text")', ["message"]),
        ('"""Reject the other signs; a manifest that the task signs is not one."""', ["docstring"]),
    ],
)
def test_every_kind_of_text_is_searched(source, kinds):
    """A word is found in a docstring, a comment, a literal and a formatted literal, also across lines and pieces."""
    assert [each.kind for each in find_in_python(source, "x.py")] == kinds


@pytest.mark.parametrize(
    "source",
    [
        '"""Look up a whole number; there is no longer one, ``told`` and `asks` are code."""',
        'x = "told"  # one word is a key, not a message',
        "told = look.sign",
        '"""It is not a key, there is no key, this understands standalone processes and shortcuts."""',
        'raise ValueError("ask a workspace admin for a key")',
    ],
)
def test_plain_english_is_not_found(source):
    """Terms, code in backticks and words that only contain a listed word are not findings."""
    assert [str(each) for each in find_in_python(source, "x.py")] == []


def test_names_are_split_into_words():
    """A word is found in a name of either style, and only as a word of its own."""
    assert [each.line for each in find_names("told = 1\nclass EventKeeper: ...\nas_told()\nlandscape = 1", "x")] == [
        1,
        2,
        3,
    ]


def main(arguments: list[str]) -> int:
    """Print the findings in files and folders, then how many there are by file and by word."""
    names = "--names" in arguments
    paths = [Path(each).resolve() for each in arguments if not each.startswith("--")]
    found = [each for path in paths or [ROOT / name for name in PATHS] for each in find(path, names=names)]
    lines = [str(each) for each in found]
    for what, counted in (("file", [each.path for each in found]), ("phrase", [each.phrase.lower() for each in found])):
        lines += ["", f"by {what}:", *(f"{count:5} {name}" for name, count in Counter(counted).most_common())]
    sys.stdout.write("\n".join([*lines, "", f"{len(found)} findings", ""]))
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
