"""The spool: order, each record once, no record lost, no file left, bounded memory."""

import pickle
import random
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_secoda._storage import spool as spool_module
from airflow_provider_secoda._storage.spool import ContradictionError, Spool
from tests.helpers.file_size_limit import file_size_limit

# Ids that a wrong sort would order differently: NUL, lone surrogates, code points beyond 16 bits.
ANY_TEXT = st.text("\0 aZé\u2028\ud800\udfff\uffff\U0001f600")


@settings(deadline=None)
@given(st.dictionaries(ANY_TEXT, st.tuples(st.integers(-(2**62), 2**62), st.binary(max_size=20))))
def test_order(records):
    """Records come back in ascending timestamp, equal ones by the code points of their id, and unchanged."""
    given_order = [(at, name, raw) for name, (at, raw) in records.items()]
    with Spool() as spool:
        spool.add(given_order)
        assert spool.check() == 0
        assert list(spool) == sorted(given_order)
        assert spool.count == len(records)
        times = [at for at, _ in records.values()]
        assert spool.time_range() == (min(times, default=None), max(times, default=None))


def test_order_is_of_code_points():
    """Ids are sorted neither by UTF-16 unit nor by locale."""
    names = ["\U0001f600", "\uffff", "\ud800", "é", "z", "a", "Z", ""]
    with Spool() as spool:
        spool.add((0, name, b"") for name in names)
        assert [name for _, name, _ in spool] == ["", "Z", "a", "z", "é", "\ud800", "\uffff", "\U0001f600"]


def test_repeats():
    """The first of an id stays; every later one with its timestamp is dropped and counted."""
    with Spool() as spool:
        spool.add([(1, "a", b"1"), (1, "a", b"1"), (2, "b", b"2"), (1, "a", b"other")])
        assert spool.check() == 2
        spool.add([(2, "b", b"2"), (3, "c", b"3")])
        assert spool.check() == 3
        assert list(spool) == [(1, "a", b"1"), (2, "b", b"2"), (3, "c", b"3")]
        assert spool.count == 3


def test_many_overlapping_blocks(monkeypatch):
    """Records in any order, in more blocks than are read at once, are sorted, each once; the first of an id is kept."""
    monkeypatch.setattr(spool_module, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(spool_module, "HASHES", 100)
    order = random.Random(1)
    records = [(order.randrange(500), str(number), b"%d" % number) for number in range(1_000)]
    given_order = [*records, *((at, log_id, b"other") for at, log_id, _ in records[::7])]
    for seed in range(3):
        tail = given_order[len(records) :]
        order.shuffle(tail)
        with Spool() as spool:
            spool.add(given_order[: len(records)] if seed else sorted(records, reverse=True))
            spool.add(tail)
            assert list(spool) == list(spool) == sorted(records)
            assert (spool.check(), spool.count) == (len(tail), len(records))
            assert [str(number) in spool for number in (-1, 0, 999, 1_000)] == [False, True, True, False]
            spool.add([(501, "7", b"")])
            with pytest.raises(ContradictionError, match="'7'"):
                list(spool)


def test_equal_hashes(monkeypatch):
    """Two ids with one hash are two records."""
    monkeypatch.setattr(spool_module, "hash", lambda _: 1, raising=False)
    with Spool() as spool:
        spool.add([(2, "b", b"2"), (1, "a", b"1"), (1, "a", b"3")])
        assert (spool.count, list(spool)) == (2, [(1, "a", b"1"), (2, "b", b"2")])


def test_contradiction():
    """An id that comes with a second timestamp is an error that names the id and both times."""
    with Spool() as spool, pytest.raises(ContradictionError) as caught:
        spool.add([(1_700_000_000_000_000, "a-1", b"{}"), (1_700_000_000_000_001, "a-1", b"{}")])
        spool.check()
    text = str(caught.value)
    assert "'a-1'" in text
    assert "2023-11-14T22:13:20Z" in text
    assert "2023-11-14T22:13:20.000001Z" in text
    assert isinstance(caught.value, ValueError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == text


def test_records_before_an_error_are_kept():
    """Records from before an error of the source are kept."""

    def source():
        yield 1, "a", b"1"
        raise ConnectionError

    with Spool() as spool:
        with pytest.raises(ConnectionError):
            spool.add(source())
        assert list(spool) == [(1, "a", b"1")]


def test_no_file_to_find(tmp_path, monkeypatch):
    """The records are in a file without a name, so that nobody can read them and a killed process leaves no file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Spool() as spool:
        spool.add((at, str(at), bytes(1500)) for at in range(20_000))  # much more than its cache
        assert list(tmp_path.iterdir()) == []
        assert sum(1 for _ in spool) == 20_000
    with pytest.raises(ValueError, match="closed"):
        list(spool)


MEASURE = """
import resource, sys
from airflow_provider_secoda._storage.spool import Spool
count = int(sys.argv[1])
with Spool() as spool:
    spool.add((count - n // 3, f"{n * 2654435761 % 2**32:08x}-{n}", b"%1500d" % n) for n in range(count))
    assert sum(1 for _ in spool) == count
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1024**2))
"""


def test_memory_is_flat():
    """Ten times the records take no more memory: 60 MB of records need at most 4 MB more than 6 MB."""
    few, many = (
        int(subprocess.run([sys.executable, "-c", MEASURE, count], check=True, capture_output=True).stdout)
        for count in ("4000", "40000")
    )
    assert many < few + 10


def test_full_disk():
    """A full disk is an error, not an incomplete result."""
    with Spool() as spool, pytest.raises(OSError, match="File too large"), file_size_limit(1 << 20):
        spool.add((at, str(at), bytes(1500)) for at in range(20_000))
