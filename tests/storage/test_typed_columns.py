"""What is written is what was placed: typed columns against an independent reading of the same bytes."""

import json
import re
from collections import Counter
from datetime import datetime, timedelta, timezone

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_secoda._storage.formats import write_local_file
from airflow_provider_secoda.client._api.audit_log_page import read_audit_logs
from airflow_provider_secoda.client._api.fields import AUDIT_LOG
from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client.errors import SecodaError
from tests.fuzz.fuzzing import ODD, fuzzed

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SHAPE = re.compile(r"([0-9-]{10})[Tt ]([0-9:]{8})(?:\.([0-9]+))?[ \t-\r]?([Zz]|[+-][0-9]{2}(?::?[0-5][0-9])?|)")
DAYS = [
    "2026-03-01",
    "2016-12-31",
    "0001-01-01",
    "9999-12-31",
    "1969-12-31",
    "2026-02-30",
    "2026-3-1",
    "\u0662026-03-01",
]
CLOCKS = ["12:00:00", "23:59:59", "23:59:60", "00:00:00", "24:00:00", "12:00:61", "12:00"]
OFFSETS = ["Z", "z", "", "+00", "+00:00", "-00", "+0530", "-05:45", "+14:00", "-23:59", "+24:00", "+5", "UTC", "ZZ"]


def weighted(usual, *others):
    """Return a strategy for the first of some values mostly."""
    return st.sampled_from([*usual, *usual, *usual, *others])


times = st.builds(
    "{}{}{}{}{}{}".format,
    weighted(DAYS[:2], *DAYS),
    weighted(["T", " "], "t", "\t", ""),
    weighted(CLOCKS[:3], *CLOCKS),
    weighted(["", ".123456"], ".", ".5", ".9999999", ".999999999999", ".000000000", "." + "1" * 5_000),
    weighted([""], " ", "\t", "  "),
    weighted(OFFSETS[:6], *OFFSETS),
)
texts = st.sampled_from(
    ["", "\0", "a", "é\u2028\U0001f986", "\ufffd", "\ud83d", "half \ud83e", "\udd86\ud83e", "\ud83e\ud83e\udd86"]
)
odd = st.sampled_from(ODD).map(lambda raw: raw.decode()) | texts.map(json.dumps) | times.map(json.dumps)


def of_kind(kind):
    """Return a strategy for the JSON text of a documented type."""
    if isinstance(kind, dict):
        usual = st.lists(st.sampled_from([*kind]).flatmap(lambda name: pair(name, kind[name])), max_size=3).map(joined)
    elif isinstance(kind, list):
        usual = st.lists(of_kind(kind[0]), max_size=3).map(lambda items: f"[{','.join(items)}]")
    elif kind == "boolean":
        usual = st.sampled_from(["true", "false", "null"])
    else:
        usual = (times if kind == "date-time" else texts).map(json.dumps)
    return st.one_of(usual, usual, odd)


def pair(name, kind):
    return of_kind(kind).map(lambda text: f"{json.dumps(name)}:{text}")


def joined(pairs):
    return "{" + ",".join(pairs) + "}"


fields = st.sampled_from([*AUDIT_LOG]).flatmap(lambda name: pair(name, AUDIT_LOG[name]))
unknown = odd.map(lambda text: f'"new":{text}')
logs = st.lists(fields | unknown, max_size=6).flatmap(
    lambda pairs: st.tuples(times, st.permutations(pairs), st.sampled_from(["a", "b\ud83d", "c\ufffd"])).map(
        lambda drawn: joined([f'"id":{json.dumps(drawn[2])}', f'"logged_at":{json.dumps(drawn[0])}', *drawn[1]])
    )
)


def moment(text):
    """Return the microseconds of a timestamp by Python's ``datetime``; None if it is not one."""
    found = SHAPE.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    day, clock, digits, offset = found.groups()
    leap = clock[6:] == "60"
    zone = offset.replace(":", "").ljust(5, "0") if offset.strip("Zz") else "+0000"
    try:
        at = datetime.strptime(f"{day} {clock[:6]}{'59' if leap else clock[6:]}{zone}", "%Y-%m-%d %H:%M:%S%z")
        seconds = (at.astimezone(timezone.utc) - EPOCH) // timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    return seconds * 1_000_000 + (999_999 if leap else int(((digits or "") + "000000")[:6]))


def expected(value, kind, path, counts):
    """Return the value that a column must have; count the values that it cannot contain."""
    if isinstance(kind, dict) and isinstance(value, dict):
        return {name: expected(value.get(name), kind[name], f"{path}.{name}".strip("."), counts) for name in kind}
    if isinstance(kind, list) and isinstance(value, list):
        return [expected(item, kind[0], f"{path}[]", counts) for item in value]
    result, reason = None, "wrong_type"
    if kind == "date-time":
        result, reason = moment(value), "not_a_timestamp"
    elif kind == "object" or (isinstance(value, bool if kind == "boolean" else str) and isinstance(kind, str)):
        result, reason = without_halves(value), "half_surrogate_pair"
    if result != value and value is not None and (result is None or kind != "date-time"):
        counts[path, reason] += 1
    return result


def without_halves(value):
    """Return a JSON value with U+FFFD for half pairs."""
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)
    if isinstance(value, list):
        return [without_halves(item) for item in value]
    if isinstance(value, dict):
        return {without_halves(name): without_halves(item) for name, item in value.items()}
    return value


def numbers(text):
    """Return JSON as Python values; numbers as their text, in a tuple: equal to no string."""
    return json.loads(text, parse_int=lambda digits: (digits,), parse_float=lambda digits: (digits,))


def columns(path):
    """Return the rows of a file, with timestamps in microseconds."""
    table = pq.read_table(path)
    for name in ("logged_at", "created_at", "updated_at"):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.int64()))
    return table.to_pylist()


@fuzzed(100)
@given(st.lists(logs, min_size=1, max_size=4), st.sampled_from(["logged_at", "created_at"]))
@example(
    [rb'{"id":"a","logged_at":"2026-03-01 12:00:00.123456+00","new":"\ud83d","is_legacy":1}'.decode()], "logged_at"
)
def test_typed_columns_are_what_another_reader_finds(tmp_path_factory, records, field):
    """For each log that the client accepts, every column is what ``json`` and ``datetime`` read, or counted as not."""
    accepted = []
    for record in records:
        body = f'{{"results":[{record}],"count":1,"total_pages":1}}'.encode()
        try:
            accepted += read_audit_logs(Response(200, body=body), 1, field).logs
        except SecodaError:
            continue
    path = tmp_path_factory.mktemp("typed") / "x.parquet"
    counted = write_local_file(path, "parquet", [log.raw for log in accepted])
    counts = Counter()
    for log, row in zip(accepted, columns(path), strict=True):
        assert row.pop("raw").encode() == log.raw
        wanted = expected(numbers(log.raw), AUDIT_LOG, "", counts)
        row["metadata"] = None if row["metadata"] is None else numbers(row["metadata"])
        assert row == wanted
        assert row[field] == log.at
        assert without_halves(log.id) == row["id"]
    assert counted == {
        path: {reason: counts[path, reason] for name, reason in counts if name == path} for path, _ in counts
    }


def test_a_wrong_type_changes_no_other_column(tmp_path):
    """A record with one value of another type has the columns of the same record without it, also next to others."""
    fields = {"id": "a", "is_legacy": True, "logged_at": "2026-03-01T12:00:00Z", "metadata": {"n": [1.50, None]}}
    fields |= {"resource_metadata": {"name": "t"}, "event_blocks": [{"value": "v"}, None], "related_resource_ids": []}
    given = [
        fields,
        fields | {"is_legacy": "no"},
        {"id": "b"},
        fields | {"resource_metadata": {"name": "t", "type": 1}},
    ]
    records = [json.dumps(record).encode() for record in [*given, *given]]
    counted = write_local_file(tmp_path / "x.parquet", "parquet", records)
    rows = [{name: value for name, value in row.items() if name != "raw"} for row in columns(tmp_path / "x.parquet")]
    assert rows[1] == rows[0] | {"is_legacy": None}
    assert rows[3] == rows[0]
    assert rows[0]["event_blocks"] == [{"type": None, "style": None, "value": "v"}, None]
    assert (rows[0]["related_resource_ids"], rows[0]["resource_metadata"]["name"]) == ([], "t")
    assert {name for name, value in rows[2].items() if value is not None} == {"id"}
    assert rows[:4] == rows[4:]
    assert counted == {"is_legacy": {"wrong_type": 2}, "resource_metadata.type": {"wrong_type": 2}}


def test_half_a_pair_costs_its_own_value_only(tmp_path):
    """A truncated emoji in a field, in metadata, in an unknown field: all other columns have their values."""
    record = (
        rb'{"id":"a","logged_at":"2026-03-01 12:00:00.123456+00","created_at":"2026-03-01T12:00:00+00","new":"\ud83d",'
        rb'"performer_metadata":{"name":"Ada \ud83d","id":"u"},"metadata":{"a":["\udd86"]},"is_legacy":"no"}'
    )
    counted = write_local_file(tmp_path / "x.parquet", "parquet", [record])
    (row,) = columns(tmp_path / "x.parquet")
    at = 1_772_366_400_000_000
    assert (row["id"], row["logged_at"], row["created_at"]) == ("a", at + 123_456, at)
    assert (row["performer_metadata"]["name"], row["performer_metadata"]["id"]) == ("Ada \ufffd", "u")
    assert (json.loads(row["metadata"]), row["is_legacy"]) == ({"a": ["\ufffd"]}, None)
    assert row["raw"].encode() == record
    assert counted == {
        "is_legacy": {"wrong_type": 1},
        "metadata": {"half_surrogate_pair": 1},
        "performer_metadata.name": {"half_surrogate_pair": 1},
    }
