"""Parquet files: documented fields as typed columns, and every record as it was sent."""

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_secoda._storage import parquet
from airflow_provider_secoda._storage.formats import write_local_file
from tests.helpers.file_size_limit import file_size_limit

LOG = {
    "id": "log-1",
    "parent_id": None,
    "activity_type": "update",
    "performer_id": "u-1",
    "performer_type": "USER",
    "performer_metadata": {"id": "u-1", "name": "Änne", "disabled": False, "is_service_account": None},
    "resource_id": "r-1",
    "resource_type": "SECODA_ENTITY",
    "resource_metadata": {"id": "r-1", "name": "orders", "type": "table", "integration_id": "i-1"},
    "related_resource_ids": ["r-2", "r-3"],
    "related_resource_type": "TAG",
    "event_blocks": [
        {"type": "text", "style": "bold", "value": "Änne"},
        {"type": "text", "style": "normal", "value": "edited"},
    ],
    "logged_at": "2026-03-01T10:00:00.123456Z",
    "created_at": "2026-03-01T11:00:01+01:00",
    "updated_at": "2026-03-01T10:00:02",
    "is_legacy": False,
    "version_history_id": None,
    "secoda_entity_type": "table",
    "metadata": {"b": 1, "a": [2.5]},
}
UTC = timezone.utc
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def table_of(tmp_path, *records):
    path = tmp_path / "x.parquet"
    write_local_file(path, "parquet", records)
    return pq.read_table(path)


def row_of(tmp_path, record):
    (row,) = table_of(tmp_path, record).to_pylist()
    return row


def test_documented_fields(tmp_path):
    """A documented log comes back field by field, with types; absent and null fields are null."""
    raw = json.dumps(LOG, ensure_ascii=False).encode()
    row = row_of(tmp_path, raw)
    assert row.pop("raw") == raw.decode()
    assert json.loads(row.pop("metadata")) == LOG["metadata"]
    person = dict.fromkeys(
        ["icon", "src", "integration_type", "display_name", "first_name", "last_name", "profile_picture"]
    )
    times = {
        "logged_at": datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC),
        "created_at": datetime(2026, 3, 1, 10, 0, 1, tzinfo=UTC),
        "updated_at": datetime(2026, 3, 1, 10, 0, 2, tzinfo=UTC),
    }
    expected = LOG | times
    expected["performer_metadata"] = LOG["performer_metadata"] | person
    expected["resource_metadata"] = LOG["resource_metadata"] | {"icon": None}
    del expected["metadata"]
    assert row == expected


def test_column_types(tmp_path):
    """The types of the columns are the same for every file, also for one without rows."""
    empty, full = table_of(tmp_path), table_of(tmp_path, json.dumps(LOG).encode())
    assert empty.schema == full.schema
    assert empty.num_rows == 0
    assert full.schema.names == [*LOG, "raw"]
    types = {field.name: field.type for field in full.schema}
    block = pa.struct([(name, pa.string()) for name in ("type", "style", "value")])
    assert types["logged_at"] == types["created_at"] == types["updated_at"] == pa.timestamp("us", tz="UTC")
    assert types["related_resource_ids"].value_type == pa.string()
    assert types["event_blocks"].value_type == block
    assert types["performer_metadata"].field("is_service_account").type == pa.bool_()
    assert types["is_legacy"] == pa.bool_()
    assert types["metadata"] == types["raw"] == types["performer_type"] == pa.string()


def test_duckdb_reads_it(tmp_path):
    """DuckDB reads the columns with their types and the raw record with its 20-digit number."""
    path = tmp_path / "x.parquet"
    raw = b'{"id":"1","logged_at":"2026-03-01T23:30:00-02:00","event_blocks":[{"value":"x"}],"n":12345678901234567890}'
    write_local_file(path, "parquet", [raw])
    found = duckdb.sql(f"SELECT epoch_us(logged_at), event_blocks[1].value, metadata, raw FROM '{path}'").fetchall()
    moment = datetime(2026, 3, 2, 1, 30, tzinfo=UTC)
    assert found == [
        ((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1), "x", None, raw.decode())
    ]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T00:00:00Z", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01 00:00:00+00:00", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T00:00:00", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T00:00:00.5-05:30", datetime(2026, 3, 1, 5, 30, 0, 500000, tzinfo=UTC)),
        ("2026-03-01T23:59:59.999999999Z", datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=UTC)),
        ("1969-12-31T23:59:59.9999999Z", datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (1772323200, None),
    ],
)
def test_timestamps(tmp_path, text, moment):
    """A timestamp is in UTC and never moves into the next microsecond; a value that is not a timestamp is null."""
    assert row_of(tmp_path, json.dumps({"id": "1", "logged_at": text}).encode())["logged_at"] == moment


def test_metadata_of_nothing(tmp_path):
    """Metadata that is null is null in its column, not the string "null"; an empty string is its JSON."""
    table = table_of(tmp_path, b'{"metadata":null}', b'{"metadata": {} }', b'{"metadata":""}', b"{}")
    assert table["metadata"].to_pylist() == [None, "{}", '""', None]


def test_undocumented_values(tmp_path):
    """A value of an undocumented type is null in its column; the other columns and the raw record are unchanged."""
    raw = (
        b'{"id": 17, "performer_type": "ROBOT", "is_legacy": "no", "related_resource_ids": ["a", 5, null],'
        b' "event_blocks": [null, {"value": 2.50, "style": "odd", "new": 1}], "resource_metadata": [1],'
        b' "performer_metadata": {"id": "u", "disabled": 0, "new": {}}, "metadata": [ 2.50 , 1E400 ]}'
    )
    row = row_of(tmp_path, raw)
    assert row["raw"] == raw.decode()
    assert (row["id"], row["is_legacy"], row["resource_metadata"]) == (None, None, None)
    assert row["performer_type"] == "ROBOT"
    assert row["related_resource_ids"] == ["a", None, None]
    assert row["event_blocks"] == [None, {"type": None, "style": "odd", "value": None}]
    assert (row["performer_metadata"]["id"], row["performer_metadata"]["disabled"]) == ("u", None)
    assert row["metadata"] == "[ 2.50 , 1E400 ]"


ODD = [
    None,
    True,
    0,
    -(10**30),
    2.5,
    "",
    "\0",
    "\u2028",
    "2026-03-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    [],
    {},
]
JSON = st.recursive(
    st.sampled_from(ODD),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "disabled", "value", "new"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from([*LOG, "raw"]), JSON, max_size=6), max_size=4))
def test_no_record_fails(tmp_path_factory, logs):
    """With any value in any field, every record is written, in order and unchanged."""
    records = [json.dumps(log).encode() for log in logs]
    table = table_of(tmp_path_factory.mktemp("any"), *records)
    assert [raw.encode() for raw in table["raw"].to_pylist()] == records


def test_records_that_cannot_be_decoded(tmp_path):
    """Half a surrogate pair is U+FFFD, 5,000 digits do not matter, and the last of two equal names counts."""
    odd = [rb'{"id":"\ud800"}', b'{"id":"1","n":' + b"9" * 5000 + b"}", b'{"id":"1","id":"2"}']
    table = table_of(tmp_path, *odd)
    assert [raw.encode() for raw in table["raw"].to_pylist()] == odd
    assert table["id"].to_pylist() == ["\ufffd", "1", "2"]


def test_not_utf8(tmp_path):
    """Bytes that are not UTF-8 fail instead of being changed, and the error does not show the record."""
    for record in (b'{"id":"secret\xff"}', b'{"metadata":"secret\xff"}', b'{"new":"secret\xff"}'):
        with pytest.raises(UnicodeDecodeError) as caught:
            table_of(tmp_path, record)
        assert "secret" not in str(caught.value)


def groups_of(path):
    """Return the number of rows of each row group."""
    metadata = pq.read_metadata(path)
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def test_row_groups(tmp_path):
    """Many records are written in order, in row groups of about 100,000 rows, and twice as the same bytes."""
    records = [b'{"id":"%d"}' % n for n in range(110_000)]
    for name in ("one.parquet", "other.parquet"):
        write_local_file(tmp_path / name, "parquet", iter(records))
    first, rest = groups_of(tmp_path / "one.parquet")
    assert 99_000 < first <= 100_000
    assert first + rest == len(records)
    assert [raw.encode() for raw in pq.read_table(tmp_path / "one.parquet")["raw"].to_pylist()] == records
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()


@pytest.mark.parametrize("rows", [0, 1, 255, 256, 257, 1023, 1024, 1025, 2048])
def test_edges_of_row_groups(tmp_path, monkeypatch, rows):
    """No record is lost or doubled where a row group or a batch ends."""
    monkeypatch.setattr(parquet, "GROUP_ROWS", 1024)
    records = [b'{"id":"%d"}' % n for n in range(rows)]
    write_local_file(tmp_path / "x.parquet", "parquet", records)
    assert [raw.encode() for raw in pq.read_table(tmp_path / "x.parquet")["raw"].to_pylist()] == records
    assert groups_of(tmp_path / "x.parquet") == [min(1024, rows - at) for at in range(0, rows, 1024)]
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_large_records(tmp_path):
    """Large records end a row group at 64 MiB, before 100,000 rows."""
    records = [b'{"id":"%d","x":"%s"}' % (n, b"x" * (4 << 20)) for n in range(40)]
    write_local_file(tmp_path / "x.parquet", "parquet", records)
    assert groups_of(tmp_path / "x.parquet") == [16, 16, 8]
    assert [raw.encode() for raw in pq.read_table(tmp_path / "x.parquet")["raw"].to_pylist()] == records


MEASURE = """
import resource, sys
from airflow_provider_secoda._storage import parquet

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1024**2)

def records(count):
    for number in range(count):
        yield b'{"id":"%d","performer_id":"u","x":"%s"}' % (number, str(number).encode() * 2_000)

parquet.GROUP_BYTES = 24 << 20
peaks = []
for count in (100, 3_000, 12_000):
    parquet.write_parquet(sys.argv[1], records(count))
    peaks.append(peak())
print(*peaks)
"""


def test_memory_is_flat(tmp_path):
    """Four row groups take no more memory than one, and one less than its logs, here 24 MiB."""
    path = str(tmp_path / "x.parquet")
    said = subprocess.run([sys.executable, "-c", MEASURE, path], check=True, capture_output=True).stdout
    start, one, four = map(int, said.split())
    assert len(groups_of(path)) >= 4
    assert four < one + 10
    assert one < start + 16


def test_full_disk(tmp_path):
    """A full disk is an error, also where the rows of a row group wait, and leaves no temporary file."""
    with pytest.raises(OSError, match="too large"), file_size_limit(1 << 20):
        write_local_file(tmp_path / "x.parquet", "parquet", [b'{"id":"%s"}' % bytes(1500).hex().encode()] * 1_000)
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]
