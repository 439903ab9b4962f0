"""What a mapping template relies on in API Gateway holds in the local cloud."""

import json
from pathlib import Path
from typing import Any

import pytest
from local_cloud.mapping_template import BodyNotJson, MappingTemplateError, Parameters, Rendering, render

ESCAPED = r"""$util.escapeJavaScript($input.path('$.text')).replaceAll("\\'", "'")"""


def rendering(template: str, body: str = "", parameters: Parameters | None = None) -> Rendering:
    context = {"requestId": "r-1", "authorizer": {"claims": {"sub": "student", "cognito:username": "ada"}}}
    return render(template, body, parameters or Parameters(), context, {"table": "notes"})


def text(template: str, body: str = "", parameters: Parameters | None = None) -> str:
    return rendering(template, body, parameters).text


def test_an_escaped_value_is_the_same_string_in_json_whatever_it_is() -> None:
    """ "The escaped single quotes are not valid in JSON. Thus, when the output from this function is used in a JSON
    property, you must turn any escaped single quotes (\\') back to regular single quotes (')" (mapping template
    reference)."""
    characters = [chr(code) for code in range(0x10000)] + ["\U0001f600", "\U0010ffff"]
    awkward = [
        "",
        "'",
        "\\'",
        "\\\\'",
        "'\\",
        "''",
        "\\\\",
        '"\\"',
        "\\u0027",
        "$input.body",
        "#set($x = 1)$x",
        "${x}",
        "## x",
        "$util.urlEncode('x')",
        "__FORMAL_REFERENCE__REPLACE_TEXT__",
        '{"S": "x"}',
        "</script>",
        "".join(reversed(characters)),
    ]
    for value in characters[::97] + awkward:
        assert json.loads(f'"{text(ESCAPED, json.dumps({"text": value}))}"') == value


def test_escape_java_script_writes_what_commons_lang_writes() -> None:
    """ "Escapes the characters in a string using JavaScript string rules" (mapping template reference)."""
    body = json.dumps({"text": "\"'\\/ \b\n\t\f\r \x01\x1f\x7f é\u2028\U0001f600"})
    assert text("$util.escapeJavaScript($input.path('$.text'))", body) == (
        r"""\"\'\\\/ \b\n\t\f\r \u0001\u001F""" "\x7f" r""" \u00E9\u2028\uD83D\uDE00"""
    )


def test_a_missing_field_is_an_empty_string() -> None:
    body = '{"a": {"b": null}}'
    for path in ("$.x", "$.a.x.y", "$.a.b", "$.a[0]"):
        assert text(f"[$input.path('{path}')]", body) == "[]"
    assert text("#if($input.path('$.x') == \"\")missing#{else}there#end", body) == "missing"


def test_only_false_is_false() -> None:
    """The measurement in LocalStack's fork of airspeed: API Gateway takes the branch of an undefined reference."""
    for value in ("$undefined", "$input.path('$.x')", "0", '""', "true"):
        assert text(f"#if({value})yes#{{else}}no#end") == "yes"
    assert text("#if(false)yes#{else}no#end") == "no"
    assert text("#if(!$undefined)yes#{else}no#end") == "no"


def test_parameters_are_found_in_the_path_then_the_query_string_then_the_headers() -> None:
    """ "From the path, query string, or header value (searched in that order)" (mapping template reference)."""
    headers = {"a": "header", "b": "header", "x-c": "header"}
    parameters = Parameters({"a": "path"}, {"a": "query", "b": "query"}, headers)
    template = "$input.params('a') $input.params('b') $input.params('X-C') [$input.params('d')]"
    assert text(template, parameters=parameters) == "path query header []"
    assert text("$input.params().querystring.get('a')", parameters=parameters) == "query"


def test_the_context_and_the_stage_variables_can_be_read() -> None:
    template = "$context.requestId $context.authorizer.claims.sub $context.authorizer.claims['cognito:username']"
    assert text(f"{template} $stageVariables.table") == "r-1 student ada notes"


def test_a_loop_knows_whether_there_is_more() -> None:
    template = "#foreach($item in $input.path('$.items'))$item.name#if($foreach.hasNext), #end#end"
    assert text(template, '{"items": [{"name": "a"}, {"name": "b"}]}') == "a, b"


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        (r"'a1b22c'.replaceAll('(\d+)', '<$1>')", "a<1>b<22>c"),
        (r"'a.b'.replaceAll('.', '\$')", "$$$"),
        (r"'a.b'.replace('.', '$1')", "a$1b"),
        ("'a,b,,'.split(',').size()", "2"),
        ("'x'.split(',').get(0)", "x"),
        ("'\U0001f600'.length()", "2"),
        ("'\U0001f600ab'.substring(2, 3)", "a"),
        ("'abc'.indexOf('z')", "-1"),
        ("'a\u2028b'.matches('a.b')", "false"),
        ("'ab'.matches('a')", "false"),
        ("'a'.equals('a')", "true"),
        ("' a '.trim()", "a"),
    ],
)
def test_a_string_has_the_methods_of_java(expression: str, result: str) -> None:
    literal, _, call = expression.partition("'.")
    assert text(f"#set($text = {literal}')$text.{call}") == result


def test_dynamodb_placeholders_are_not_directives() -> None:
    template = '{"UpdateExpression": "SET #s = :s, #n=:n", "ExpressionAttributeNames": {"#s": "s", "#n": "n"}}'
    assert text(template) == template


def test_the_response_can_be_overridden_once() -> None:
    """ "Overrides are final. An override may only be applied to each parameter once" (Override your API's request and
    response parameters and status codes)."""
    template = """#set($context.responseOverride.status = 409)
        #set($context.responseOverride.header.X-A = "$context.requestId")"""
    rendered = rendering(template)
    assert (rendered.status, rendered.headers) == (409, {"X-A": "r-1"})
    with pytest.raises(MappingTemplateError, match="more than once"):
        rendering(template + "#set($context.responseOverride.status = 410)")


@pytest.mark.parametrize(
    "template",
    [
        "#if($a == 1)",
        "#set($a = )",
        "#set($a = null)",
        "#set($a = 3 -1)",
        '#if("abc".contains("b"))a#end',
        '#set($a = "b\\")',
        "$context.requestId.noSuchMethod()",
        "$util.noSuchFunction('a')",
        "$input.path('$..a')",
        "#set($a = '~')#set($b = $a.split('~'))$b[0]",
        "#set($a = '~')#set($b = $a.split('~'))$b",
        "$util.urlDecode('%')",
        "$util.urlDecode('%zz')",
        "$util.base64Decode('%')",
        "#set($context.requestOverride.header.a = 'b')",
        "#if($undefined > 1)a#end",
    ],
)
def test_a_template_that_cannot_be_rendered_is_an_error(template: str) -> None:
    with pytest.raises(MappingTemplateError):
        text(template)


def test_a_body_that_is_not_json_is_told_from_a_broken_template() -> None:
    with pytest.raises(BodyNotJson):
        text("#if(true)$input.path('$.a')#end", "a=1")
    assert text("$input.body", "a=1") == "a=1"


@pytest.mark.parametrize("case", json.loads((Path(__file__).parent / "velocity.json").read_text()))
def test_what_velocity_refuses_is_refused_and_all_else_is_what_velocity_renders(case: dict[str, Any]) -> None:
    """The file holds answers of Apache Velocity 1.7."""
    try:
        rendered = vars(rendering(case["template"]))
    except MappingTemplateError:
        rendered = None
    assert rendered == case["rendered"]
