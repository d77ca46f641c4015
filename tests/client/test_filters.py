"""The grammar of filters and sorts: the sandbox understands what the builders create."""

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_secoda.client.errors import SecodaConfigurationError
from airflow_provider_secoda.client.filters import (
    Filter,
    Sort,
    all_of,
    any_of,
    contains,
    exact,
    is_set,
    none_of,
    one_of,
)
from airflow_provider_secoda.client.sync import SecodaClient
from airflow_provider_secoda.sandbox import Workspace

VENDORS_EXAMPLE = '{"operator":"and","operands":[{"operator":"exact","field":"performer_type","value":"USER"}]}'


def test_the_vendors_example():
    """The builders give the exact example of the vendor's reference."""
    assert Filter.parse(all_of(exact("performer_type", "USER"))).text == VENDORS_EXAMPLE


def test_a_server_understands_every_builder(secoda_sandbox_factory):
    """Each builder selects the intended logs on a server."""
    logs = [
        {"id": "a", "performer_type": "USER", "activity_type": "TAG_ADDED", "version_history_id": None},
        {"id": "b", "performer_type": "API", "activity_type": "TAG_REMOVED", "version_history_id": "V"},
        {"id": "c", "performer_type": "SYSTEM", "activity_type": "LOGIN", "version_history_id": None},
    ]
    sandbox = secoda_sandbox_factory(Workspace(logs))
    user, tag = exact("performer_type", "USER"), contains("activity_type", "TAG")
    expected = {
        "a": [
            user,
            all_of(user, tag),
            is_set("version_history_id", value=False) | {"field": "version_history_id"},
        ],
        "ab": [tag, any_of(user, exact("id", "b")), one_of("performer_type", ("USER", "API"))],
        "b": [is_set("version_history_id"), all_of(tag, none_of(user))],
        "bc": [none_of(user)],
        "c": [none_of(user, exact("id", "b"))],
        "": [all_of(user, none_of(user))],
    }
    expected["ac"] = [expected["a"].pop()]
    with SecodaClient(sandbox.api_key, sandbox.url) as client:
        for ids, filters in expected.items():
            for one in filters:
                shown = client.list_audit_logs(filter=one)["results"]
                assert sorted(log["id"] for log in shown) == list(ids), one


def test_strings_and_mappings_are_equal():
    """A filter may be a JSON string or any mapping, which is not changed."""
    given_ = MappingProxyType({"operator": "exact", "field": "id", "value": "é"})
    parsed = Filter.parse(given_)
    assert parsed == Filter.parse('{"operator":"exact","field":"id","value":"é"}')
    assert parsed.as_dict() == dict(given_)
    nested = {"operator": "and", "operands": (given_,)}
    assert Filter.parse(nested).as_dict() == {"operator": "and", "operands": [dict(given_)]}


@pytest.mark.parametrize("nothing", [None, "", " \n"])
def test_no_filter(nothing):
    """None, or a template that rendered to blank text, means no filter."""
    assert Filter.parse(nothing) is None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("{", "not valid JSON"),
        ("None", "not valid JSON"),
        ("null", "`filter` must be an object"),
        ("[]", "`filter` must be an object"),
        ("3", "`filter` must be an object"),
        ('{"field": "id"}', "an `operator`"),
        ({"operator": 1}, "an `operator`"),
        ({"operator": "exact"}, "neither `operands` nor a `field`"),
        ({"operator": "and", "operands": []}, "`filter.operands`"),
        ({"operator": "and", "operands": "x"}, "`filter.operands`"),
        ({"operator": "and", "operands": {"operator": "exact"}}, "`filter.operands`"),
        (all_of(exact("id", 1), {"operator": "or", "operands": [{}]}), "`filter.operands[1].operands[0]`"),
        (exact("id", {1, 2}), "`filter`"),
        (exact("id", object()), "`filter`"),
        (exact("id", float("nan")), "`filter`"),
        ('{"operator": "exact", "field": "id", "value": NaN}', "`filter`"),
        ('{"operator": "exact", "field": "id", "value": "\\ud800"}', "`filter`"),
        ('{"operator": "exact", "field": "id", "value": ' + "[" * 100_000, "`filter`"),
    ],
)
def test_an_invalid_filter(value, says):
    """A filter that a server cannot understand is a configuration error with the path of the wrong part."""
    with pytest.raises(SecodaConfigurationError) as error:
        Filter.parse(value)
    assert says in str(error.value)


def test_a_filter_that_contains_itself():
    """A filter that contains itself is a configuration error too."""
    circle = {"operator": "and", "operands": []}
    circle["operands"].append(circle)
    with pytest.raises(SecodaConfigurationError, match="`filter`"):
        Filter.parse(circle)


_VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(st.characters(codec="utf-8")))
_LEAVES = st.one_of(
    st.builds(exact, st.text(st.characters(codec="utf-8")), _VALUES),
    st.builds(contains, st.sampled_from(["id", "activity_type"]), _VALUES),
    st.builds(one_of, st.just("id"), st.lists(_VALUES)),
    st.builds(is_set, st.just("id"), st.booleans()),
)
_TREES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, min_size=1, max_size=3).flatmap(
        lambda operands: st.sampled_from([all_of(*operands), any_of(*operands), none_of(*operands)])
    ),
    max_leaves=8,
)


@given(_TREES)
def test_every_built_filter_goes_over_the_wire_unchanged(tree):
    """Every filter that is built is accepted, and its JSON has the same content."""
    parsed = Filter.parse(tree)
    assert parsed.as_dict() == tree
    assert json.loads(parsed.text) == tree
    assert Filter.parse(parsed.text) == parsed


def test_sort():
    """A sort is the documented JSON; a tie breaker is part of it only on request, in the same order."""
    assert Sort("updated_at", "desc").text == '{"field":"updated_at","order":"desc"}'
    assert json.loads(Sort("logged_at", "asc", tie_breaker=True).text) == {
        "field": "logged_at",
        "order": "asc",
        "tie_breaker": {"field": "id", "order": "asc"},
    }
