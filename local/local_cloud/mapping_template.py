"""API Gateway mapping templates, rendered by airspeed with the semantics of the Java engine behind API Gateway.

airspeed implements the language, with Python's methods and truth. Here a template calls Java's: the methods of
``String``, ``List`` and ``Map``, Java's regular expressions, lengths in UTF-16 units. A name that is not implemented
is an error rather than an empty string, so that a template never fails silently. It refuses what Apache Velocity 1.7
refuses; the tests compare the two.
"""

import base64
import functools
import json
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airspeed import Template, operators


class MappingTemplateError(Exception):
    """The template cannot be rendered."""


class BodyNotJson(MappingTemplateError):
    """The template reads fields of a body that is not JSON."""


@dataclass
class Parameters:
    path: dict[str, str] = field(default_factory=dict)
    querystring: dict[str, str] = field(default_factory=dict)
    header: dict[str, str] = field(default_factory=dict)


@dataclass
class Rendering:
    text: str
    status: int | None
    headers: dict[str, str]


def render(
    template: str,
    body: str,
    parameters: Parameters,
    context: dict[str, Any],
    stage_variables: dict[str, str],
) -> Rendering:
    """The text of the template, and the response status and headers that it overrides."""
    override = _SetOnce(header=_SetOnce())
    variables = {
        "input": _Input(body, parameters),
        "util": _Util(),
        "context": {**context, "responseOverride": override},
        "stageVariables": stage_variables,
    }
    try:
        text = _parse(template).merge(variables)
        status = int(override["status"]) if "status" in override else None
        headers = {name: _java_string(value) for name, value in override["header"].items()}
    except Exception as error:
        # airspeed wraps the exceptions of methods; those of its parser have no common base class.
        if isinstance(error.__cause__, BodyNotJson):
            raise error.__cause__ from None
        raise MappingTemplateError(str(error)) from error
    return Rendering(text, status, headers)


def json_path(document: Any, path: str) -> Any:
    """The value at a definite JSONPath such as ``$.a['b'][0]``; LookupError if there is none."""
    if not _JSON_PATH.fullmatch(path):
        raise MappingTemplateError(f"JSONPath {path!r} is not supported")
    for name, quoted, index in _JSON_PATH_STEP.findall(path):
        kind, key = (list, int(index)) if index else (dict, name or quoted[1:-1])
        if not isinstance(document, kind):
            raise LookupError(path)
        document = document[key]
    return document


_JSON_PATH_STEP = re.compile(r"""\.([^.\[\]'"\s*]+)|\[(?:('[^']*'|"[^"]*")|(\d+))\]""")
_JSON_PATH = re.compile(rf"\$(?:{_JSON_PATH_STEP.pattern})*")


def parse_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda constant: _refuse(f"{constant} is not JSON"))
    except (ValueError, RecursionError) as error:
        raise BodyNotJson(str(error)) from error


def _refuse(reason: str) -> None:
    raise ValueError(reason)


class _SetOnce(dict):
    """The overrides: API Gateway answers 5XX when a template sets one of them twice."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            raise MappingTemplateError(f"{name} is overridden more than once")
        super().__setitem__(name, value)


class _Input:
    def __init__(self, body: str, parameters: Parameters) -> None:
        self.body = body
        self._parameters = parameters

    @functools.cached_property
    def _document(self) -> Any:
        return parse_json(self.body) if self.body else {}

    def path(self, path: str) -> Any:
        try:
            return json_path(self._document, path)
        except LookupError:
            return ""

    def json(self, path: str) -> str:
        return _json_text(self.path(path))

    def params(self, name: str | None = None) -> Any:
        if name is None:
            return vars(self._parameters)
        for values in (self._parameters.path, self._parameters.querystring):
            if name in values:
                return values[name]
        return next((v for k, v in self._parameters.header.items() if k.lower() == name.lower()), "")


class _Util:
    def escapeJavaScript(self, value: Any) -> str:
        return "".join(map(_escape, _java_string(value)))

    def parseJson(self, text: str) -> Any:
        return parse_json(text)

    def urlEncode(self, text: Any) -> str:
        # java.net.URLEncoder leaves "*" and encodes "~"; Python does the opposite.
        return urllib.parse.quote_plus(_java_string(text), safe="*", errors="replace").replace("~", "%7E")

    def urlDecode(self, text: Any) -> str:
        # "throw an IllegalArgumentException. Which approach the decoder takes is left to the implementation"
        # (java.net.URLDecoder); OpenJDK's throws.
        if re.search("%(?![0-9A-Fa-f]{2})", _java_string(text)):
            raise MappingTemplateError("urlDecode: an incomplete or illegal escape (%) pattern")
        return urllib.parse.unquote_plus(_java_string(text))

    def base64Encode(self, text: Any) -> str:
        return base64.b64encode(_java_string(text).encode("utf-8", "replace")).decode()

    def base64Decode(self, text: str) -> str:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")


_ESCAPES = {
    '"': '\\"',
    "'": "\\'",
    "\\": "\\\\",
    "/": "\\/",
    "\b": "\\b",
    "\n": "\\n",
    "\t": "\\t",
    "\f": "\\f",
    "\r": "\\r",
}


def _escape(character: str) -> str:
    """One character as StringEscapeUtils.escapeJavaScript of commons-lang, which API Gateway uses, writes it."""
    if character in _ESCAPES:
        return _ESCAPES[character]
    if " " <= character <= "\x7f":
        return character
    units = _utf16(character)
    return "".join(f"\\u{units[i + 1]:02X}{units[i]:02X}" for i in range(0, len(units), 2))


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def _length(text: str) -> int:
    return len(_utf16(text)) // 2


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = _length(text) if end is None else end
    if not 0 <= start <= end <= _length(text):
        raise IndexError(f"substring({start}, {end}) of a string of length {_length(text)}")
    return _utf16(text)[2 * start : 2 * end].decode("utf-16-le", "surrogatepass")


def _index(text: str, position: int) -> int:
    return position if position < 0 else _length(text[:position])


# The line terminators of "." and "$" in java.util.regex; Python has only the line feed.
_LINE_END = "\n\r\u0085\u2028\u2029"


@functools.lru_cache
def _regex(pattern: str) -> re.Pattern[str]:
    """A Java regular expression, as far as the two languages share their syntax."""
    translated, in_class = "", False
    for token in re.findall(r"\\.|.", pattern, re.DOTALL):
        if token == "." and not in_class:
            token = f"[^{_LINE_END}]"
        elif token == "$" and not in_class:
            token = rf"(?=(?:\r\n|[{_LINE_END}])?\Z)"
        elif token in "[]":
            in_class = token == "["
        translated += token
    return re.compile(translated, re.ASCII)


def _replacement(text: str) -> Callable[[re.Match[str]], str]:
    """A Java replacement: a backslash takes the next character as it is, ``$1`` is a group."""

    def expand(match: re.Match[str]) -> str:
        return re.sub(
            r"\\(.)|\$(\d)",
            lambda part: part[1] if part[1] is not None else match[int(part[2])] or "",
            text,
            flags=re.DOTALL,
        )

    return expand


class _Array(list):
    """An array of Java, whose text is only the address of the object."""


def _split(text: str, pattern: str) -> _Array:
    pieces, end = _Array(), 0
    for match in _regex(pattern).finditer(text):
        if match.end() > 0:
            pieces.append(text[end : match.start()])
            end = match.end()
    if not pieces:
        return _Array([text])
    pieces.append(text[end:])
    while pieces and not pieces[-1]:
        pieces.pop()
    return pieces


_STRING_METHODS: dict[str, Callable[..., Any]] = {
    "concat": lambda text, other: text + other,
    "contains": lambda text, part: part in text,
    "endsWith": str.endswith,
    "equals": lambda text, other: text == other,
    "equalsIgnoreCase": lambda text, other: text.casefold() == _java_string(other).casefold(),
    "indexOf": lambda text, part: _index(text, text.find(part)),
    "isEmpty": lambda text: not text,
    "lastIndexOf": lambda text, part: _index(text, text.rfind(part)),
    "length": _length,
    "matches": lambda text, pattern: _regex(pattern).fullmatch(text) is not None,
    "replace": str.replace,
    "replaceAll": lambda text, pattern, by: _regex(pattern).sub(_replacement(by), text),
    "replaceFirst": lambda text, pattern, by: _regex(pattern).sub(_replacement(by), text, count=1),
    "split": _split,
    "startsWith": str.startswith,
    "substring": _substring,
    "toLowerCase": str.lower,
    "toString": lambda text: text,
    "toUpperCase": str.upper,
    "trim": lambda text: text.strip("".join(map(chr, range(33)))),
}
_LIST_METHODS: dict[str, Callable[..., Any]] = {
    "add": lambda items, item: items.append(item) or True,
    "contains": lambda items, item: item in items,
    "get": lambda items, index: items[index],
    "isEmpty": lambda items: not items,
    "size": len,
    "toString": lambda items: _java_string(items),
}
_MAP_METHODS: dict[str, Callable[..., Any]] = {
    "containsKey": lambda entries, key: key in entries,
    "entrySet": lambda entries: [{"key": key, "value": value} for key, value in entries.items()],
    "get": lambda entries, key: entries.get(key),
    "isEmpty": lambda entries: not entries,
    "keySet": list,
    "put": lambda entries, key, value: entries.update({key: value}),
    "size": len,
    "toString": lambda entries: _java_string(entries),
    "values": lambda entries: list(entries.values()),
}
_NUMBER_METHODS: dict[str, Callable[..., Any]] = {
    "parseInt": lambda _, text: int(text) if re.fullmatch("[-+]?[0-9]+", text) else _refuse(f"parseInt of {text!r}"),
}
_OTHER_METHODS: dict[str, Callable[..., Any]] = {
    "equals": lambda value, other: type(value) is type(other) and value == other,
    "toString": lambda value: _java_string(value),
}


def _methods(target: Any) -> dict[str, Callable[..., Any]]:
    if isinstance(target, (_Input, _Util)):
        return {name: method for name, method in vars(type(target)).items() if not name.startswith("_")}
    for kind, methods in ((str, _STRING_METHODS), (list, _LIST_METHODS), (dict, _MAP_METHODS)):
        if isinstance(target, kind):
            return methods
    if isinstance(target, int) and not isinstance(target, bool):
        return _OTHER_METHODS | _NUMBER_METHODS
    return _OTHER_METHODS


def _json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _java_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, _Array):
        raise MappingTemplateError("an array has no text")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}={_java_string(item)}" for key, item in value.items()) + "}"
    return _json_text(value)


def _is_true(value: Any) -> bool:
    """ "$foo is a boolean (true/false) which has a true value, or the value is not null" (Velocity User Guide).

    API Gateway puts an empty string in the place of null, so only ``false`` is false.
    """
    return value is not False


def _equal(left: Any, right: Any) -> bool:
    """Velocity compares values of different classes by what they print."""
    if isinstance(left, (dict, list)) and isinstance(right, (dict, list)):
        return left == right
    return _java_string(left) == _java_string(right)


def _plus(left: Any, right: Any) -> Any:
    if isinstance(left, str) or isinstance(right, str):
        return _java_string(left) + _java_string(right)
    return left + right


def _quotient(left: int, right: int) -> int:
    """Java rounds towards zero."""
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


_look_up_variable = operators.NameOrCall.calculate


def _name_or_call(self: Any, target: Any, loader: Any, namespace: Any) -> Any:
    """``.name``, ``.name(...)`` or ``.name[...]`` on a value; airspeed would look for Python attributes."""
    if isinstance(target, operators.LocalNamespace) and self.index is None:
        return _look_up_variable(self, target, loader, namespace)
    if target is None:
        return None
    if self.parameters is not None:
        method = _methods(target).get(self.name)
        if method is None:
            raise MappingTemplateError(f"{type(target).__name__.strip('_')} has no method {self.name} here")
        return method(target, *self.parameters.calculate(namespace, loader))
    if isinstance(target, operators.LocalNamespace):
        try:
            value = target[self.name]
        except KeyError:
            return None
    elif isinstance(target, dict):
        value = target.get(self.name)
    else:
        value = target.body if isinstance(target, _Input) and self.name == "body" else None
    if self.index is None:
        return value
    index = self.index.calculate(namespace, loader)
    if isinstance(value, dict):
        return value.get(index)
    # Velocity calls the method get(index) of a list, which raises, and finds none of a text.
    if isinstance(value, list) and not 0 <= index < len(value):
        raise MappingTemplateError(f"{self.name} has no element {index}")
    return value[index] if isinstance(value, list) else None


def _after(calculate: Callable[..., Any], convert: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda namespace, loader: convert(calculate(namespace, loader))


def _extend_parse(element: type, extend: Callable[[Any], None]) -> None:
    parse = element.parse

    def extended(self: Any) -> None:
        parse(self)
        extend(self)

    element.parse = extended


def _reference(self: Any) -> None:
    if self.calculate is not None:
        self.calculate = _after(self.calculate, lambda value: "" if value is None else value)


def _interpolated(self: Any) -> None:
    # airspeed would drop unreadable text, such as a backslash before the closing quote.
    if self.block.end != len(self.value):
        raise self.syntax_error("a string that can be interpolated")


def _foreach(self: Any) -> None:
    # Velocity iterates over the values of a map and not over a text; airspeed over the keys, and over the characters.
    self.value.calculate = _after(
        self.value.calculate,
        lambda value: list(value.values()) if isinstance(value, dict) else [] if isinstance(value, str) else value,
    )


def _binary_operator(self: Any) -> None:
    # To Velocity, "-1" is a number wherever it stands, so "3 -1" is two numbers.
    if self.my_text().endswith("-") and self.next_text()[:1].isdigit():
        raise self.syntax_error("a space before the number")


def _no_null(self: Any) -> None:
    raise operators.NoMatch("VTL has no null")


def _hash(self: Any) -> None:
    # airspeed prints a directive that it cannot read.
    if re.match(r"(if|elseif|foreach|set)\s*\(", self.next_text()):
        raise self.syntax_error("a complete directive")


operators.NameOrCall.calculate = _name_or_call
operators.Condition.calculate = lambda self, namespace, loader: _is_true(self.expression.calculate(namespace, loader))
operators.UnaryOperatorValue.calculate = lambda self, namespace, loader: (
    not _is_true(self.value.calculate(namespace, loader))
)
operators.BinaryOperator.OPERATORS.update(
    {
        "==": _equal,
        "eq": _equal,
        "!=": lambda left, right: not _equal(left, right),
        "ne": lambda left, right: not _equal(left, right),
        "+": _plus,
        "/": _quotient,
        "%": lambda left, right: left - _quotient(left, right) * right,
    }
)
operators.boolean_value = _is_true
operators.value_to_string = _java_string
# A value that is this text would be printed as the template's own source.
operators.REPLACE_FORMAL_TEXT = object()
_extend_parse(operators.FormalReference, _reference)
_extend_parse(operators.InterpolatedStringLiteral, _interpolated)
_extend_parse(operators.ForeachDirective, _foreach)
_extend_parse(operators.FallthroughHashText, _hash)
_extend_parse(operators.BinaryOperator, _binary_operator)
operators.NullLiteral.parse = _no_null


@functools.lru_cache
def _parse(template: str) -> Template:
    parsed = Template(template)
    parsed.ensure_compiled()
    return parsed
