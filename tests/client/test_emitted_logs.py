"""What a read emits: each log once, and an id with two timestamps is noticed."""

from itertools import chain

import pytest

from airflow_provider_secoda.client._api.audit_log_page import Log
from airflow_provider_secoda.client._audit_logs.output import BATCH, EmittedLogs
from airflow_provider_secoda.client.errors import SecodaIncompleteError

LOGS = [Log(at, f"{at}-\ud800", b"{}") for at in range(2 * BATCH + 1)]


def run(flow):
    """Return what a flow emits, and its value."""
    batches = []
    while True:
        try:
            batches.append(next(flow).value)
        except StopIteration as stop:
            return batches, stop.value


def test_batches():
    """Logs are emitted in their order, in batches."""
    emitted = EmittedLogs()
    batches, _ = run(emitted.emit(iter(LOGS)))
    assert [len(batch) for batch in batches] == [BATCH, BATCH, 1]
    assert [*chain.from_iterable(batches)] == LOGS
    assert run(emitted.emit([])) == ([], None)
    emitted.check_unique()


@pytest.mark.parametrize("calls", [1, 3])
def test_an_id_with_two_timestamps(calls):
    """An id that is emitted twice is an error that names the first such id, however far apart the two are."""
    emitted = EmittedLogs()
    again = [Log(7_000_000, LOGS[3].id, b"{}"), Log(8_000_000, LOGS[4].id, b"{}")]
    parts = [[*LOGS, *again]] if calls == 1 else [LOGS, LOGS[:0], again]
    for part in parts:
        run(emitted.emit(part))
    with pytest.raises(SecodaIncompleteError, match=r"'3-.*the second time 1970-01-01T00:00:07Z"):
        emitted.check_unique()


def test_only_new_logs_are_emitted():
    """Logs that were emitted are left out when all logs are read again; an id with another timestamp is an error."""
    emitted = EmittedLogs()
    run(emitted.emit(LOGS[10:20]))
    assert run(emitted.emit_new(LOGS[:30])) == ([LOGS[:10] + LOGS[20:30]], 10)
    emitted.check_unique()
    edited = Log(7_000_000, LOGS[12].id, b"{}")
    assert run(emitted.emit_new([edited, LOGS[15]])) == ([[edited]], 1)
    with pytest.raises(SecodaIncompleteError, match=r"'12-.*two different timestamps"):
        emitted.check_unique()
