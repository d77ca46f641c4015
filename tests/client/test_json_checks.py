"""Checks of JSON that decoders do not make: repeated names, and depth."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_secoda.client._api.audit_log_page import read_audit_logs
from airflow_provider_secoda.client._api.decoding import read_json
from airflow_provider_secoda.client._api.endpoint import Limits
from airflow_provider_secoda.client._api.flow import Response
from airflow_provider_secoda.client._api.json_checks import ambiguous_name, nested_deeper_than
from airflow_provider_secoda.client._api.resource_log_page import read_resource_logs
from airflow_provider_secoda.client.errors import SecodaLimitError, SecodaResponseError
from tests.fuzz.fuzzing import fuzzed

AT, LATER = "2026-10-14T12:00:00Z", "2026-10-15T12:00:00Z"
LOG = f'{{"id": "a", "logged_at": "{AT}", "created_at": "{AT}", "updated_at": "{AT}"}}'
VERSION = '{"id": "v", "resource_id": "r"}'


#: A log that is not read together with the other logs of its page.
ALONE = f'{{"id": "alone", "logged_at": "{AT}", "created_at": "{AT}"}}'

texts = st.sampled_from(
    [
        *['"a"', '"b"', '"é"', '"\\u0061"', '"a\\"b"', '"\\ud800"', '"\\ufffd"', '"_at\\":"', '"logged_at"', "null"],
        *[f'"{AT}"', f'"{LATER}"', '"2026-10-14T12:00:00.1234567Z"', '"2026-10-14T12:00:00.9999999Z"', '"now"'],
        *['"2026-10-14T12:00:00.123456Z"', '"2026-10-14T12:00:00+02:00"', '"2026-10-14T12:00:00.1234567"'],
        *['"2026-10-14T12:00:0\\u0030Z"', '"2026-10-14T12:00:0\\\\u0030Z"', '"2016-12-31T23:59:60Z"', '"Z\\",\\"Z"'],
        *["[" * 150 + "]" * 150, "[" * 199 + "]" * 199, '{"id": "c", "logged_at": 1}', '{"x_at" : "_at"}', '"\\\\"'],
    ]
)
names = st.sampled_from(["id", "logged_at", "created_at", "logged_at", "logged\\u005fat", "\\u0069d", "deleted_at"])
colons = st.sampled_from([":", ":", ": ", " :\n"])
times = texts.filter(lambda text: text.startswith('"2'))


@st.composite
def plain_logs(draw):
    """Return a log with the documented members, and sometimes with others."""
    members = [("id", draw(texts)), *((name, draw(times)) for name in ("logged_at", "created_at", "updated_at"))]
    for name, value in draw(st.lists(st.tuples(names, texts), max_size=2)):
        members.insert(draw(st.integers(0, len(members))), (name, value))
    colon = draw(colons)
    return "{" + ", ".join(f'"{name}"{colon}{value}' for name, value in members) + "}"


def page_of(*records):
    return f'{{"results": [{", ".join(records)}], "count": 1, "total_pages": 1, "meta": {{"page": 1, "count": 1}}}}'


def versions_of(*records, others=""):
    lists = f'"version_histories": [{", ".join(records)}], "non_versioned_logs": [{others}]'
    return f'{{{lists}, "count": 1, "total_pages": 1}}'


def read(text):
    return read_audit_logs(Response(200, {}, text.encode()), 1, "logged_at")


def read_versions(text):
    return read_resource_logs(Response(200, {}, text.encode()), 1)


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (f'{{"id": "a", "logged_at": "{AT}", "id": "b"}}', "id"),
        (f'{{"id": "b", "logged_at": "{AT}", "\\u0069d": "a"}}', "id"),
        (f'{{"\\u0069d": "b", "logged_at": "{AT}", "id": "a"}}', "id"),
        (f'{{"x": {{"id": "a"}}, "id": "b", "id": "a", "logged_at": "{AT}"}}', "id"),
        (f'{{"id": "a", "logged_at": "{AT}", "logged_at": "{LATER}"}}', "logged_at"),
        (f'{{"id": "a", "logged_at": "{AT}", "logged_at" : "{LATER}", "created_at": "{AT}"}}', "logged_at"),
        (f'{{"id": "a", "logged_at": "{AT}", "lo\\u0067ged_at": "{LATER}"}}', "logged_at"),
        (f'{{"id": "a", "logged\\u005fat": "{AT}", "logged_at": "{LATER}"}}', "logged_at"),
        (f'{{"id": "a", "created_at": "{AT}", "logged_at": "{AT}", "created_at": null}}', "created_at"),
    ],
)
def test_a_log_with_contradicting_names(record, name):
    """A log with two different values for a name is an error, because decoders choose different ones."""
    with pytest.raises(SecodaResponseError, match="twice") as error:
        read(page_of(LOG, record))
    assert (error.value.path, error.value.retriable) == (f"$.results[1].{name}", True)


def read_or_error(*records):
    """Return the logs of a page, or the text of the error."""
    try:
        return read(page_of(*records)).logs
    except (SecodaResponseError, SecodaLimitError) as error:
        return str(error)


@fuzzed(500)
@given(st.lists(st.just(LOG) | plain_logs() | plain_logs(), min_size=1, max_size=3))
@example([LOG, LOG[:-1] + f', "logged_at" : "{LATER}"}}'])
@example(
    [f'{{"id": "a", "logged\\u005fat": "{AT}", "created_at": "{AT}", "updated_at": "{AT}", "logged_at": "{LATER}"}}']
)
@example([LOG.replace("00Z", "0\\\\u0030Z")])
@example([LOG.replace("00Z", "00.9999999Z")])
@example([LOG[:-1] + f', "x": {"[" * 198}{"]" * 198}}}'])
def test_logs_that_are_read_together(records):
    """The logs of a page are the same, or the error is, whether all are read at once or each by itself."""
    together, alone = read_or_error(*records), read_or_error(*records, ALONE)
    assert together == (alone if isinstance(alone, str) else alone[:-1])


@pytest.mark.parametrize(
    "record",
    [
        f'{{"id": "a", "logged_at": "{AT}", "id": "a", "logged_at": "{AT}"}}',
        f'{{"logged_at": "{AT}", "who": {{"id": "b", "logged_at": "{LATER}"}}, "id": "a"}}',
        f'{{"id": "a", "logged_at": "{AT}", "t": ["id", "logged_at", "\\u0069d"], "note": "x", "note": "y"}}',
        f'{{"id": "a", "logged_at": "{AT}", "m": {{"created_at": 1, "updated_at": 2, "expired_at": 3}}}}',
        f'{{"id": "a", "logged_at": "{AT}", "updated_at": 1, "updated_at": 2}}',
    ],
)
def test_a_log_with_harmless_repeated_names(record):
    """Names with equal values, names in nested objects and names that are not used may be repeated."""
    (log,) = read(page_of(record)).logs
    assert (log.id, log.raw) == ("a", record.encode())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (page_of(LOG)[:-1] + f', "results": [{LOG}, {LOG}]}}', "results"),
        (page_of(LOG)[:-1] + ', "results": []}', "results"),
        (page_of()[:-1] + f', "results": [{LOG}]}}', "results"),
        (f'{{"results": [{LOG}], ' + page_of(LOG)[1:], "results"),
        (f'{{"x": [{LOG}], "results": [{LOG}], ' + page_of(LOG)[1:], "results"),
        (f'{{"result\\u0073": [{LOG}], ' + page_of(LOG)[1:], "results"),
        ('{"count": 2, ' + page_of(LOG)[1:], "count"),
        (page_of(LOG)[:-1] + ', "total_pages": 2}', "total_pages"),
        (page_of(LOG)[:-1] + ', "meta": {"page": 1, "count": 1}}', "meta"),
        (page_of(LOG).replace("[{", "[\n  {").replace("}]", "}\n]")[:-1] + ', "count": 7}', "count"),
        (page_of(LOG, LOG).replace("}, {", "} ,\n{")[:-1] + ', "count": 7}', "count"),
    ],
)
def test_a_page_with_contradicting_names(text, name):
    """A page with two lists of logs, two counts or two numbers of pages is an error, in any spelling."""
    for reader in (read, lambda text: read_json(Response(200, {}, text.encode()))):
        with pytest.raises(SecodaResponseError, match="twice") as error:
            reader(text)
        assert error.value.path == f"$.{name}"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (versions_of('{"id": "v", "id": "w"}'), "$.version_histories[0].id"),
        (
            versions_of(VERSION, '{"id": "v", "resource_id": "r", "resource_id": "s"}'),
            "$.version_histories[1].resource_id",
        ),
        (
            versions_of(f'{{"id": "v", "created_at": "{AT}", "created_at": "{LATER}"}}'),
            "$.version_histories[0].created_at",
        ),
        (versions_of(VERSION)[:-1] + ', "version_histories": []}', "$.version_histories"),
        (versions_of(VERSION, others=LOG)[:-1] + ', "non_versioned_logs": []}', "$.non_versioned_logs"),
        (versions_of(VERSION, others=f"{LOG}, {LOG}")[:-1] + ', "count": 3}', "$.count"),
    ],
)
def test_versions_with_contradicting_names(text, path):
    """Version histories and their pages are checked in the same way."""
    with pytest.raises(SecodaResponseError, match="twice") as error:
        read_versions(text)
    assert error.value.path == path
    assert read_versions(versions_of(VERSION, VERSION, others=f"{LOG}, {LOG}")).logged


@pytest.mark.parametrize(
    "text",
    [
        '{"results": [' + "[" * 100_000 + "]" * 100_000 + '], "total_pages": 1, "count": 1}',
        '{"results": [], "total_pages": 1, "count": 1, "x": ' + '{"a":' * 100_000,
        page_of(f'{{"id": "a", "logged_at": "{AT}", "x": {"[" * 198}{"]" * 198}}}'),
        page_of(LOG, f'{{"id": "a", "logged_at": "{AT}", "\\"": "]", "x": {"[" * 198}{"]" * 198}}}'),
    ],
)
def test_json_that_is_nested_too_deeply(text):
    """JSON nested deeper than allowed is an error that a retry cannot fix, and that names the limit."""
    for reader in (read, lambda text: read_json(Response(200, {}, text.encode()))):
        with pytest.raises(SecodaLimitError, match="max_nesting") as error:
            reader(text)
        assert error.value.retriable is False


@pytest.mark.parametrize("levels", [1, 150, 197])
def test_json_of_the_allowed_depth(levels):
    """Depth counts from the response's own braces; brackets in strings do not count."""
    record = f'{{"id": "a", "logged_at": "{AT}", "t": "{"[" * 300}\\"{"{" * 300}", "x": {"[" * levels}{"]" * levels}}}'
    assert read(page_of(record)).logs[0].raw == record.encode()
    assert json.loads(record)["id"] == "a"
    assert read_json(Response(200, {}, page_of(record).encode()))["count"] == 1
    tighter = Response(200, {}, page_of(record).encode(), limits=Limits(nesting=levels + 2))
    with pytest.raises(SecodaLimitError):
        read_audit_logs(tighter, 1, "logged_at")


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('[]{}"\\,:a', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\:id', max_size=4), inner, max_size=4),
    max_leaves=30,
)


@given(JSON, st.integers(0, 8), st.booleans())
@example({'\\"': ['\\\\"[']}, 1, False)
def test_depth_is_counted_as_json_counts_it(value, most, compact):
    """With any strings and any escapes, the depth is that of the decoded value."""
    text = json.dumps(value, separators=(",", ":") if compact else None).encode()
    assert nested_deeper_than(text, most) == (depth(value) > most)


NAMES = st.sampled_from(["id", "logged_at", "x", "i\\u0064", "\\u006cogged_at"])
VALUES = st.sampled_from([None, True, "a", "b", AT])


@given(st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_repeated_names_are_found_as_by_a_decoder_that_keeps_all(pairs):
    """A name that counts is reported exactly if its values differ, in any spelling."""
    text = "{" + ", ".join(f'"{name}": {json.dumps(value)}' for name, value in pairs) + "}"
    found = {}
    for name, value in json.loads(text, object_pairs_hook=list):
        found.setdefault(name, set()).add(value)
    differing = {name for name in ("id", "logged_at") if len(found.get(name, ())) > 1}
    message = ambiguous_name(text.encode(), ("id", "logged_at"))
    assert message in (differing or {None})
    log = found.get("id") == {"a"} and found.get("logged_at") == {AT}
    if log or (differing and pairs[-1] == ("logged_at", AT) and ("id", "a") in pairs):
        try:
            (read_log,) = read(page_of(text)).logs
        except SecodaResponseError:
            assert not log
        else:
            assert (log, read_log.raw) == (True, text.encode())
