"""JMESPath expressions find the same in Rust as in Powertools for Python, or are refused when they are made.

The expression's result is the key of a record: another result, or another order, would run the body once more.
Random values come from one seed, so that a failure can be repeated.
"""

import base64
import json
import random
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import jmespath
import pytest
from aws_lambda_powertools.utilities.jmespath_utils import PowertoolsFunctions
from examples import example
from runtime_api import Function

FAILED = "failed"
EXPRESSIONS_TO_TRY = 5000

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
    """The text that is hashed, regardless of the order of keys."""
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


# Templates with placeholders for names (N), expressions (E) and literals (L).
TEMPLATES = """
N; N; N; @; L; 'a'; E.N; E.N; E.N.N; E[0]; E[-1]; E[1:]; E[::-1]; E[*]; E[*].N; E[]; E[].N; E.*; E.*.N; *; *.N; E[*].*
E[?E]; E[?E].N; E[?E == E]; E[?N > E].N; E[?N <= N]; E.[E, E]; E.{N: E, N: E}; [E, E]; {N: E}; (E); (E)[0]; E == E
E != E; !E; E < E; E && E; E || E; keys(E); values(E); length(E); reverse(E); sort(E); max(E); min(E); to_string(E)
to_array(E); type(E); contains(E, E); starts_with(E, E); ends_with(E, E); join(E, E); merge(E, {N: E}); not_null(E, E)
map(&E, E); sort_by(E, &E); max_by(E, &N); min_by(E, &N); E.keys(@); E.to_string(@); powertools_json(to_string(E))
powertools_base64(E); to_string([E, E]); sort(keys(E)); join(L, keys(E)); [*].N; [?N]; [0]; E.*.[N, N][0]; E | E
"""
# Mostly not valid JMESPath.
TOKENS = [*"abc@*.,:|&![](){}<>=-01 ", "[?", "[]", "==", "||", "&&", "'a'", '"a"', "`1`", "`a`", "length"]
DOCUMENTED = re.compile(r"continues after \.\*|has a slice right after an index")


def random_value(generator: random.Random, depth: int = 3) -> Any:
    match generator.randrange(8 if depth else 4):
        case 0:
            return generator.choice([None, True, False])
        case 1:
            return generator.choice([0, 1, 1.0, -0.0, -2, 2.5, 10**30, 10.0**30, 1e16, 9007199254740993])
        case 2:
            # Including numbers with two equally near shortest texts.
            return generator.choice(
                [generator.randrange(10**16) / 8, generator.uniform(-1, 1) * 10 ** generator.randint(-10, 25)]
            )
        case 3:
            return generator.choice(["", "a", "b", "ab", "1", "YQ==", "ü", "\ud83d", "\U0001f600", "\uff61"])
        case 4 | 5:
            return [random_value(generator, depth - 1) for _ in range(generator.randrange(5))]
    names = generator.sample(["a", "b", "c", "ü"], generator.randrange(5))
    return {name: random_value(generator, depth - 1) for name in names}


def random_expression(generator: random.Random, depth: int = 4) -> str:
    def fill(gap: re.Match[str]) -> str:
        match gap[0]:
            case "N":
                return generator.choice(["a", "b", "c", '"a"', '"ü"'])
            case "L":
                return f"`{json.dumps(random_value(generator, 1))}`"
        return random_expression(generator, depth - 1)

    leaves, all_templates = listed(TEMPLATES)[:6], listed(TEMPLATES)
    return re.sub(r"\b[NEL]\b", fill, generator.choice(all_templates if depth else leaves))


def test_any_expression_finds_the_same_or_is_refused(function: Function) -> None:
    generator = random.Random(13)
    searches = [
        (random_expression(generator), json.dumps({name: random_value(generator) for name in ["c", "a", "ü", "b"]}))
        for _ in range(EXPRESSIONS_TO_TRY)
    ]
    outcomes = rust(function, searches)
    refusals = [outcome["refused"] for outcome in outcomes if "refused" in outcome]
    assert [refusal for refusal in refusals if not DOCUMENTED.search(refusal)] == []
    pairs = [pair for pair in zip(searches, outcomes, strict=True) if "refused" not in pair[1]]
    assert [pair for search, outcome in pairs if (pair := difference(*search, outcome))] == []
    assert len({outcome.get("found") for outcome in outcomes}) > 300


def test_what_python_does_not_read_is_refused(function: Function) -> None:
    generator = random.Random(13)
    expressions = ["".join(generator.choices(TOKENS, k=generator.randrange(10))) for _ in range(EXPRESSIONS_TO_TRY)]
    searches = [(expression, '{"a": {"b": [1, {"c": 2}]}, "length": 3}') for expression in expressions]
    pairs = [pair for pair in zip(searches, rust(function, searches), strict=True) if "refused" not in pair[1]]
    assert [pair for search, outcome in pairs if (pair := difference(*search, outcome))] == []
    assert len(pairs) > 100
