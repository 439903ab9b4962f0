"""HTTP APIs imported from OpenAPI, and called as AWS lets them be called.

MiniStack creates the API of a stack without the routes in its ``Body``. Here the import makes routes, integrations, JWT
authorizers and CORS, as do the calls of API Gateway. A function is invoked if its policy lets the route do so.

Not here: integrations other than Lambda's, authorizers other than JWT's, throttling and access logs.
"""

import json
from functools import wraps
from typing import Any

from ministack.services import apigateway
from ministack.services.cloudformation import provisioners

from local_cloud.resource_policies import permits_invocation
from local_cloud.rest_api import DocumentRefused

Properties = dict[str, Any]

_METHODS = {"get", "put", "post", "delete", "options", "head", "patch"}
_ANY = "x-amazon-apigateway-any-method"


class _Import:
    """Fills an API with what an OpenAPI document says."""

    def __init__(self, api_id: str, document: Properties) -> None:
        self._api_id = api_id
        self._document = document
        self._authorizers: dict[str, str] = {}
        self._integrations: dict[str, str] = {}

    def run(self) -> None:
        api = apigateway._apis[self._api_id]
        api["name"] = self._document["info"]["title"]
        api.pop("corsConfiguration", None)
        if cors := self._document.get("x-amazon-apigateway-cors"):
            api["corsConfiguration"] = cors
        for records in (apigateway._routes, apigateway._integrations, apigateway._authorizers):
            records[self._api_id] = {}
        for path, item in self._document["paths"].items():
            for verb, operation in item.items():
                if verb in _METHODS or verb == _ANY:
                    self._add(path, "ANY" if verb == _ANY else verb.upper(), operation)

    def _add(self, path: str, verb: str, operation: Properties) -> None:
        key = "$default" if path == "/$default" else f"{verb} {path}"
        if "x-amazon-apigateway-integration" not in operation:
            raise DocumentRefused(f"{key} has no x-amazon-apigateway-integration")
        route = {
            "routeKey": key,
            "operationName": operation.get("operationId", ""),
            "target": f"integrations/{self._integration(operation['x-amazon-apigateway-integration'])}",
        }
        # An operation without security is open, whatever the document says for all.
        for requirement in operation.get("security", []):
            [(name, scopes)] = requirement.items()
            route |= {
                "authorizationType": "JWT",
                "authorizerId": self._authorizer(name),
                "authorizationScopes": scopes,
            }
        apigateway._create_route(self._api_id, route)

    def _resolve(self, value: Properties) -> Properties:
        if "$ref" not in value:
            return value
        found: Any = self._document
        for step in value["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return found

    def _integration(self, given: Properties) -> str:
        integration = self._resolve(given)
        if integration["type"].upper() != "AWS_PROXY" or integration.get("payloadFormatVersion") != "2.0":
            raise DocumentRefused("This cloud has integrations of the type aws_proxy and the payload version 2.0 only")
        key = json.dumps(integration, sort_keys=True)
        if key not in self._integrations:
            settings = {
                "integrationType": "AWS_PROXY",
                "integrationUri": integration["uri"],
                "integrationMethod": integration["httpMethod"],
                "payloadFormatVersion": integration["payloadFormatVersion"],
                "timeoutInMillis": integration.get("timeoutInMillis", 30000),
            }
            self._integrations[key] = _created(apigateway._create_integration(self._api_id, settings))["integrationId"]
        return self._integrations[key]

    def _authorizer(self, name: str) -> str:
        schemes = self._document.get("components", {}).get("securitySchemes", {})
        authorizer = schemes.get(name, {}).get("x-amazon-apigateway-authorizer", {})
        configuration = authorizer.get("jwtConfiguration", {})
        if authorizer.get("type") != "jwt" or not configuration.get("issuer") or not configuration.get("audience"):
            raise DocumentRefused(f"{name} is no authorizer of the type jwt with an issuer and an audience")
        if name not in self._authorizers:
            settings = {
                "name": name,
                "authorizerType": "JWT",
                "identitySource": [authorizer["identitySource"]],
                "jwtConfiguration": configuration,
            }
            self._authorizers[name] = _created(apigateway._create_authorizer(self._api_id, settings))["authorizerId"]
        return self._authorizers[name]


def _created(answer: tuple[int, dict[str, str], bytes]) -> Properties:
    return json.loads(answer[2])


def _is_permitted(integration: Properties, api_id: str, stage: str, method: str, route_key: str) -> bool:
    """Whether the function's policy lets this route of the API invoke it."""
    reference = apigateway._extract_lambda_ref_from_integration_uri(integration["integrationUri"])
    account, region = apigateway.find_api_scope(api_id)
    path = route_key.partition(" ")[2] or f"/{route_key}"
    route_arn = f"arn:aws:execute-api:{region}:{account}:{api_id}/{stage}/{method}{path}"
    return permits_invocation(reference, "apigateway.amazonaws.com", route_arn)


def install() -> None:
    invoke, unauthorized = apigateway._invoke_lambda_proxy, apigateway._jwt_unauthorized
    handlers = provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"]
    create_api, update_api, delete_api = handlers["create"], handlers["update"], handlers["delete"]

    def create(logical_id: str, properties: Properties, stack_name: str) -> Any:
        api_id, attributes = create_api(logical_id, properties, stack_name)
        if "Body" in properties:
            try:
                _Import(api_id, properties["Body"]).run()
            except DocumentRefused:
                delete_api(api_id, properties)
                raise
        return api_id, attributes

    def update(api_id: str, old: Properties, new: Properties, *more: Any) -> Any:
        updated = update_api(api_id, old, new, *more)
        if "Body" in new:
            _Import(updated[0], new["Body"]).run()
        return updated

    @wraps(invoke)
    async def invoke_if_permitted(
        integration: Properties, api_id: str, stage: str, path: str, method: str, *more: Any, **named: Any
    ) -> Any:
        # After path and method: headers, body, query and the route's key.
        if not _is_permitted(integration, api_id, stage, method, more[3]):
            return 500, {"Content-Type": "application/json"}, b'{"message":"Internal Server Error"}'
        return await invoke(integration, api_id, stage, path, method, *more, **named)

    def challenge(*arguments: Any) -> Any:
        status, headers, body = unauthorized(*arguments)
        # Troubleshooting issues with HTTP API JWT authorizers.
        return status, headers | {"www-authenticate": "Bearer"}, body

    apigateway._invoke_lambda_proxy = invoke_if_permitted
    apigateway._jwt_unauthorized = challenge
    provisioners._RESOURCE_HANDLERS["AWS::ApiGatewayV2::Api"] = handlers | {"create": create, "update": update}
