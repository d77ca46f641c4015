"""Generated inputs: JSON as no encoder writes it, and the number of inputs and bytes that were tried."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

#: The number of inputs for each property. A long run: FUZZ_EXAMPLES=100000 pytest tests/fuzz
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))


def fuzzed(default, *, slow=False):
    """Return the settings of a property with a number of inputs, unless the environment sets it for all.

    :param slow: whether a failing input is reported as found, because shrinking it would take minutes
    """
    return settings(
        max_examples=EXAMPLES or default,
        phases=[Phase.explicit, Phase.reuse, Phase.generate, *([] if slow else [Phase.shrink])],
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
    )


@dataclass
class Tried:
    """The number of inputs and bytes that were tried."""

    inputs: int = 0
    bytes: int = 0

    def __call__(self, *inputs):
        """Count inputs of one trial; return the only one, or all of them."""
        self.inputs += 1
        for each in inputs:
            data = each if isinstance(each, bytes) else str(each).encode("utf-8", "surrogatepass")
            self.bytes += len(data)
        return inputs[0] if len(inputs) == 1 else inputs


tried = Tried()

AT = b'"2026-10-14T12:00:00.000001Z"'
#: Values that JSON allows, and that decoders often get wrong.
ODD = [
    *[b"null", b"true", b"0", b"-0", b"-0.0", b"1e999", b"-1E+400", b"1e-999", b"0.1", b"1.0", b"[]", b"{}", b'"id"'],
    *[b"9" * 19, b"18446744073709551616", b"-9223372036854775809", b"9" * 400, b"1" + b"0" * 5_000, b"1e" + b"9" * 300],
    *[
        b'""',
        b'"\\u0000"',
        b'"\x7f"',
        b'"\xc2\x80"',
        b'"\\ud800"',
        b'"\\udfff x"',
        b'"\\ud83e\\udd86"',
        b'"\xe2\x80\xa8"',
    ],
    *[b'"\\uD83E\\uD83E\\uDD86"', b'"\xef\xbb\xbf"', b'"\\\\"', b'"a\\/b"', b'"\\"]"', b'"' + b"y" * 9_000 + b'"'],
    *[b"[[[[[]]]]]", b'{"id":"b"}', b"[" * 150 + b"]" * 150, b'{"a":' * 120 + b"1" + b"}" * 120],
]
#: Values that are not JSON, or are nested too deeply.
BAD = [
    *[b"NaN", b"Infinity", b"-Infinity", b"undefined", b"'a'", b"0x10", b"1_000", b"tru", b"01", b"+1", b".5", b"1."],
    *[b'"\0"', b'"\x1f"', b'"\xed\xa0\x80"', b'"\xff"', b'"\xc3"', b'"\xf4\x90\x80\x80"', b'"\\x41"', b'"\\"', b'"\n"'],
    *[
        b'"\\\\\\"',
        b'"\\u00"',
        b'"\\u 041"',
        b"[1,]",
        b"{,}",
        b"[",
        b"}",
        b",",
        b"",
        b"//x",
        b"/**/1",
        b"\xef\xbb\xbf1",
    ],
    *[b"[" * 250 + b"]" * 250, b'{"a":' * 230 + b"1" + b"}" * 230, b"[" * 3_000 + b"]" * 3_000],
]
NAMES = [
    *[b'"id"', b'"logged_at"', b'"created_at"', b'"updated_at"', b'"resource_id"', b'"activity_type"', b'"metadata"'],
    *[
        b'"latest_activity_logged_at"',
        b'"activity_logs"',
        b'"performer_metadata"',
        b'"performer_id"',
        b'"event_blocks"',
    ],
    *[
        b'"i\\u0064"',
        b'"logged\\u005fat"',
        b'"ID"',
        b'""',
        b'"id\\u0000"',
        b'"\\ud800"',
        b'"x"',
        b'"prev"',
        b'"current"',
    ],
]
TIMES = [
    *[
        AT,
        b'"2026-10-14T12:00:00Z"',
        b'"2026-10-14 12:00:00+02"',
        b'"0001-01-01T00:00:00Z"',
        b'"9999-12-31T23:59:59.9Z"',
    ],
    *[b'"2026-02-30T00:00:00Z"', b'"2026-10-14T24:00:00Z"', b'"-2026-10-14T12:00:00Z"', b'"2026-10-14T12:00:00+99:99"'],
    *[
        b'"2026-10-14T12:00:00.' + b"1" * 6_000 + b'Z"',
        b'"\xd9\xa2026-10-14T12:00:00Z"',
        b"1760443200",
        b"null",
        b'"now"',
    ],
]


def one_in(number):
    return st.sampled_from((False,) * (number - 1) + (True,))


def _rarely(usual, unusual):
    """Return the usual value, except for one in ten."""
    return one_in(10).flatmap(lambda seldom: unusual if seldom else usual)


odd = st.sampled_from(ODD)
bad = st.sampled_from(BAD)
separators = st.sampled_from([b",", b",", b", ", b" ,\n\t"])
colons = st.sampled_from([b":", b":", b": ", b" :\n"])
strings = st.text(max_size=12).map(lambda text: json.dumps(text, ensure_ascii=False).encode())


def _object(pairs, separator, colon):
    return b"{" + separator.join(name + colon + value for name, value in pairs) + b"}"


def _objects(pairs, **sizes):
    return st.builds(_object, st.lists(pairs, **sizes), separators, colons)


def _lists(values, **sizes):
    return st.builds(
        lambda items, separator: b"[" + separator.join(items) + b"]",
        st.lists(values, **sizes),
        separators,
    )


values = st.recursive(
    odd | strings | st.sampled_from(TIMES),
    lambda inner: _lists(inner, max_size=3) | _objects(st.tuples(st.sampled_from(NAMES), inner), max_size=4),
    max_leaves=8,
)
ids = _rarely(st.sampled_from([b'"a"', b'"b"', b'"c"', b'"\\u0061"']), odd)
times = _rarely(st.just(AT), st.sampled_from(TIMES))


@st.composite
def logs(draw):
    """Make a log, or what resembles one: the documented names first, any of them twice or left out, and others."""
    pairs = [(b'"id"', draw(ids)), (b'"logged_at"', draw(times)), (b'"created_at"', draw(times))]
    for pair in draw(st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=3)):
        pairs.insert(draw(st.integers(0, len(pairs))), pair)
    if draw(one_in(10)):
        del pairs[draw(st.integers(0, len(pairs) - 1))]
    return _object(pairs, draw(st.sampled_from([b",", b", "])), draw(colons))


versions = st.builds(
    lambda log, more: log[:-1] + b',"latest_activity_logged_at":' + AT + b',"activity_logs":' + more + b"}",
    logs(),
    _lists(logs() | values, max_size=3),
)
numbers = _rarely(st.integers(0, 3).map(lambda number: b"%d" % number), odd)


@st.composite
def pages(draw, listing, records):
    """Create a page, or something similar: lists, counts and the rest, some of it repeated, truncated or changed."""
    pairs = [
        (b'"' + listing + b'"', draw(_lists(_rarely(records, values), max_size=4))),
        (b'"count"', draw(numbers)),
        (b'"total_pages"', draw(numbers)),
        (b'"meta"', draw(_rarely(st.just(b'{"page":1,"count":1,"total_pages":1}'), values))),
    ]
    if listing != b"results":
        pairs.insert(1, (b'"non_versioned_logs"', draw(_lists(logs() | values, max_size=2))))
    if draw(one_in(10)):
        pairs.append(draw(st.sampled_from(pairs)))
    if draw(one_in(3)):
        pairs.append((draw(st.sampled_from(NAMES)), draw(values)))
    body = _object(pairs, draw(separators), draw(colons))
    return draw(broken(body)) if draw(one_in(5)) else body


@st.composite
def broken(draw, body):
    """Return the same bytes, truncated, changed somewhere, or with something before or after."""
    at = draw(st.integers(0, len(body)))
    how = draw(st.integers(0, 4))
    extra = draw(odd | bad | bad | st.binary(max_size=8))
    if how == 0:
        return body[:at]
    if how == 1:
        return body[:at] + extra + body[at + len(extra) :]
    if how == 2:
        return body[:at] + extra + body[at:]
    return draw(st.sampled_from([b"\xef\xbb\xbf", b"\0", b"\xff\xfe", b" \n"])) + body if how == 3 else body + extra


audit_pages = pages(b"results", logs())
resource_pages = pages(b"version_histories", versions)
bodies = st.one_of(audit_pages, audit_pages, resource_pages, values.flatmap(broken), st.binary(max_size=200))
