"""JMESPath expressions find in Rust what they find in Powertools for Python, or are refused when they are made.

The key of a record is what an expression finds: another result, or another order, would run the body once more.
"""

import base64
import json
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import jmespath
import pytest
from aws_lambda_powertools.utilities.jmespath_utils import PowertoolsFunctions
from examples import example
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime_api import Function

FAILED = "failed"

EVENTS = [
    r'{"order": {"b": 2, "a": 1, "c": null}, "items": [{"p": "b", "n": 1}, {"p": "a", "n": 2}, {"n": 3}]}',
    r'{"order": {"\u00e9": "\ud83d\ude00", "e": "\ud83d", "\uff61": 1}, "items": ["b", "a", "\ud83d\ude00", "\uff61"]}',
    r'{"order": {"z": {"bar": {"y": 1, "x": [2]}}, "a": {"bar": {"x": 3}}, "b": 1, "z": {"bar": {"q": 0}}}}',
    r'{"order": {"n": 123456789012345678901234567890, "f": 1.50, "e": 1e2, "i": 1E400, "z": -0, "m": -0.0}}',
    r'{"items": [9007199254740993, 9007199254740992.0, 1, 1.0, true, 0, false, -5e-324, 1e400, -1e400]}',
    r'{"items": [[3, [2]], [], null, [1, null]], "order": [], "n": 0, "p": "", "note": "lone \ud83d \ude00 halves"}',
    r'{"items": [10, 9, 9.0, -1], "p": "10", "order": {"a": [], "b": {}, "c": "", "d": 0, "e": false}}',
    json.dumps(
        {"body": ' {"b": {"y": "\ud83d", "x": 1e2}, "a": [1, 2.0], "b": [9]} ', "items": [{"p": 1}, {"p": "1"}]}
    ),
    json.dumps({"body": "{", "p": base64.b64encode("ü-1".encode()).decode()}),
    json.dumps({"p": base64.encodebytes(b"x" * 70).decode(), "body": "NaN1"}),
    *(
        json.dumps({"p": text})
        for text in ["YQ==tail", "YQ", "YQ=", "Y=Q==", "Y", "=YQ==", "Y!Q==", "YR==", "/w==", "é"]
    ),
    "[[1, 2, 3], [4]]",
    '"text"',
    "null",
]

EXPRESSIONS = r"""
order.*; values(order); keys(order); to_string(order); to_string(@); order; @; order.*.bar; order.*[0]; *.a; *.a.b
items[?p>'a'].n; items[?p<'b']; items[?n>=`2`].p; items[?p=='a'].n | [0]; items[?@ > `1`]; items[?n]; items[?!n]
items[?@ == `1`]; items[?@ == `true`]; items[?@ != `0`]; contains(items, `1`); contains(items, `true`); items[?n || p]
items == `[[3, [2]], [], null, [true, null]]`; order == `{}`; n == `0.0`; n == `false`; !n; !p; !order; p && n; n || p
items[]; items[][]; items[*]; items[*].p; items[-1]; items[9]; items[::-1]; items[1:]; items[-2:-9:-1]; items[0:2][0]
[0]; [1][0]; [0][*]; [*][0]; [][?@ > `2`]; [::2]; items[*][0][]; (items)[0]; items[*].p | [0]; items[?p] | [?n]
[order, items]; {b: order, a: items, b: n}; order.[a, b]; order.{x: a, y: q}; order.*.[bar, q][0]; order.a || p
powertools_json(body); powertools_json(body).b; powertools_json(body).keys(@); powertools_json(body).[a, b]
powertools_base64(p); powertools_json(powertools_base64(p)); not_null(n, p, items); merge(order, {a: n}); type(items[0])
length(p); length(items); length(order); reverse(p); reverse(items); reverse(note); to_array(p); type(@); type(n)
join('-', items); join('', keys(order)); sort(items); sort(keys(order)); max(items); min(items); max(keys(order))
sort_by(items, &n); sort_by(items, &p); max_by(items, &n); min_by(items, &to_string(@)); map(&p, items); sort(@)
map(&[@, `1`], items); starts_with(p, '1'); ends_with(p, ''); contains(p, '1'); contains(note, `"\ud83d"`); length(note)
order."\u00e9"; 'it\'s'; `[1, "2", {"b": 1.50, "a": -0}]`; `"\ud83d"`; starts_with(note, `"lone \ud83d"`); 'a\b'
"""

REFUSED = r"""
order.*.bar.*; order.*.bar.y; (order.*).a; order.*.bar.length(@); items[0][0:1].p; items[0][0:1]
sum(items); avg(items); abs(n); ceil(n); floor(n); to_number(p); unknown(p); length(); length(p, n); length(&n)
`text`; `NaN`; {a: n b: p}; not_null(n p); items[::0]; [&n]; sort_by(items, n); map(items, &n); "length"(p)
a.; a b; a[; a.[; 'a; "a; `1; a = b; a[99999999999999999999]; #; (a; {; a[b]; -; "	"; 'a'.b.c(); &a; a.`1`
"""


def listed(expressions: str) -> list[str]:
    return [expression.strip(" ") for line in expressions.strip().splitlines() for expression in line.split(";")]


@pytest.fixture(scope="module")
def function() -> Iterator[Function]:
    with Function(example("compat_jmespath")) as function:
        yield function


def rust(function: Function, searches: list[tuple[str, str]]) -> list[dict[str, str]]:
    return function.invoke([{"expression": expression, "event": event} for expression, event in searches])


def python(expression: str, event: str) -> str:
    """The text that is hashed, but for the order of keys."""
    try:
        options = jmespath.Options(custom_functions=PowertoolsFunctions())
        return json.dumps(jmespath.compile(expression).search(json.loads(event), options=options))
    except Exception:
        return FAILED


def difference(expression: str, event: str, outcome: dict[str, str]) -> tuple[str, str, Any, Any] | None:
    expected = python(expression, event)
    actual = json.dumps(json.loads(outcome["found"])) if "found" in outcome else FAILED
    return None if actual == expected else (expression, event, actual, expected)


def test_expressions_find_what_they_find_in_python(function: Function) -> None:
    searches = list(product(listed(EXPRESSIONS), EVENTS))
    outcomes = rust(function, searches)
    assert [outcome for outcome in outcomes if "refused" in outcome] == []
    pairs = zip(searches, outcomes, strict=True)
    assert [pair for search, outcome in pairs if (pair := difference(*search, outcome))] == []
    assert sum(outcome.get("found", "null") != "null" for outcome in outcomes) > len(searches) / 5


def test_what_can_not_agree_is_refused_before_there_is_an_event(function: Function) -> None:
    expressions = ["", "(" * 1000, *listed(REFUSED)]
    outcomes = rust(function, [(expression, "null") for expression in expressions])
    assert [pair for pair in zip(expressions, outcomes, strict=True) if "refused" not in pair[1]] == []


NAMES = st.sampled_from(["a", "b", "c", '"a"', '"ü"'])
TEXTS = st.sampled_from(["", "a", "b", "ab", "1", "ü", "\U0001f600"])
NUMBERS = st.sampled_from([0, 1, 1.0, -2, 2.5, 10**30, 1e16]) | st.integers() | st.floats(allow_nan=False, width=32)
KEYS = st.sampled_from(["a", "b", "c", "ü"])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | st.just("\ud83d"),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
).map(lambda value: json.dumps(value).replace("Infinity", "1e999"))

# With gaps for names (N) and expressions (E).
TEMPLATES = """
E.N; E.N.N; E[0]; E[-1]; E[1:]; E[::-1]; E[*]; E[*].N; E[]; E[].N; E.*; E.*.N; *; *.N; @.N; E[*].*; E | E; E || E
E[?E]; E[?E].N; E[?E == E]; E[?N > E].N; E[?N <= N]; E.[E, E]; E.{N: E, N: E}; [E, E]; {N: E}; (E); (E)[0]; E == E
E != E; !E; E < E; E && E; keys(E); values(E); length(E); reverse(E); sort(E); max(E); min(E); to_string(E); to_array(E)
type(E); contains(E, E); starts_with(E, E); ends_with(E, E); join(E, E); merge(E, E); not_null(E, E); map(&E, E)
sort_by(E, &E); max_by(E, &N); min_by(E, &N); E.keys(@); E.to_string(@); powertools_json(to_string(E))
powertools_base64(E)
"""


def filled(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    gaps = {"N": NAMES, "E": inner}

    @st.composite
    def fill(draw: st.DrawFn) -> str:
        return re.sub(r"\b[NE]\b", lambda gap: draw(gaps[gap[0]]), draw(st.sampled_from(listed(TEMPLATES))))

    return fill()


RAW_STRINGS = TEXTS.map(lambda text: f"'{text}'")
LITERALS = JSON.map(lambda text: f"`{text}`")
EXPRESSION = st.recursive(NAMES | st.just("@") | LITERALS | RAW_STRINGS, filled, max_leaves=6)
# Mostly no JMESPath.
TOKENS = [*"abc@*.,:|&![](){}<>=-01 ", "[?", "[]", "==", "||", "&&", "'a'", '"a"', "`1`", "`a`", "length"]
GARBAGE = st.lists(st.sampled_from(TOKENS), max_size=10).map("".join)
DOCUMENTED = re.compile(r"goes on after \.\*|has a slice right after an index")


def test_any_expression_finds_the_same_or_is_refused(function: Function) -> None:
    found = set()

    @settings(max_examples=60, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(EXPRESSION, JSON), min_size=40, max_size=80))
    def run(searches: list[tuple[str, str]]) -> None:
        for search, outcome in zip(searches, rust(function, searches), strict=True):
            if refusal := outcome.get("refused"):
                assert DOCUMENTED.search(refusal), refusal
            else:
                assert difference(*search, outcome) is None
                found.add(outcome.get("found"))

    run()
    assert len(found) > 500, len(found)


def test_what_python_does_not_read_is_refused(function: Function) -> None:
    @settings(max_examples=40, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(GARBAGE, st.just('{"a": {"b": [1, {"c": 2}]}, "length": 3}')), min_size=50, max_size=100))
    def run(searches: list[tuple[str, str]]) -> None:
        for search, outcome in zip(searches, rust(function, searches), strict=True):
            assert "refused" in outcome or difference(*search, outcome) is None

    run()
