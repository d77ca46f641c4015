"""Any rendered template leads to a value that can be used, or to an error that names the argument."""

import json
import math
from datetime import datetime, timedelta, timezone

import pytest

pytest.importorskip("pendulum", reason="installed with Airflow")

from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_secoda._arguments import parse_datetime
from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.client.filters import Filter
from airflow_provider_secoda.windows import WindowError, resolve_window
from tests.fuzz.fuzzing import fuzzed, tried, values

TEXT = st.text(st.characters(), max_size=60)
TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.binary(max_size=3)
    | st.just(datetime(2026, 1, 1)),  # noqa: DTZ001
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(
            st.sampled_from(["operator", "field", "value", "operands", "x"]) | st.integers(), inner, max_size=4
        )
        | st.builds(lambda *operands: {"operator": "and", "operands": list(operands)}, inner, inner)
    ),
    max_leaves=12,
)


@fuzzed(120)
@given(TREES | TEXT | values.map(lambda value: value.decode("utf-8", "surrogateescape")))
@example('{"operator": "and", "operands": [' * 5_000)
@example('{"operator":"exact","field":"x","value":' + "[" * 5_000 + "]" * 5_000 + "}")
@example('{"operator":"exact","field":"x","value":' + "9" * 5_000 + "}")
@example('{"operator":"exact","field":"x","value":"\\ud800"}')
@example({"operator": "exact", "field": "x", "value": {1, 2}})
@example({"operator": "exact", "field": "x", "value": math.nan})
def test_any_filter(value):
    """A filter of any text or data is one that can be sent as it is, or a configuration error."""
    tried(repr(value))
    try:
        found = Filter.parse(value)
    except SecodaConfigurationError as error:
        assert "`filter" in str(error)  # noqa: PT017 - one of two outcomes
        return
    if found is None:
        assert value is None or not value.strip()
        return
    found.text.encode()
    assert isinstance(json.loads(found.text)["operator"], str)
    assert Filter.parse(found.text) == found


def test_a_filter_without_an_end():
    """A filter that contains itself is refused."""
    endless = {"operator": "and"}
    endless["operands"] = [endless]
    with pytest.raises(SecodaConfigurationError, match="too deeply"):
        Filter.parse(endless)


OFFSETS = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
MOMENTS = st.one_of(
    TEXT, st.none(), st.integers(), st.booleans(), st.dates(), st.datetimes(), st.datetimes(timezones=OFFSETS),
    st.datetimes(timezones=st.just(timezone.utc)).map(str),
    st.from_regex(
        r"[-+]?\d{0,5}[-/.]?\d{0,3}[-/.]?\d{0,3}[T ]?\d{0,3}:?\d{0,3}:?\d{0,3}[.,]?\d{0,12}"
        r"([Zz]|[-+]\d{0,4}:?\d{0,3})?"
    ),
    st.from_regex(r"P\d{0,3}[YMWD]?T?\d{0,3}[HMS]?(/.{0,12})?"),
    st.sampled_from(
        [
            *["", "None", " ", "now", "today", "2026", "2026-10", "2026-W42"],
            *["2026-W42-3", "2026-287", "12:00", "P1D", "{{ ds }}"],
            *["2026-10-14T12:00:00[Europe/Paris]", "9999-12-31T23:59:59-23:59"],
            *["0001-01-01T00:00:00+23:59", "2026-10-14/2026-10-15"],
            *["\u0662\u0660\u0662\u0666-10-14", "20261014T120000Z", "2026-10-14T24:00:00Z"],
            *["1e9", "\0", "9" * 5_000, "1-1-1"],
        ]
    ),
)  # fmt: skip


@fuzzed(150)
@given(MOMENTS)
@example("9999-12-31T01:00:00-23:00")
@example("0001-01-01T00:00:00-2400")
@example("0:")
@example(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))))
def test_any_moment(value):
    """A time as a template may give it is a moment in UTC, or a ValueError that names the argument."""
    tried(value)
    try:
        moment = parse_datetime("since", value)
    except ValueError as error:
        text = str(error)
    else:
        assert moment.utcoffset().total_seconds() == 0
        assert type(moment) is datetime
        return
    assert text.startswith(("since=", "`since`"))
    assert len(text) < 500


@fuzzed(120)
@given(*[MOMENTS.filter(lambda value: not isinstance(value, datetime))] * 2)
def test_any_window(start, end):
    """Two times of any text are a window, or a WindowError, which a retry cannot fix."""
    tried(start, end)
    if start is None and end is None:
        return
    try:
        window = resolve_window({}, start=start, end=end)
    except WindowError:
        return
    assert window.start < window.end
    assert window.rule == "start_end"
