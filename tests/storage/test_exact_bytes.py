"""Files and manifests are, to the byte, what a slow and plain way to write them gives."""

import gzip
import hashlib
import io
import json
import re

from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_secoda._storage.formats import write_local_file
from airflow_provider_secoda._storage.manifest import ManifestBuilder
from airflow_provider_secoda._storage.spool import Spool
from airflow_provider_secoda.client._api.decoding import decode_instant
from airflow_provider_secoda.client._api.timestamps import parse_instant
from tests.fuzz.fuzzing import fuzzed

HEADER = {"file": {"name": "x"}, "query": {"filter": {"a": "é\ud800"}}}
ids = st.text('aZ\0"\\\n\x7fé\u2028\ud800\udfff\uffff\U0001f600', max_size=4)
raws = st.sampled_from(
    [
        b"{}",
        b'{"n": 1.50e400}',
        b'{\n  "n" : 1,\r\n\t"m": [ ]\n}',
        b'{"a":"\\ud800 \\u00e9"}',
        b'{"a":"' + b"x" * 5_000 + b'"}',
    ]
)


def one_line(raw):
    """Remove line breaks, and the white space around them."""
    return re.sub(rb"[ \t]*[\r\n][ \t\r\n]*", b"", raw)


@fuzzed(100)
@given(st.lists(st.tuples(st.integers(-3, 3), ids, raws), max_size=30), st.integers(1, 7))
@example([], 1)
@example([(0, "\ud83d", b'{"id":"\\ud83d"}'), (0, "a", b"{}"), (0, "a", b'{"n": 2}')], 1)
def test_file_and_manifest(tmp_path_factory, records, size):
    """Lines, gzip and the records of a manifest are those of one sorted list, and of ``json.dumps`` line by line."""
    folder = tmp_path_factory.mktemp("exact")
    times = {log_id: at for at, log_id, _ in reversed(records)}
    records = [(times[log_id], log_id, raw) for _, log_id, raw in records]  # an id has one timestamp
    first = {log_id: (at, log_id, raw) for at, log_id, raw in reversed(records)}
    lines = [one_line(raw) for _, _, raw in sorted(first.values())]
    pairs = [
        [log_id, hashlib.sha256(line).hexdigest()]
        for (_, log_id, _), line in zip(sorted(first.values()), lines, strict=True)
    ]
    head = json.dumps({"manifest_version": 1, **HEADER}, indent=2).removesuffix("\n}")
    rows = ",\n".join(f"    {json.dumps(pair)}" for pair in pairs)
    for kind in ("jsonl", "jsonl.gz"):
        with Spool() as spool, ManifestBuilder(kind) as builder:
            for begin in range(0, len(records), size):
                spool.add(records[begin : begin + size])
            assert (spool.check(), spool.count) == (len(records) - len(first), len(first))
            write_local_file(folder / kind, kind, builder.watch(spool))
            manifest = b"".join(builder.manifest(HEADER)).decode()
        assert manifest == f'{head},\n  "records": [\n{rows}' + ("\n" if rows else "") + "  ]\n}\n"
    content = b"".join(line + b"\n" for line in lines)
    assert (folder / "jsonl").read_bytes() == content
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=5, fileobj=packed, mtime=0) as file:
        file.write(content)
    assert (folder / "jsonl.gz").read_bytes() == packed.getvalue()


def test_large_gzip(tmp_path):
    """How records are divided into pieces does not change what the compressor returns, far beyond its window."""
    lines = [
        b'{"id":"%s","n":%d}' % (hashlib.sha256(b"%d" % n).hexdigest().encode() * (n % 40), n) for n in range(2_000)
    ]
    write_local_file(tmp_path / "x.gz", "jsonl.gz", lines)
    packed = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=5, fileobj=packed, mtime=0) as file:
        for line in lines:
            file.write(line + b"\n")
    assert (tmp_path / "x.gz").read_bytes() == packed.getvalue()


DAY = "(0001|1969|1970|2026|9999|0000)-(01|02|12|13)-(01|28|31|00)"
CLOCK = r"(00|12|23|24):(00|59|60):(00|59|60)(\.\d{0,8})?"
near = st.from_regex(re.compile(rf"{DAY}[Tt ]{CLOCK}([Zz]|\+00:00|-23:59|)", re.ASCII), fullmatch=True)


@fuzzed(300)
@given(near)
@example("2016-12-31T23:59:60Z")
@example("2016-12-31T23:59:60.5Z")
@example("2026-01-01T00:00:00.999999Z")
@example("2026-01-01T00:00:00.9999999Z")
@example("2026-01-01T00:00:00.9999999")
@example("0001-01-01T00:00:00Z")
@example("9999-12-31T23:59:59.999999Z")
@example("9999-12-31T24:00:00Z")
@example("0000-01-01T00:00:00Z")
@example("2026-01-01 00:00:00.1Z")
@example("2026-01-01T00:00:00.Z")
def test_timestamps(text):
    """The decoder of timestamps reads what the one parser reads, or refuses what that refuses."""
    try:
        wanted = parse_instant(text)
    except ValueError as exc:
        wanted = str(exc)
    try:
        found = decode_instant(json.dumps(text).encode())
    except ValueError as exc:
        found = str(exc)
    assert found == wanted
