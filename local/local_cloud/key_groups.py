"""Stacks can create CloudFront's public keys and key groups, with the refusals of its API.

MiniStack has the calls, takes any text for a key, and has no such types in its stacks.
"""

from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element, fromstring, tostring

from ministack.services import cloudfront
from ministack.services.cloudformation import provisioners

from local_cloud import signed_requests

MAXIMUM_KEYS_IN_GROUP = 5
COMMENT_LENGTH = 128

Properties = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]

_parse_key = cloudfront._parse_public_key_config
_create_key = cloudfront._create_public_key
_parse_group = cloudfront._parse_key_group_config


def _parse_checked_key(element: Element) -> tuple[Properties | None, Answer | None]:
    config, error = _parse_key(element)
    if error:
        return config, error
    if len(config["Comment"]) > COMMENT_LENGTH:
        return None, cloudfront._error("InvalidArgument", "The comment is longer than 128 characters.", 400)
    try:
        signed_requests.public_key(config["EncodedKey"])
    except ValueError:
        message = "Your request contains empty/invalid/out of limits RSA Encoded Key"
        return None, cloudfront._error("InvalidArgument", message, 400)
    return config, None


def _create_other_key(body: bytes) -> Answer:
    element = cloudfront._parse_body(body)
    if element is not None:
        taken = [key["Config"] for key in cloudfront._public_keys.values()]
        for field in ("Name", "CallerReference"):
            if cloudfront._text(element, field) in [config[field] for config in taken]:
                return cloudfront._error("PublicKeyAlreadyExists", "The specified public key already exists.", 409)
    return _create_key(body)


def _parse_checked_group(element: Element) -> tuple[Properties | None, Answer | None]:
    config, error = _parse_group(element)
    if not error and len(config["Items"]) > MAXIMUM_KEYS_IN_GROUP:
        message = "The number of public keys in this key group is more than the maximum allowed."
        return None, cloudfront._error("TooManyPublicKeysInKeyGroup", message, 400)
    return config, error


def _result(kind: str, answer: Answer) -> Element:
    """The element of an answer; a refusal of CloudFront fails the stack, in its words."""
    status, _, body = answer
    element = cloudfront._strip_namespace(fromstring(body)) if body else Element("None")
    if status >= 400:
        raise ValueError(f"Invalid request provided: {kind}: {element.findtext('.//Message')}")
    return element


def _handlers(
    name: str,
    time: str,
    store: Callable[[], Any],
    create: Callable[[bytes], Answer],
    update: Callable[[str, dict[str, str], bytes], Answer],
    delete: Callable[[str, dict[str, str]], Answer],
) -> dict[str, Any]:
    kind, config = f"AWS::CloudFront::{name}", f"{name}Config"

    def body_of(properties: Properties) -> bytes:
        element = Element(config)
        cloudfront._render_config_member(element, cloudfront._api_shape(config), properties.get(config))
        return tostring(element)

    def attributes(element: Element) -> tuple[str, dict[str, str]]:
        identifier = element.findtext("Id")
        return identifier, {"Id": identifier, time: element.findtext(time)}

    def _create(logical_id: str, properties: Properties, stack: str) -> tuple[str, dict[str, str]]:
        return attributes(_result(kind, create(body_of(properties))))

    def _update(identifier: str, old: Properties, new: Properties, stack: str) -> tuple[str, dict[str, str]]:
        version = {"if-match": store()[identifier]["ETag"]}
        return attributes(_result(kind, update(identifier, version, body_of(new))))

    def _delete(identifier: str, properties: Properties) -> None:
        if existing := store().get(identifier):
            _result(kind, delete(identifier, {"if-match": existing["ETag"]}))

    return {"create": _create, "update": _update, "delete": _delete}


def install() -> None:
    cloudfront._parse_public_key_config = _parse_checked_key
    cloudfront._create_public_key = _create_other_key
    cloudfront._parse_key_group_config = _parse_checked_group
    provisioners._RESOURCE_HANDLERS["AWS::CloudFront::PublicKey"] = _handlers(
        "PublicKey",
        "CreatedTime",
        lambda: cloudfront._public_keys,
        _create_other_key,
        cloudfront._update_public_key,
        cloudfront._delete_public_key,
    )
    provisioners._RESOURCE_HANDLERS["AWS::CloudFront::KeyGroup"] = _handlers(
        "KeyGroup",
        "LastModifiedTime",
        lambda: cloudfront._key_groups,
        cloudfront._create_key_group,
        cloudfront._update_key_group,
        cloudfront._delete_key_group,
    )
