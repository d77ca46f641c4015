"""One file against its manifest: each kind of tampering has its finding, and nothing else has one."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from datetime import timedelta

import pytest

from airflow_provider_secoda.verify import verify
from tests.verify.output_files import DAY, START, UNTIL, found, lines_of, log, logs_of, manifest_of, write

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq

SUFFIXES = ("jsonl", "ndjson", "JSONL.GZ", "parquet")
IDS = [json.loads(raw)["id"] for raw in logs_of(START, UNTIL)]


@pytest.fixture
def path(tmp_path):
    """Give a file of three days with a manifest."""
    return write(tmp_path / "logs.jsonl", START, UNTIL)


def check(path, **options):
    return verify([str(path)], **options)


def texts(result):
    return [finding.text for file in result.files for finding in file.findings.listed]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_written_file_has_no_findings(tmp_path, suffix):
    """An unchanged file has no findings, in any format; count, size and digest are those of the manifest."""
    path = write(tmp_path / f"logs.{suffix}", START, UNTIL)
    result = check(path)
    assert (found(result), result.errors, result.exit_code) == ([], [], 0)
    (file,) = result.files
    assert file.records == file.recorded_count == len(IDS) > 100
    assert file.bytes == path.stat().st_size
    assert file.sha256 == file.recorded_sha256


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_without_records_is_valid(tmp_path, suffix):
    """The file and manifest of a window without logs have no findings."""
    assert check(write(tmp_path / f"logs.{suffix}", START, UNTIL, [])).exit_code == 0


def test_odd_records_are_as_written(tmp_path):
    """Long numbers, lone surrogates, pretty printing and ids of any characters are not findings."""
    moment = START.isoformat()
    odd = [
        b'{"id":"a","n":123456789012345678901234567890,"e":1E5,"logged_at":"%s","t":"\\ud83d"}' % moment.encode(),
        b'{\n  "id": "b\\ud83d",\n  "logged_at": "%s"\n}' % moment.encode(),
        log("c\u202e\x00\n", START),
        log("", START + DAY),
    ]
    for suffix in SUFFIXES:
        assert found(check(write(tmp_path / f"logs.{suffix}", START, UNTIL, odd))) == []


# --- records altered, removed, added, moved --------------------------------------------------------------------


def test_an_altered_record_is_named(path):
    """If one value of one record is altered, that record is named by position and id, and no other."""
    lines = lines_of(path)
    lines[16] = lines[16].replace(b'"is_legacy":false', b'"is_legacy": true')
    path.write_bytes(b"".join(lines))
    result = check(path)
    assert found(result) == [("altered", 17, IDS[16]), ("checksum", None, None)]
    assert f'record 17 ("{IDS[16]}")' in texts(result)[0]
    assert result.exit_code == 1


def test_a_removed_record_is_named(path):
    """A removed record is named, at any position; those after it are not."""
    lines = lines_of(path)
    for place in (0, 16, len(lines) - 1):
        path.write_bytes(b"".join(lines[:place] + lines[place + 1 :]))
        assert found(check(path)) == [("removed", place + 1, IDS[place]), ("checksum", None, None)]


def test_an_added_record_is_named(path):
    """An added record is named, at any position; those after it are not."""
    lines = lines_of(path)
    for place in (0, 16, len(lines)):
        moment = json.loads(lines[min(place, len(lines) - 1)])["logged_at"]
        new = log("\x00" if place < len(lines) else "~", UNTIL).replace(UNTIL.isoformat().encode(), moment.encode())
        path.write_bytes(b"".join([*lines[:place], new + b"\n", *lines[place:]]))
        assert found(check(path)) == [("added", place + 1, json.loads(new)["id"]), ("checksum", None, None)]


def test_a_moved_record_is_named(path):
    """The first record at which the order differs is named, with its position in the manifest: one finding."""
    lines = lines_of(path)
    path.write_bytes(b"".join([lines[-1], *lines[:-1]]))
    result = check(path)
    assert found(result) == [("out_of_order", 2, IDS[0]), ("moved", 1, IDS[-1]), ("checksum", None, None)]
    assert f"which lists it as record {len(IDS)}" in texts(result)[1]
    path.write_bytes(b"".join([*lines[1:], lines[0]]))
    result = check(path)
    assert found(result) == [("out_of_order", len(IDS), IDS[0]), ("moved", 1, IDS[1]), ("checksum", None, None)]
    assert "which lists it as record 2" in texts(result)[1]
    path.write_bytes(b"".join([*lines[:20], lines[70], *lines[20:40], *lines[41:70], lines[40], *lines[71:]]))
    assert [each for each in found(check(path)) if each[0] == "moved"] == [("moved", 21, IDS[70])]


def test_kinds_of_tampering_are_distinguished(path):
    """Altered, removed, added and moved records in one file each have a finding of their kind."""
    lines = lines_of(path)
    altered = lines[60].replace(b'"is_legacy":false', b'"is_legacy":null')
    moment = json.loads(lines[29])["logged_at"].encode()
    new = log("new", UNTIL).replace(UNTIL.isoformat().encode(), moment) + b"\n"
    path.write_bytes(
        b"".join([*lines[:10], *lines[11:30], new, *lines[30:60], altered, *lines[62:90], lines[61], *lines[90:]])
    )
    kinds = [each for each in found(check(path)) if each[0] not in ("out_of_order", "checksum")]
    assert sorted(kinds) == [
        ("added", 30, "new"),
        ("altered", 61, IDS[60]),
        ("moved", 62, IDS[62]),
        ("removed", 11, IDS[10]),
    ]


def test_random_tampering_is_found_exactly(tmp_path):
    """For records altered, removed and added at random, there is one finding each and no other."""
    chance = random.Random(7)
    records = [log(f"id-{number:04}", START + number * DAY / 500) for number in range(300)]
    path = write(tmp_path / "logs.jsonl", START, UNTIL, records)
    for _ in range(40):
        expected, lines = set(), []
        for number, record in enumerate(records):
            fate = chance.choices(("stay", "alter", "remove", "add"), (40, 2, 2, 2))[0]
            if fate != "remove":
                lines.append(record.replace(b'"id"', b' "id"') if fate == "alter" else record)
            if fate == "alter":
                expected.add(("altered", len(lines), f"id-{number:04}"))
            elif fate == "remove":
                expected.add(("removed", number + 1, f"id-{number:04}"))
            elif fate == "add":
                lines.append(log(f"id-{number:04}+", START + number * DAY / 500))
                expected.add(("added", len(lines), f"id-{number:04}+"))
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        assert {each for each in found(check(path)) if each[0] != "checksum"} == expected


def test_a_truncated_record_is_named_by_its_position(path):
    """A truncated record is reported as altered, with its position in the manifest."""
    lines = lines_of(path)
    for place in (0, 16, len(lines) - 1):
        path.write_bytes(b"".join([*lines[:place], lines[place][:40] + b"\n", *lines[place + 1 :]]))
        assert found(check(path)) == [
            ("invalid_record", place + 1, None),
            ("altered", place + 1, IDS[place]),
            ("checksum", None, None),
        ]
    path.write_bytes(b"".join([*lines[:5], b"[]\n", *lines[5:]]))
    assert found(check(path)) == [("invalid_record", 6, None), ("added", 6, None), ("checksum", None, None)]


def test_a_copy_of_a_record_is_named(path):
    """A record that is copied is reported as added, and its id as a duplicate."""
    lines = lines_of(path)
    path.write_bytes(b"".join([*lines[:17], lines[16], *lines[17:]]))
    assert found(check(path)) == [("duplicate", 18, IDS[16]), ("added", 18, IDS[16]), ("checksum", None, None)]


@pytest.mark.parametrize("behind", [b"garbage", b"\x1f\x8b broken header", gzip.compress(b"x", mtime=0)[:12]])
def test_bytes_behind_a_gzip_file_are_one_finding(tmp_path, behind):
    """All records are read; the damage behind the last of them is the only finding."""
    path = write(tmp_path / "logs.jsonl.gz", START, UNTIL)
    path.write_bytes(path.read_bytes() + behind)
    result = check(path)
    count = len(logs_of(START, UNTIL))
    assert found(result) == [("damaged", None, None)]
    assert texts(result)[0].startswith(f"damaged after record {count}: ")
    assert (result.records, result.exit_code) == (count, 1)


def test_records_behind_a_damage_are_one_finding(tmp_path):
    """The records that cannot be read are not listed one by one, in a truncated file and in one of another format."""
    path = write(tmp_path / "logs.jsonl.gz", START, UNTIL)
    path.write_bytes(path.read_bytes()[:-2000])
    result = check(path)
    read, count = result.records, len(logs_of(START, UNTIL))
    assert 0 < read < count
    assert [finding[0] for finding in found(result)] == ["damaged", "removed", "checksum"]
    assert f"records {read + 1} to {count} of the manifest cannot be read" in texts(result)[1]
    path.write_bytes(b"no gzip file")
    assert [finding[0] for finding in found(check(path))] == ["damaged", "removed", "checksum"]


# --- the same records, other bytes -----------------------------------------------------------------------------


def test_a_file_that_was_compressed_again_is_reencoded(tmp_path):
    """The same lines with another compression are other bytes, same records."""
    path = write(tmp_path / "logs.jsonl.gz", START, UNTIL)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1))
    result = check(path)
    assert found(result) == [("reencoded", None, None)]
    assert "other bytes, same records" in texts(result)[0]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda content: content.removesuffix(b"\n"),
        lambda content: content + b"\n",
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: b"\n\n" + content,
    ],
)
def test_line_ends_are_not_records(path, rewrite):
    """One more or one less line end, or line ends of another system, are other bytes, same records."""
    path.write_bytes(rewrite(path.read_bytes()))
    assert found(check(path)) == [("reencoded", None, None)]


def test_parquet_that_was_written_again_is_reencoded(tmp_path):
    """A Parquet file that another tool wrote, with other types for the same values, is other bytes, same records."""
    path = write(tmp_path / "logs.parquet", START, UNTIL)
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, "id", table["id"].cast(pa.large_string())), path, compression="gzip")
    assert found(check(path)) == [("reencoded", None, None)]


def test_a_parquet_column_that_was_altered_is_named(tmp_path):
    """If a typed column is altered and the raw record is not, row and column are named."""
    path = write(tmp_path / "logs.parquet", START, UNTIL)
    table = pq.read_table(path)
    names = table["performer_id"].to_pylist()
    assert len(names) > 260  # more than one batch
    names[260] = "somebody-else"
    place = table.schema.get_field_index("performer_id")
    forged = table.set_column(place, "performer_id", pa.array(names)).drop_columns(["metadata"])
    pq.write_table(forged, path)
    result = check(path)
    assert found(result) == [
        ("column_mismatch", None, None),
        ("column_mismatch", 261, IDS[260]),
        ("checksum", None, None),
    ]
    assert {"column metadata is missing"} < set(texts(result))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("logged_at", None),
        ("performer_metadata", None),
        ("metadata", None),
        ("metadata", '{"a": 1.0}'),
        ("metadata", "{"),
        ("related_resource_ids", ["other"]),
        ("id", "other"),
    ],
)
def test_a_column_of_the_written_file_is_compared_with_raw(tmp_path, column, value):
    """A value that the writer itself got wrong is found, although file, manifest and ``raw`` agree."""
    path = tmp_path / "logs.parquet"
    rest = b'"performer_metadata":{"id":"u"},"metadata":{"a":1.00}'
    odd = [b'{"id":"a%03d","logged_at":"2026-03-01T12:00:00+00",%b}' % (number, rest) for number in range(300)]
    write(path, UNTIL, UNTIL + DAY, odd)
    assert found(check(path)) == []
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[257] = value
    place = table.schema.get_field_index(column)
    pq.write_table(table.set_column(place, column, pa.array(values, table.schema.field(column).type)), path)
    header, _, records = manifest_of(path).read_text().partition('"records"')
    header = json.loads(header.rstrip().rstrip(",") + "}")
    header["file"] |= {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    manifest_of(path).write_text(f'{json.dumps(header, indent=2)[:-2]},\n  "records"{records}')
    result = check(path)
    assert found(result) == [("column_mismatch", 258, "a257")]
    assert texts(result) == [f'record 258 ("a257") has another value in column "{column}" than in column `raw`']


def test_an_invalid_record_does_not_hide_the_columns_around_it(tmp_path):
    """The rows next to a record that is not JSON are compared all the same."""
    path = tmp_path / "logs.parquet"
    write(
        path, UNTIL, UNTIL + DAY, [b'{"id":"a%d","logged_at":"2026-03-01T12:00:00Z"}' % number for number in range(3)]
    )
    table = pq.read_table(path)
    table = table.set_column(0, "id", pa.array(["a0", "a1", "x"]))
    raws = table["raw"].to_pylist()
    table = table.set_column(table.schema.get_field_index("raw"), "raw", pa.array([raws[0], "[1", raws[2]]))
    pq.write_table(table, path)
    assert ("column_mismatch", 3, "a2") in found(check(path))


def test_odd_values_are_not_mismatches(tmp_path):
    """A value that is null or has U+FFFD because its column cannot contain it is what a second reading finds too."""
    path = tmp_path / "logs.parquet"
    odd = [
        rb'{"id":"a","logged_at":"2026-03-01T23:59:60Z","performer_id":"\ud83d","metadata":{"\udddd":[1e999,"\ud83d"]}}',
        rb'{"id":"b","logged_at":"2026-03-01 23:59:59.9999999 +00","is_legacy":"no","event_blocks":[1,{"value":[]}]}',
        b'{"id":"c","logged_at":"2026-03-02T01:59:59.9999999+02","n":'
        + b"9" * 6000
        + b',"metadata":[2.50,true,"\xc3\xa9"]}',
    ]
    write(path, UNTIL, UNTIL + DAY, odd)
    assert found(check(path)) == []


def test_a_parquet_record_that_was_altered_is_named(tmp_path):
    """An altered raw record of a Parquet file is named, and so are the columns that still have the old values."""
    path = write(tmp_path / "logs.parquet", START, UNTIL)
    table = pq.read_table(path)
    raws = table["raw"].to_pylist()
    raws[4] = raws[4].replace('"performer_type":"', '"performer_type":"X')
    pq.write_table(table.set_column(table.schema.get_field_index("raw"), "raw", pa.array(raws)), path)
    assert ("altered", 5, IDS[4]) in found(check(path))
    assert ("column_mismatch", 5, IDS[4]) in found(check(path))


# --- invalid files and manifests -------------------------------------------------------------------------


def test_a_file_without_a_manifest_is_a_finding(path):
    """A file without a manifest is a finding, which says what the reason may be."""
    manifest_of(path).unlink()
    result = check(path)
    assert texts(result) == [
        "manifest missing: the file may be incomplete, or it was written with write_manifest=False"
    ]
    assert (result.exit_code, result.files[0].records) == (1, len(IDS))


def test_a_manifest_without_a_file_is_a_finding(path):
    """A manifest without its file is a finding."""
    path.unlink()
    for given in (path, manifest_of(path), path.parent):
        result = check(given)
        assert texts(result) == ["file missing: only its manifest exists"]
        assert result.exit_code == 1


def test_a_manifest_of_another_file_is_a_finding(path):
    """A manifest describes the file next to it; no other path is opened, also if the manifest contains one."""
    manifest = manifest_of(path)
    for name in ("../other.jsonl", "/etc/passwd", "other.jsonl"):
        text = json.loads(path_text := manifest.read_text())
        manifest.write_text(path_text.replace(json.dumps(text["file"]["name"]), json.dumps(name)))
        result = check(path)
        assert [kind for kind, *_ in found(result)] == ["wrong_manifest"]
        assert f'"{name}"' in texts(result)[0]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ('"format": "jsonl"', '"format": "parquet"', "inconsistent"),
        ('"bytes": ', '"bytes": 1', "inconsistent"),
        ('"count": ', '"count": 1', "inconsistent"),
        ('"sha256": "', '"sha256": "0', "reencoded"),
        ('"start": "2026-02-26', '"start": "2026-02-27', "outside_window"),
        ('"start": "2026-02-26', '"start": "2026-03-26', "manifest_invalid"),
        ('"start": "2026-02-26', '"start": "yesterday', "manifest_invalid"),
        ('"timestamp_field": "logged_at"', '"timestamp_field": "__class__"', "manifest_invalid"),
        ('"connection_id": "', '"connection_id": 1, "x": "', "manifest_invalid"),
        ('"manifest_version": 1', '"manifest_version": 2', "manifest_invalid"),
        ('"manifest_version"', '"manifest_version', "manifest_invalid"),
        ("\n  ]\n}\n", "\n  ]\n} \n", "manifest_invalid"),
        ('"records": [\n', '"records": [\n    ["x", 1],\n', "manifest_invalid"),
        ('"records": [\n', '"records": [\n    [' + "[" * 100_000 + '"x"],\n', "manifest_invalid"),
        ('"file": ', '"file": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + ', "filf": ', "manifest_invalid"),
    ],
)
def test_an_altered_manifest_is_a_finding(path, old, new, kind):
    """An altered or invalid manifest is a finding, never an exception."""
    manifest = manifest_of(path)
    text = manifest.read_text()
    assert old in text
    manifest.write_text(text.replace(old, new, 1))
    result = check(path)
    assert kind in {kind for kind, *_ in found(result)}
    assert (result.errors, result.exit_code) == ([], 1)


@pytest.mark.parametrize(("started", "early"), [(0, 1), (59.5, 1), (60, 0), (3600, 0)])
def test_a_window_that_was_read_too_early_is_a_finding(tmp_path, started, early):
    """A file is complete only if the read began after the window had settled."""
    moment = (UNTIL + timedelta(seconds=started)).isoformat()
    path = write(tmp_path / "a.jsonl", START, UNTIL, read={"started_at": moment, "settle_seconds": 60})
    result = check(path)
    assert [kind for kind, *_ in found(result)] == ["early"] * early
    assert result.exit_code == early


def test_records_altered_in_the_manifest(path):
    """If the file has the recorded sha256, the finding says that the manifest was altered."""
    manifest = manifest_of(path)
    lines = manifest.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if IDS[3] in line)
    del lines[place]
    manifest.write_text("".join(lines))
    result = check(path)
    assert found(result) == [("added", 4, IDS[3]), ("inconsistent", None, None)]
    assert "the manifest was altered" in texts(result)[1]


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.8, 0.999])
def test_a_manifest_that_was_cut_is_a_finding(path, cut):
    """A truncated manifest is a finding."""
    content = manifest_of(path).read_bytes()
    manifest_of(path).write_bytes(content[: int(len(content) * cut)])
    result = check(path)
    assert [kind for kind, *_ in found(result)] == ["manifest_invalid"]
    assert result.exit_code == 1


@pytest.mark.parametrize("suffix", ["jsonl.gz", "parquet"])
def test_damaged_files_are_findings(tmp_path, suffix):
    """A truncated file, or one with flipped bits, is always a finding, never an exception."""
    path = write(tmp_path / f"logs.{suffix}", START, UNTIL)
    whole = path.read_bytes()
    chance = random.Random(3)
    for number in range(60):
        broken = bytearray(whole[: chance.randrange(len(whole))] if number % 4 == 0 else whole)
        for _ in range(number % 4):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
        path.write_bytes(broken)
        result = check(path)
        assert (result.errors, result.exit_code) == ([], 1)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"\x00" * 5000, b"PAR1", b"\x1f\x8b", b"[" * 200_000, b'{"id":1}', b"\xff\xfe{}"])
def test_files_of_something_else_are_findings(tmp_path, suffix, content):
    """A file with any other content is a finding."""
    path = write(tmp_path / f"logs.{suffix}", START, UNTIL)
    path.write_bytes(content)
    result = check(path)
    assert (result.errors, result.exit_code) == ([], 1)
    assert {kind for kind, *_ in found(result)} & {"damaged", "invalid_record"}


def test_a_line_of_any_length_does_not_fill_the_memory(path, monkeypatch):
    """A line that is longer than a record can be ends the read."""
    monkeypatch.setattr("airflow_provider_secoda.verify._files._MAX_RECORD_BYTES", 10_000)
    path.write_bytes(path.read_bytes() + b"x" * 50_000)
    result = check(path)
    assert [kind for kind, *_ in found(result)] == ["damaged"]
    assert "longer than 10,000 bytes" in texts(result)[0]


# --- the data itself -------------------------------------------------------------------------------------------


def test_a_record_outside_of_its_window_is_named(tmp_path):
    """The window is half-open: a log at its end or before its start is outside."""
    tick = DAY / 86_400_000_000
    records = [log("early", START - tick), log("first", START), log("last", UNTIL - tick), log("end", UNTIL)]
    result = check(write(tmp_path / "logs.jsonl", START, UNTIL, records))
    assert found(result) == [("outside_window", 1, "early"), ("outside_window", 4, "end")]
    assert "2026-03-01T00:00:00Z" in texts(result)[1]


def test_the_window_is_over_the_timestamp_that_was_chosen(tmp_path):
    """With created_at as the timestamp field, logged_at does not matter."""
    records = [
        log("a", START - DAY, created_at=START.isoformat()),
        log("b", START - 2 * DAY, created_at=START.isoformat()),
    ]
    assert check(write(tmp_path / "logs.jsonl", START, UNTIL, records, field="created_at")).exit_code == 0


def test_records_out_of_order_are_named(tmp_path):
    """Records ascend by timestamp and, at the same time, by id."""
    records = [log("a", START), log("c", START + DAY), log("b", START + DAY), log("d", START), log("e", START + DAY)]
    assert found(check(write(tmp_path / "logs.jsonl", START, UNTIL, records))) == [
        ("out_of_order", 3, "b"),
        ("out_of_order", 4, "d"),
    ]


def test_a_record_without_a_time_is_named(tmp_path):
    """An invalid timestamp is a finding."""
    path = write(tmp_path / "logs.jsonl", START, UNTIL, [log("a", START)])
    path.write_bytes(b'{"id":"a","logged_at":"noon"}\n')
    assert ("no_timestamp", 1, "a") in found(check(path))


def test_a_duplicate_id_is_named(tmp_path):
    """An id that is in a file twice is a finding, also where the manifest lists it twice."""
    path = write(tmp_path / "logs.jsonl", START, UNTIL, [log("a", START), log("a", START), log("b", START)])
    assert found(check(path)) == [("duplicate", 2, "a")]


# --- how much is listed ------------------------------------------------------------------------------------------


def test_findings_are_counted_beyond_those_listed(path):
    """At most `max_findings` of a kind are listed; all are counted."""
    path.write_bytes(b"")
    result = check(path, max_findings=3)
    (file,) = result.files
    assert [finding.kind for finding in file.findings.listed] == ["removed"] * 3 + ["checksum"]
    assert file.findings.counts["removed"] == len(IDS)
    assert result.finding_count == len(IDS) + 1


def test_a_long_run_of_invalid_records_is_not_matched_by_position(path, monkeypatch):
    """A long run of invalid lines is not kept in memory to be matched: the lines are added, the records removed."""
    monkeypatch.setattr("airflow_provider_secoda.verify._checks.records._MAX_UNREADABLE", 3)
    lines = lines_of(path)
    for count, expected in ((3, {"altered": 3}), (5, {"removed": 5, "added": 5})):
        path.write_bytes(b"".join([*lines[:10], *([b"?\n"] * count), *lines[10 + count :]]))
        (file,) = check(path).files
        assert file.findings.counts == expected | {"invalid_record": count, "checksum": 1}
