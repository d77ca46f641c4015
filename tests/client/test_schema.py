"""Records of a page are returned byte for byte, and invalid pages are errors."""

import json
from datetime import timedelta, timezone

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.audit_log_page import read_audit_logs
from airflow_provider_secoda.client._api.decoding import read_json
from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._api.resource_log_page import read_resource_logs
from airflow_provider_secoda.client._api.timestamps import (
    format_datetime,
    format_instant,
    from_instant,
    parse_datetime,
    parse_instant,
    to_instant,
)
from airflow_provider_secoda.client.errors import SecodaResponseError

AT = "2026-10-14T12:00:00.000001Z"
HEAD = f'"id": "a", "logged_at": "{AT}", "created_at": "{AT}"'


def answer(body, kind="application/json"):
    body = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    return Response(200, {"content-type": kind}, body)


def page_of(*records, listing="results", **more):
    fields = {"total_pages": 1, "count": len(records), "meta": {"page": 1}} | more
    rest = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in fields.items())
    return answer(f'{{ "{listing}" : [ {", ".join(records)} ], {rest} }}\n')


def read(body, number=1, field="logged_at"):
    return read_audit_logs(body, number, field)


def decode_error(body, **how):
    with pytest.raises(SecodaResponseError) as error:
        read(body, **how)
    return error.value


@pytest.mark.parametrize(
    "record",
    [
        f'{{{HEAD}, "n": 12345678901234567890, "m": -98765432109876543210123}}',
        f'{{{HEAD}, "n": 2.50, "m": 1e400, "l": -0, "k": 1E+2}}',
        f'{{"z": 1, {HEAD}, "a": 2, "a": 3}}',
        f'{{{HEAD}, "unknown": {{"b": [1, {{"c": null}}]}}}}',
        f'{{{HEAD}, "name": "Zoë 花子 \u202e 🦆"}}',
        f'{{{HEAD}, "name": "Zo\\u00eb \\ud83e\\udd86 \\/ \\u002F"}}',
        "{\n    " + HEAD.replace(", ", ",\n    ") + ' ,\t"x" : [ ]\r\n  }',
        f'{{{HEAD}, "text": "cut \\ud83e"}}',
        f'{{{HEAD}, "text": "\\uDD86 cut", "more": "\\ud83e\\ud83e\\udd86\\udd86"}}',
        f'{{{HEAD}, "text": "C:\\\\users\\\\ud83e, \\\\\\ud83e"}}',
        '{"id": "\\u0061", "logged_at": "2026-10-14T12:00:00\\u005a"}',
    ],
)
def test_a_log_stays_the_bytes_that_were_sent(record):
    """Numbers, key order, repeated and unknown keys, escapes, white space, half surrogates: all as sent."""
    (first, second, third) = read(page_of(f'{{{HEAD.replace("a", "0", 0)}, "x": "\\ud800"}}', record, record)).logs
    assert second.raw == third.raw == record.encode()
    assert second.id == "a"
    assert first.raw == f'{{{HEAD}, "x": "\\ud800"}}'.encode()
    assert read(page_of(record)).logs[0].raw == record.encode()


def test_half_surrogates_in_one_log_do_not_change_others():
    """One log with text truncated in the middle of an emoji damages neither itself nor others."""
    records = [f'{{"id": "{n}", "logged_at": "{AT}", "t": "\\ud{n}00"}}' for n in ("800", "900", "bff")]
    records = [record.replace("ud80000", "ud800").replace("ud90000", "ud900") for record in records]
    found = read(page_of(*records, "{" + HEAD + ', "t": "\\ud83e\\udd86"}')).logs
    assert [log.id for log in found] == ["800", "900", "bff", "a"]
    assert [log.raw.decode() for log in found[:3]] == records


def test_an_escaped_backslash_is_not_an_escape():
    """In ``\\\\ud83e`` the backslash is text, so that there is no half pair to replace."""
    page = read_json(page_of(f'{{{HEAD}, "t": "\\\\ud83e \\ud83e"}}'))
    assert page["results"][0]["t"] == "\\ud83e \ufffd"


def test_a_version_stays_the_bytes_that_were_sent():
    """Version histories are returned byte for byte, too."""
    records = ['{"id": "v1", "n": 12345678901234567890}', '{ "x": "\\udfff", "id": "v\\u0032" }']
    page = read_resource_logs(page_of(*records, listing="version_histories", non_versioned_logs=[]), 1)
    assert [(version.id, version.raw) for version in page.versions] == [
        ("v1", records[0].encode()),
        ("v2", records[1].encode()),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-14T12:00:00Z", "2026-10-14T12:00:00Z"),
        ("2026-10-14t12:00:00z", "2026-10-14T12:00:00Z"),
        ("2026-10-14 12:00:00", "2026-10-14T12:00:00Z"),
        ("2026-10-14T12:00:00.5", "2026-10-14T12:00:00.500000Z"),
        ("2026-10-14T12:00:00.123456789Z", "2026-10-14T12:00:00.123456Z"),
        ("2026-10-14T11:59:59.9999999Z", "2026-10-14T11:59:59.999999Z"),
        ("2026-12-31T23:59:59.999999999999999999999Z", "2026-12-31T23:59:59.999999Z"),
        ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
        ("2026-10-14T14:00:00+02:00", "2026-10-14T12:00:00Z"),
        ("2026-10-14T14:00:00+0200", "2026-10-14T12:00:00Z"),
        ("2026-10-14 14:00:00.25+02", "2026-10-14T12:00:00.250000Z"),
        ("2026-10-14T06:15:00-05:45", "2026-10-14T12:00:00Z"),
        ("2026-10-15T00:30:00+14:00", "2026-10-14T10:30:00Z"),
        ("2026-10-14T12:00:00-00:00", "2026-10-14T12:00:00Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
        ("2026-03-01 12:00:00.123456+00", "2026-03-01T12:00:00.123456Z"),
        ("2026-03-01T12:00:00 +00:00", "2026-03-01T12:00:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
        ("2016-12-31T23:59:60.9999999Z", "2016-12-31T23:59:59.999999Z"),
        ("2017-01-01T05:29:60.25+05:30", "2016-12-31T23:59:59.999999Z"),
        ("2016-12-31 18:59:60-05", "2016-12-31T23:59:59.999999Z"),
        ("9999-12-31T23:59:60Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_timestamps(text, expected):
    """A timestamp is parsed exactly, without digits below a microsecond, never rounded; no offset means UTC.

    A leap second is the last microsecond of the day that it is in.
    """
    assert format_instant(parse_instant(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *[
            None,
            0,
            1760443200,
            1.5,
            True,
            [],
            "",
            "now",
            "2026-10-14",
            "2026-10-14T12:00Z",
            "20261014T120000Z",
        ],
        *[
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-10-14T25:00:00Z",
            "2026-10-14T12:00:61Z",
            "2026-10-14T24:00:60Z",
        ],
        *[
            "2026-10-14T12:00:00.Z",
            "2026-10-14T12:00:00+2",
            "2026-10-14T12:00:00+24:00",
            "2026-10-14T12:00:00+01:60",
        ],
        *["2026-10-14T12:00:00Z ", " 2026-10-14T12:00:00Z", "2026-10-14T12:00:00ZZ", "２026-10-14T12:00:00Z"],
        *["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"],
    ],
)
def test_an_invalid_timestamp(text):
    """A value that is not a timestamp is refused, and the error has its path."""
    with pytest.raises(ValueError, match="timestamp"):
        parse_instant(text)
    error = decode_error(page_of(f"{{{HEAD}}}", json.dumps({"id": "b", "logged_at": text})))
    assert (error.path, "$.results[1].logged_at" in str(error)) == ("$.results[1].logged_at", True)


def test_the_chosen_timestamp_is_the_one_that_counts():
    """Only the chosen timestamp must exist; the lag is known if both do."""
    created = '{"id": "a", "created_at": "2026-10-14T12:00:00.25Z"}'
    log = read(page_of(created), field="created_at").logs[0]
    assert (format_instant(log.at), log.lag) == ("2026-10-14T12:00:00.250000Z", None)
    assert decode_error(page_of(created)).path == "$.results[0].logged_at"
    both = '{"id": "a", "logged_at": "2026-10-14T12:00:00Z", "created_at": "2026-10-14T12:00:00.25Z"}'
    assert read(page_of(both)).logs[0].lag == 250_000


@given(
    st.datetimes(timezones=st.just(timezone.utc)),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
        lambda t: timedelta(minutes=t // timedelta(minutes=1))
    ),
    st.text("0123456789", max_size=12),
)
def test_every_timestamp_that_python_writes_is_read_back(moment, offset, digits):
    """Any instant with any offset is read exactly, and more digits never round it up to the next microsecond."""
    assume(1 < moment.year < 9999)
    aware = moment.replace(tzinfo=timezone(offset))
    text = aware.isoformat(timespec="microseconds")
    longer = text[:26] + digits + text[26:]
    assert from_instant(parse_instant(text)) == aware
    assert parse_instant(longer) == parse_instant(text) == to_instant(aware)
    assert parse_instant(format_instant(to_instant(aware))) == to_instant(aware)
    assert format_datetime(aware) == format_instant(to_instant(aware))
    assert format_datetime(aware).endswith("Z")
    assert parse_datetime(format_datetime(aware)) == parse_datetime(longer) == aware


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ("", "$"),
        ("null", "$"),
        ("[]", "$"),
        ('"ok"', "$"),
        ("{}", "$"),
        ('{"detail": "Not found."}', "$"),
        ('{"results": 1, "total_pages": 1, "count": 1}', "$.results"),
        ('{"results": null, "total_pages": 1, "count": 1}', "$.results"),
        ('{"results": [], "total_pages": "1", "count": 1}', "$.total_pages"),
        ('{"results": [], "total_pages": 1.5, "count": 1}', "$.total_pages"),
        ('{"results": [], "total_pages": true, "count": 1}', "$.total_pages"),
        ('{"results": [], "total_pages": -1, "count": 1}', "$.total_pages"),
        ('{"results": [], "total_pages": 1, "count": -1}', "$.count"),
        ('{"results": [], "count": 1}', "$"),
        ('{"results": [], "total_pages": 1, "count": 1, "meta": {"page": "1"}}', "$.meta.page"),
        ('{"results": [1], "total_pages": 1, "count": 1}', "$.results[0]"),
        ('{"results": [{}], "total_pages": 1, "count": 1}', "$.results[0]"),
        ('{"results": [{"id": 7}], "total_pages": 1, "count": 1}', "$.results[0].id"),
        ('{"results": [{"id": null}], "total_pages": 1, "count": 1}', "$.results[0].id"),
        ('{"results": [NaN], "total_pages": 1, "count": 1}', "$"),
        ('{"results": [Infinity], "total_pages": 1, "count": 1}', "$"),
        ('{"results": [], "total_pages": 1, "count": 1} trailing', "$"),
        ("<!doctype html><html><body>Log in</body></html>", "$"),
        ('{"results": [], "total_pages": 1, "count": 1}'.encode("utf-16"), "$"),
        (b'{"results": [{"id": "a", "t": "\xff"}], "total_pages": 1, "count": 1}', "$"),
        (b'{"results": [{"id": "a", "t": "\xed\xa0\x80"}], "total_pages": 1, "count": 1}', "$"),
        (b'{"results": [{"id": "\xff"}], "total_pages": 1, "count": 1}', "$"),
        (b"\xff\xfe", "$"),
        (b"\x1f\x8b\x08\x00", "$"),
        ('{"results": [], "total_pages": ' + "9" * 6000 + ', "count": 1}', "$.total_pages"),
        ("[" * 100_000, "$"),
    ],
)
def test_an_invalid_page(body, path):
    """Foreign, truncated or broken bodies are one retriable error with the JSON path, and never a short page."""
    error = decode_error(answer(body))
    assert (error.path, error.retriable, f"at {path}" in str(error)) == (path, True, True)
    with pytest.raises(SecodaResponseError):
        read_resource_logs(answer(body), 1)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ('{"id": "b", "logged_at": "x"}', "log 'b' on page 3 has no usable `logged_at`: not a timestamp: 'x'"),
        ('{"id": "b", "logged_at": 1e999}', "log 'b' on page 3 has no usable `logged_at`: not a timestamp: 1e999"),
        (
            '{"id": "b", "logged_at": "\\ud83d"}',
            "log 'b' on page 3 has no usable `logged_at`: not a timestamp: '\ufffd'",
        ),
        ('{"id": "b"}', "log 'b' on page 3 has no usable `logged_at`: it is missing"),
        (f'{{"id": "b", "logged_at": "{AT}", "logged_at": ""}}', "log 'b' on page 3 gives `logged_at` twice"),
        (
            f'{{"id": 7, "logged_at": "{AT}"}}',
            "a log without an id on page 3 cannot be read: Expected `str`, got `int`",
        ),
        ("[7]", "a log without an id on page 3 cannot be read: Expected `object`, got `array`"),
    ],
)
def test_an_invalid_log(record, text):
    """An error about a log names its id, the page and the path; the next response would have the same log."""
    error = decode_error(page_of(f"{{{HEAD}}}", record, meta={"page": 3}), number=3)
    assert text in str(error)
    assert f" (at {error.path})" in str(error)
    assert error.path.startswith("$.results[1]")
    assert error.complete


def test_an_invalid_version():
    """An error about a version history names its id, the page and the path, too."""
    for record, text in (
        ('{"id": "v", "created_at": "1", "created_at": "2"}', "version history 'v' on page 4 gives `created_at` twice"),
        ('{"id": 7}', "a version history without an id on page 4 cannot be read: Expected `str`, got `int`"),
    ):
        body = page_of(record, listing="version_histories", non_versioned_logs=[], meta={"page": 4})
        with pytest.raises(SecodaResponseError) as error:
            read_resource_logs(body, 4)
        assert text in str(error.value)
        assert f" (at {error.value.path})" in str(error.value)
        assert error.value.complete


@pytest.mark.parametrize(
    "body",
    [
        '{"meta":{},"results":[{}],"count":0,"total_pages":0}',
        '{"count":0,"results":["count"],"total_pages":0}',
        '{"count":0,"results":[0],"total_pages":0}',
    ],
)
def test_a_record_whose_text_is_elsewhere_in_the_answer(body):
    """It is an invalid record like any other, also if it is the first that a search for its text finds."""
    assert decode_error(answer(body)).path == "$.results[0]"
    assert "twice" in str(decode_error(answer(f'{body[:-1]},"count":0}}')))


def test_a_list_that_is_a_record_of_another_list():
    """What is not a version history is not read."""
    body = '{"version_histories":[],"non_versioned_logs":[[]],"count":0,"total_pages":0}'
    assert not read_resource_logs(answer(body), 1).versions


@pytest.mark.parametrize("value", ["1e999", "9" * 6000, '"\\ud83d"', "{}", "[1]", "true", "null", '"x"'])
def test_values_that_decide_nothing(value):
    """Only the id and the chosen timestamp must be usable; the lag is unknown then, and the log as it was sent."""
    record = f'{{"id": "a", "logged_at": "{AT}", "created_at": {value}, "updated_at": {value}}}'
    (log,) = read(page_of(record)).logs
    assert (format_instant(log.at), log.lag, log.raw) == (AT, None, record.encode())
    times = f'"created_at": "{AT}", "updated_at": {value}'
    record = f'{{"id": "v", "resource_id": [{value}], {times}}}'
    (version,) = read_resource_logs(page_of(record, listing="version_histories", non_versioned_logs=[]), 1).versions
    assert (version.created, version.updated, version.resource_id) == (parse_instant(AT), None, None)


def test_half_a_pair_in_an_id():
    """Two ids that differ in half a surrogate pair only are two logs; U+FFFD itself is another character."""
    records = [f'{{"id": "{name}", "logged_at": "{AT}"}}' for name in ("a\\ud83d", "a\\ud83e", "a\ufffd", "\\u0061")]
    found = read(page_of(*records)).logs
    assert [log.id for log in found] == ["a\ud83d", "a\ud83e", "a\ufffd", "a"]
    assert [log.raw.decode() for log in found] == records


@pytest.mark.parametrize("listing", ["results", "version_histories"])
def test_a_byte_order_mark_is_ignored(listing):
    """A byte-order mark before a page is not part of it, also if the page has half a surrogate pair."""
    more = {"non_versioned_logs": []} if listing == "version_histories" else {}
    reader = read_audit_logs if listing == "results" else read_resource_logs
    for record in (f"{{{HEAD}}}", f'{{{HEAD}, "x": "\\ud83d"}}'):
        body = page_of(record, listing=listing, **more).body
        arguments = (1, "logged_at") if listing == "results" else (1,)
        page = reader(answer(b"\xef\xbb\xbf" + body), *arguments)
        assert page == reader(answer(body), *arguments)
        assert page.count == 1
        assert read_json(answer(b"\xef\xbb\xbf" + body), listing)["count"] == 1
        with pytest.raises(SecodaResponseError):
            reader(answer(b"\xef\xbb\xbf" * 2 + body), *arguments)


def test_a_login_page_is_named_in_the_error():
    """An HTML page with status 200 is reported as such: most often the host is wrong."""
    assert "text/html" in str(decode_error(answer("<html>", "text/html; charset=utf-8")))


def test_every_truncation_of_a_page_is_noticed():
    """A page that is truncated anywhere is refused."""
    body = page_of(f'{{{HEAD}, "t": "é\\ud83e"}}', f"{{{HEAD}}}").body.rstrip()
    for length in range(len(body)):
        decode_error(answer(body[:length]))


def test_another_page_than_requested_is_refused():
    """A server that answers a page beyond the end with its last page has shown no such page."""
    assert read(page_of(f"{{{HEAD}}}", meta={"page": 3}), number=4).logs == ()
    assert len(read(page_of(f"{{{HEAD}}}", meta={"page": 4}), number=4).logs) == 1
    assert len(read(page_of(f"{{{HEAD}}}", meta={}), number=4).logs) == 1
    assert len(read(page_of(f"{{{HEAD}}}", meta=None), number=4).logs) == 1


@pytest.mark.parametrize("listing", ["results", "version_histories"])
def test_a_decoded_page(listing):
    """A page is decoded to the documented keys, or there is an error."""
    more = {"non_versioned_logs": []} if listing == "version_histories" else {}
    page = read_json(
        page_of('{"id": "a", "n": 12345678901234567890, "t": "\\ud83e"}', listing=listing, **more), listing
    )
    assert page[listing] == [{"id": "a", "n": 12345678901234567890, "t": "\ufffd"}]
    assert (page["count"], page["total_pages"], page["meta"]) == (1, 1, {"page": 1})
    for body in (
        '{"total_pages": 1, "count": 1}',
        '{"count": 0, "total_pages": 1, "results": 3}',
        "<html>",
        "[1]",
    ):
        with pytest.raises(SecodaResponseError):
            read_json(answer(body), listing)


_JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(),
        st.sampled_from([AT, "2026-10-14T12:00:00+99:99", "\ud83e", "a"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["results", "count", "total_pages", "meta", "page", "id", "logged_at", "created_at", "é", "id ", "x"]
            ),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=12,
)
_LOGS = st.lists(st.fixed_dictionaries({"id": _JSON, "logged_at": _JSON}, optional={"created_at": _JSON}), max_size=3)
_PAGES = st.fixed_dictionaries(
    {"results": _LOGS, "count": st.integers(), "total_pages": st.integers(), "meta": _JSON},
    optional={"version_histories": _LOGS, "non_versioned_logs": st.just([])},
)


def _only_response_errors(body):
    for reader in (
        lambda: read_audit_logs(body, 1, "logged_at"),
        lambda: read_audit_logs(body, 1, "created_at"),
        lambda: read_resource_logs(body, 1),
        lambda: read_json(body),
    ):
        try:
            reader()
        except SecodaResponseError:
            pass


@settings(max_examples=200)
@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))))
@example(b'{"results":[{"id":"a","logged_at":"\\ud800"}],"count":1,"total_pages":1}')
def test_bytes_never_break_anything_else(body):
    """Any bytes lead to a page or to the one error."""
    _only_response_errors(answer(body))


@settings(max_examples=200)
@given(st.one_of(_PAGES, _JSON), st.booleans(), st.integers(min_value=0, max_value=3))
def test_json_never_breaks_anything_else(value, ascii_only, cut):
    """Any JSON, complete or truncated, leads to a page or to the one error."""
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    _only_response_errors(answer(body[: len(body) - cut]))


@settings(max_examples=100)
@given(st.lists(st.dictionaries(st.text(), _JSON, max_size=4), max_size=4), st.sampled_from([None, 1, "\t"]))
def test_any_record_passes_through_unchanged(extras, indent):
    """Logs with any unknown fields in any layout are passed on unchanged."""
    records = [
        json.dumps(
            {f"x{name}": value for name, value in extra.items()} | {"id": str(number), "logged_at": AT},
            indent=indent,
            allow_nan=True,
        )
        for number, extra in enumerate(extras)
    ]
    if any(word in record for record in records for word in ("NaN", "Infinity")):
        return
    found = read(page_of(*records)).logs
    assert [log.raw.decode() for log in found] == records
