"""Files of a series: their windows have no gap or overlap, and no id is in two of them."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify._report import as_json, as_lines
from tests.verify.output_files import DAY, SOURCE, START, UNTIL, found, log, manifest_of, write, write_days

HOUR = timedelta(hours=1)


def series_findings(result):
    """Return kind and text of every finding of every series."""
    return [(finding.kind, finding.text) for series in result.series for finding in series.findings.listed]


def series_kinds(series):
    return [finding.kind for finding in series.findings.listed]


def kinds(result):
    return [kind for kind, _ in series_findings(result)]


def test_consecutive_windows_are_one_series(tmp_path):
    """Consecutive days have no finding; the series spans from the first edge to the last."""
    write_days(tmp_path)
    result = verify([str(tmp_path)])
    (series,) = result.series
    assert (series_findings(result), found(result), result.exit_code) == ([], [], 0)
    assert (series.windows, series.span.end - series.span.start) == (3, 3 * DAY // timedelta(microseconds=1))
    assert series.records == sum(file.records for file in result.files) > 0


def test_a_missing_day_is_a_gap(tmp_path):
    """A missing window is a gap with its edges and the files around it."""
    paths = write_days(tmp_path)
    for path in (paths[1], manifest_of(paths[1])):
        path.unlink()
    result = verify([str(tmp_path)])
    ((kind, text),) = series_findings(result)
    assert kind == "gap"
    assert "[2026-02-27T00:00:00Z, 2026-02-28T00:00:00Z)" in text
    assert str(paths[0]) in text
    assert str(paths[2]) in text
    assert result.exit_code == 1


def test_a_manifest_without_its_file_covers_nothing(tmp_path):
    """A manifest without its file leaves a gap: a window without its logs covers nothing."""
    paths = write_days(tmp_path)
    paths[1].unlink()
    result = verify([str(tmp_path)])
    assert kinds(result) == ["gap"]
    assert [kind for kind, *_ in found(result)] == ["file_missing"]


@pytest.mark.parametrize(
    ("start", "end", "common"),
    [
        (START + DAY - HOUR, START + DAY, "[2026-02-26T23:00:00Z, 2026-02-27T00:00:00Z)"),
        (START + HOUR, START + 2 * HOUR, "[2026-02-26T01:00:00Z, 2026-02-26T02:00:00Z)"),
        (START, START + DAY, "[2026-02-26T00:00:00Z, 2026-02-27T00:00:00Z)"),
        (START, START + DAY + HOUR, "[2026-02-26T00:00:00Z, 2026-02-27T00:00:00Z)"),
    ],
)
def test_overlapping_windows_are_named(tmp_path, start, end, common):
    """A window inside another, the same window twice, or one across an edge is an overlap, with the common span."""
    write_days(tmp_path)
    write(tmp_path / "other.jsonl", start, end, [])
    result = verify([str(tmp_path)])
    assert set(kinds(result)) == {"overlap"}
    assert any(
        f"{common} is covered by two files" in text and "other.jsonl" in text for _, text in series_findings(result)
    )


def test_a_wide_window_neither_hides_nor_makes_a_gap(tmp_path):
    """A span that a wide window covers is not a gap, though a narrow one inside it ends before the next begins."""
    write(tmp_path / "wide.jsonl", START, UNTIL, [])
    write(tmp_path / "narrow.jsonl", START + HOUR, START + DAY, [])
    write(tmp_path / "next.jsonl", UNTIL, UNTIL + DAY, [])
    assert kinds(verify([str(tmp_path)])) == ["overlap"]


def test_an_id_in_two_windows_is_named(tmp_path):
    """An id in two windows of a series is named in the second, with file and position of the first."""
    first = write(tmp_path / "1.jsonl", START, START + DAY, [log("a", START), log("b", START)])
    write(tmp_path / "2.jsonl", START + DAY, UNTIL, [log("b", START + DAY), log("c", START + DAY)])
    result = verify([str(tmp_path)])
    assert found(result) == [("in_two_files", 1, "b")]
    (finding,) = result.files[1].findings.listed
    assert finding.other_path == str(first)
    assert "record 2 of" in finding.text


def test_two_dags_in_one_folder_are_two_series(tmp_path):
    """Two DAGs that write the same windows under other names: each has its own series, checked by itself."""
    for dag_id, days in (("one", (0, 1, 2)), ("other", (0, 2))):
        for day in days:
            start = START + day * DAY
            records = [log(f"log {day}", start)]
            write(tmp_path / f"{dag_id}-{day}.jsonl", start, start + DAY, records, run={"dag_id": dag_id})
    result = verify([str(tmp_path)])
    assert [(series.key.dag_id, series.windows, series_kinds(series)) for series in result.series] == [
        ("one", 3, []),
        ("other", 2, ["gap"]),
    ]
    assert found(result) == []
    lines = list(as_lines(result))
    assert [line.rpartition(", ")[2] for line in lines if line.startswith("Series")] == ["DAG one", "DAG other"]
    assert [series["dag_id"] for series in json.loads(as_json(result))["series"]] == ["one", "other"]


def test_two_dags_whose_windows_do_not_overlap_are_one_series(tmp_path):
    """A DAG that was renamed, or one for the older windows, continues the series; an id in two files is a finding."""
    write(tmp_path / "1.jsonl", START, START + DAY, [log("a", START)], run={"dag_id": "old"})
    write(tmp_path / "2.jsonl", START + DAY, UNTIL, [log("a", START + DAY)], run={"dag_id": "new"})
    result = verify([str(tmp_path)])
    assert [(series.key.dag_id, series_kinds(series)) for series in result.series] == [(None, [])]
    assert [finding[0] for finding in found(result)] == ["in_two_files"]


@pytest.mark.parametrize("run", [{}, {"dag_id": None}, {"dag_id": 1}, None])
def test_an_overlap_by_no_known_dag_is_a_finding(tmp_path, run):
    """Without two names of DAGs, windows that overlap are a finding."""
    write(tmp_path / "1.jsonl", START, UNTIL, [], run={"dag_id": "a"})
    write(tmp_path / "2.jsonl", START, UNTIL, [], run=run)
    result = verify([str(tmp_path)])
    assert [series_kinds(series) for series in result.series] == [["overlap"]]


def test_files_without_manifests_are_not_a_series(tmp_path):
    """Files without a manifest may share ids; within one of them an id is unique."""
    for name in ("1", "2"):
        path = write(tmp_path / f"{name}.jsonl", START, UNTIL, [log("a", START), log("b", START), log(name, START)])
        manifest_of(path).unlink()
    path.write_bytes(path.read_bytes() * 2)
    expected = [("manifest_missing", None, None)] * 2 + [
        ("duplicate", 4, "a"),
        ("duplicate", 5, "b"),
        ("duplicate", 6, "2"),
    ]
    assert found(verify([str(tmp_path)])) == expected


@pytest.mark.parametrize(
    "other",
    [
        {"suffix": "jsonl.gz"},
        {"filter": {"operator": "exact", "field": "performer_type", "value": "USER"}},
        {"source": SOURCE | {"connection_id": "another"}},
        {"source": SOURCE | {"base_url": "https://eapi.secoda.co"}},
        {"field": "created_at"},
    ],
)
def test_another_query_is_another_series(tmp_path, other):
    """The same day from another connection, host, filter, timestamp or in another format overlaps nothing."""
    records = [log("a", START, created_at=START.isoformat())]
    write(tmp_path / "1.jsonl", START, UNTIL, records)
    write(tmp_path / f"2.{other.pop('suffix', 'jsonl')}", START, UNTIL, records, **other)
    result = verify([str(tmp_path)])
    assert (len(result.series), result.exit_code) == (2, 0)


def test_the_order_of_keys_in_a_filter_does_not_matter(tmp_path):
    """A filter with its keys in another order is the same filter."""
    for number, filter_ in enumerate(({"operator": "exact", "field": "a"}, {"field": "a", "operator": "exact"})):
        write(tmp_path / f"{number}.jsonl", START + number * DAY, START + (number + 1) * DAY, [], filter=filter_)
    result = verify([str(tmp_path)])
    assert (len(result.series), result.exit_code) == (1, 0)


# --- the requested span -------------------------------------------------------------------------------------------


def test_a_span_that_is_covered_has_no_findings(tmp_path):
    """The edges may be those of windows inside a longer series, which is a note."""
    write_days(tmp_path)
    assert verify([str(tmp_path)], start=START, end=UNTIL).exit_code == 0
    result = verify([str(tmp_path)], start=START + DAY, end=UNTIL - DAY)
    assert (kinds(result), result.note_count, result.exit_code) == (["outside_span"], 1, 0)
    assert series_findings(result)[0][1].startswith("2 windows outside")


def test_a_span_that_is_not_covered_is_a_gap(tmp_path):
    """Time between a requested edge and the series is a gap, at both ends."""
    write_days(tmp_path)
    result = verify([str(tmp_path)], start=START - DAY, end=UNTIL + HOUR)
    assert kinds(result) == ["gap", "gap"]
    assert "[2026-02-25T00:00:00Z, 2026-02-26T00:00:00Z)" in series_findings(result)[0][1]
    assert "[2026-03-01T00:00:00Z, 2026-03-01T01:00:00Z)" in series_findings(result)[1][1]
    for start, span in (
        (UNTIL + DAY, "[2026-03-02T00:00:00Z, 2026-03-03T00:00:00Z)"),
        (START - 2 * DAY, "[2026-02-24T"),
    ):
        result = verify([str(tmp_path)], start=start, end=start + DAY)
        assert kinds(result) == ["gap", "outside_span"]
        assert span in series_findings(result)[0][1]
        assert "2026-02-26" not in series_findings(result)[0][1]


def test_an_edge_inside_a_window_is_a_finding(tmp_path):
    """The requested span consists of complete windows."""
    write_days(tmp_path)
    result = verify([str(tmp_path)], start=START + HOUR, end=UNTIL - HOUR)
    assert kinds(result) == ["inside_window", "inside_window"]


def test_an_invalid_span_is_refused():
    """A span without a time zone, or that ends before it begins, is an error."""
    with pytest.raises(ValueError, match="before"):
        verify(["x"], start=UNTIL, end=START)
    with pytest.raises(ValueError, match="has no time zone"):
        verify(["x"], start=datetime(2026, 1, 1))  # noqa: DTZ001


# --- where files are found --------------------------------------------------------------------------------


def test_directories_are_searched_recursively(tmp_path):
    """Files in directories of any depth are found, in any number of paths, each once; other files are ignored."""
    deep = tmp_path / "year=2026" / "month=02"
    paths = write_days(deep)
    (tmp_path / "README.md").write_text("other")
    (deep / ".secoda-x.part").write_text("partial")
    (tmp_path / "circle").symlink_to(tmp_path, target_is_directory=True)
    for given in ([tmp_path], [deep, tmp_path], paths, [*paths, *map(manifest_of, paths), deep]):
        result = verify([str(path) for path in given])
        assert (len(result.files), result.exit_code) == (3, 0)
        assert {file.path for file in result.files} == {str(path) for path in paths}
    assert verify([str(tmp_path)]).other_files == 2


def test_manifests_are_found_in_either_place(tmp_path):
    """A manifest next to its file is found, too, and one in the folder of manifests comes before it."""
    paths = write_days(tmp_path)
    contents = [manifest_of(path).read_text() for path in paths]
    manifest_of(paths[0]).rename(f"{paths[0]}.manifest.json")
    Path(f"{paths[1]}.manifest.json").write_text("left by an earlier version")
    for given in ([tmp_path], [paths[0], tmp_path], paths, [f"{path}.manifest.json" for path in paths[:2]] + paths[2:]):
        result = verify([str(path) for path in given])
        assert (found(result), len(result.files), result.exit_code) == ([], 3, 0)
    manifest_of(paths[1]).write_text("altered")
    assert [kind for kind, *_ in found(verify([str(tmp_path)]))] == ["manifest_invalid"]
    manifest_of(paths[1]).write_text(contents[2])
    assert "wrong_manifest" in [kind for kind, *_ in found(verify([str(tmp_path)]))]


def test_one_half_of_a_pair_is_enough(tmp_path):
    """For a shell pattern that matches only data files, and for the folder of manifests, both halves are read."""
    paths = write_days(tmp_path)
    for given in (paths, sorted(tmp_path.iterdir()), [tmp_path / "_manifests"], [*map(manifest_of, paths)]):
        result = verify([str(path) for path in given])
        assert (found(result), result.errors, len(result.files), result.exit_code) == ([], [], 3, 0)
        assert {file.path for file in result.files} == {str(path) for path in paths}


@pytest.mark.parametrize("name", ["a#b", "a?b", "a b%20c", "é", "-x", "x\ny", "\udcff"])
def test_names_of_any_characters(tmp_path, name):
    """A file is checked, with any characters in its name."""
    if name == "x\ny":
        written = write(tmp_path / "x.jsonl", START, UNTIL)
        text = manifest_of(written).read_text().replace('"x.jsonl"', json.dumps(f"{name}.jsonl"))
        manifest_of(tmp_path / f"{name}.jsonl").write_text(text)
        manifest_of(written).unlink()
        shutil.move(written, tmp_path / f"{name}.jsonl")
    else:
        try:
            write(tmp_path / f"{name}.jsonl", START, UNTIL)
        except UnicodeEncodeError:
            pytest.skip("this file system takes no such name")
    result = verify([str(tmp_path)])
    assert (found(result), len(result.files), result.exit_code) == ([], 1, 0)


def test_relative_paths(tmp_path, monkeypatch):
    """Relative paths are relative to the working directory, and may contain `..`."""
    write_days(tmp_path / "logs")
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    upwards = ("../logs", "../logs/", "../else/../logs", f"file://{tmp_path}/else/../logs")
    for given in (*upwards, (tmp_path / "logs").as_uri()):
        result = verify([given])
        assert (len(result.files), result.exit_code) == (3, 0)
    monkeypatch.chdir(tmp_path / "logs")
    for given in (".", "./", "2026-02-26.jsonl"):
        assert verify([given]).exit_code == 0
    result = verify([".", str(tmp_path / "logs"), "../logs/2026-02-26.jsonl"])
    assert (len(result.files), result.exit_code) == (3, 0)


@pytest.mark.parametrize("given", ["nowhere", "empty", "notes.txt", "nowhere.jsonl"])
def test_nothing_found_is_not_a_success(tmp_path, given):
    """A path without files to check is an error, also if another path has no findings."""
    write_days(tmp_path / "logs")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("other")
    for paths in ([tmp_path / given], [tmp_path / "logs", tmp_path / given]):
        result = verify([str(path) for path in paths])
        assert (len(result.errors), result.exit_code) == (1, 2)
        assert given in result.errors[0]
    assert verify([]).exit_code == 2


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that fails when it is read")
def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    """A file whose storage fails is neither valid nor damaged: it was not checked; the others were."""
    paths = write_days(tmp_path)
    paths[1].unlink()
    paths[1].symlink_to("/proc/self/mem")
    result = verify([str(tmp_path)])
    (error,) = result.errors
    assert error.startswith(f"{paths[1]}: could not be read: OSError (Input/output error)")
    assert result.exit_code == 2
    assert [bool(file.error) for file in result.files] == [False, True, False]
    assert found(result) == []


def test_a_directory_that_cannot_be_read_is_an_error(tmp_path):
    """If one directory cannot be listed, here because of the length of its path, the result is incomplete."""
    write_days(tmp_path)
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=here)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    result = verify([str(tmp_path)])
    assert result.exit_code == 2
    assert "File name too long" in result.errors[0]


def test_a_pipe_is_ignored(tmp_path):
    """Only regular files are opened: a pipe has no end."""
    write_days(tmp_path)
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert verify([str(tmp_path)]).exit_code == 0


def test_memory_does_not_grow_with_the_records(tmp_path):
    """Eight times the records take no more memory; what Python itself allocates is counted."""
    import tracemalloc

    peaks = []
    for count in (1_000, 8_000):
        records = [log(f"id-{number:06}", START + number * DAY / count, text="x" * 300) for number in range(count)]
        path = write(tmp_path / f"{count}.jsonl", START, UNTIL, records)
        lines = path.read_bytes().splitlines(keepends=True)
        for content in (lines, lines[1:]):
            path.write_bytes(b"".join(content))
            tracemalloc.start()
            result = verify([str(path)], max_findings=10)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
            assert result.files[0].records == len(content)
    assert max(peaks[2:]) < max(peaks[:2]) + 1_000_000
