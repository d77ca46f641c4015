"""NDJSON files contain what the API sent, one record per line, and the same bytes each time."""

import gzip
import json
import re
import sys

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_secoda._storage.formats import format_of, require_format, write_local_file

# Tokens that a wrong copy changes: digits, exponents, escapes, lone surrogates, spaces inside strings.
ATOMS = [
    *(b"2.50", b"1E+2", b"-0", b"-0.0", b"1e400", b"12345678901234567890", b"9" * 5000, b"true", b"null"),
    *(
        rb'"\u00e9\/\"\\"',
        rb'"\ud800"',
        rb'"\u0000\n\r"',
        '"é\u2028  😀"'.encode(),
        b'"  [ 1 , 2 ]  :"',
        b'""',
    ),
]
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


def tokens_of_object(names, values):
    yield b"{"
    for n, (name, value) in enumerate(zip(names, values, strict=False)):
        yield from ([b","] if n else [])
        yield name
        yield b":"
        yield from value
    yield b"}"


def tokens_of_array(values):
    yield b"["
    for n, value in enumerate(values):
        yield from ([b","] if n else [])
        yield from value
    yield b"]"


NAMES = st.lists(st.sampled_from([atom for atom in ATOMS if atom.startswith(b'"')]), max_size=4)
VALUES = st.recursive(
    st.sampled_from(ATOMS).map(lambda atom: [atom]),
    lambda values: (
        st.lists(values, max_size=4).map(lambda items: list(tokens_of_array(items)))
        | st.tuples(NAMES, st.lists(values, max_size=4)).map(lambda pair: list(tokens_of_object(*pair)))
    ),
    max_leaves=10,
)
# An object as its tokens; the same name may occur twice.
OBJECTS = st.tuples(NAMES, st.lists(VALUES, max_size=4)).map(lambda pair: list(tokens_of_object(*pair)))


def spaced(tokens, space, data):
    gaps = data.draw(st.lists(st.sampled_from(space), min_size=len(tokens) + 1, max_size=len(tokens) + 1))
    return gaps[0] + b"".join(token + gap for token, gap in zip(tokens, gaps[1:], strict=True))


def written(tmp_path_factory, kind, records):
    path = tmp_path_factory.mktemp("written") / f"x.{kind}"
    write_local_file(path, kind, records)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.jsonl", "jsonl"),
        ("s3://conn@bucket/a/b.ndjson", "jsonl"),
        ("/tmp/A.JSONL.GZ", "jsonl.gz"),
        ("a.parquet.ndjson.gz", "jsonl.gz"),
        ("gs://b/a.parquet", "parquet"),
    ],
)
def test_format_of(path, kind):
    """The suffix determines the format."""
    assert format_of(path) == kind


@pytest.mark.parametrize("path", ["a.json", "a.gz", "a", "", "a.jsonl/", "jsonl", "a.jsonl.zst", "a.csv"])
def test_format_of_another_suffix(path):
    """Any other suffix is an error that shows the path and every valid suffix."""
    with pytest.raises(ValueError, match=r"\.jsonl, \.ndjson, \.jsonl\.gz, \.ndjson\.gz, \.parquet") as caught:
        format_of(path)
    assert repr(path) in str(caught.value)


@settings(deadline=None)
@given(tokens=st.lists(OBJECTS, max_size=3), data=st.data())
def test_bytes_as_sent(tmp_path_factory, tokens, data):
    """A record in one line is written unchanged, with any tokens and any spaces between them."""
    records = [spaced(each, [b"", b" ", b"\t", b"  "], data) for each in tokens]
    assert written(tmp_path_factory, "jsonl", records) == b"".join(record + b"\n" for record in records)


@settings(deadline=None)
@given(tokens=OBJECTS, data=st.data())
def test_many_lines_become_one(tmp_path_factory, tokens, data):
    """A record in many lines becomes one line with the same tokens in the same order."""
    record = spaced(tokens, [b"", b" ", b"\n", b"\r\n\t", b"\r", b"\n\n   "], data)
    line = written(tmp_path_factory, "jsonl", [record]).removesuffix(b"\n")
    assert b"\n" not in line
    assert b"\r" not in line
    assert TOKEN.findall(line) == tokens


def test_pretty_printed(tmp_path_factory):
    """The usual pretty-printed record loses its line breaks and indents and nothing else."""
    record = b'{\n  "id": "a  b",\r\n  "n": [\n    2.50,\n    1\n  ]\n}\n'
    assert written(tmp_path_factory, "jsonl", [record]) == b'{"id": "a  b","n": [2.50,1]}\n'


def test_gzip(tmp_path):
    """A gzipped file contains the same lines and neither a time nor a name, so that two writes are equal."""
    records = [b'{"a": 2.50}', b'{"b":\n 1}'] * 1000
    for name in ("one.jsonl.gz", "other.jsonl.gz"):
        write_local_file(tmp_path / name, "jsonl.gz", iter(records))
    packed = (tmp_path / "one.jsonl.gz").read_bytes()
    assert packed == (tmp_path / "other.jsonl.gz").read_bytes()
    assert gzip.decompress(packed) == b'{"a": 2.50}\n{"b":1}\n' * 1000
    assert packed[3] == 0  # flags: no name, no comment
    assert packed[4:8] == bytes(4)  # no time


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz"])
def test_duckdb_reads_it(tmp_path, kind):
    """DuckDB reads the file by its name alone."""
    path = tmp_path / f"x.{kind}"
    write_local_file(path, kind, (json.dumps({"id": str(n), "n": n}).encode() for n in range(3)))
    assert duckdb.sql(f"SELECT id, n FROM '{path}'").fetchall() == [("0", 0), ("1", 1), ("2", 2)]


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz"])
def test_no_records(tmp_path, kind):
    """No records make a valid file without lines."""
    path = tmp_path / f"x.{kind}"
    write_local_file(path, kind, [])
    assert (gzip.decompress(path.read_bytes()) if kind == "jsonl.gz" else path.read_bytes()) == b""


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    """Without pyarrow, the error names the extra to install; the other formats do not need it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match="extra `parquet`"):
        require_format("parquet")
    with pytest.raises(ModuleNotFoundError, match="extra `parquet`"):
        write_local_file(tmp_path / "x.parquet", "parquet", [])
    require_format("jsonl.gz")
