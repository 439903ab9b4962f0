"""Replication groups of a stack are real Valkey servers, with TLS and IAM authentication.

MiniStack runs a cache in Docker, or leads to one that runs already. Here a group is one Valkey server; its endpoint is
an address of this machine, with the port that it has on AWS. A user of the group's user groups gives an IAM token as
the password; its signer needs ``elasticache:Connect`` on the group and on the user. Valkey enforces the user's access
string.

Not here: replicas of a cache, shards, and users with passwords.
"""

import logging
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region, request_scope
from ministack.services import elasticache

from local_cloud import connection_tokens, server_page
from local_cloud.certificates import cloud_authority
from local_cloud.fronts import free_address
from local_cloud.refusals import guard_resource
from local_cloud.servers import Valkey
from local_cloud.valkey_front import ValkeyFront

logger = logging.getLogger(__name__)

Properties = dict[str, Any]

PORT = 6379


class _Cache:
    """The server and the endpoint of a replication group."""

    def __init__(self, identifier: str, users: list[Properties]) -> None:
        self._identifier = identifier
        self._account, self._region = get_account_id(), get_region()
        # What Valkey knows, instead of tokens.
        self._password = secrets.token_hex()
        self._users = {user["UserName"]: user for user in users}
        self._place = Path(tempfile.gettempdir()) / "caches" / identifier
        shutil.rmtree(self._place, ignore_errors=True)
        self.server = Valkey(self._place, {name: self._rules(user) for name, user in self._users.items()})
        self.front = ValkeyFront(
            free_address(PORT), PORT, cloud_authority().server_context, self.server.port, self._authenticate
        )
        server_page.parts[f"cache/{identifier}"] = self.server

    def _rules(self, user: Properties) -> str:
        return f"{user['AccessString']} >{self._password}"

    def update_user(self, user: Properties) -> None:
        if user["UserName"] in self._users:
            self.server.set_user(user["UserName"], self._rules(user))
            self.server.stop()
            self.server.start()

    def _authenticate(self, name: str, token: str) -> str | None:
        if name not in self._users:
            return None
        with request_scope(self._account, self._region):
            resources = [elasticache._arn_replication_group(self._identifier), self._users[name]["ARN"]]
            try:
                connection_tokens.check(
                    token,
                    "elasticache",
                    self._identifier,
                    {"User": name},
                    self._region,
                    "elasticache:Connect",
                    resources,
                )
            except connection_tokens.TokenRefused as refusal:
                logger.warning("the cache refuses %s: %s", name, refusal)
                return None
        return self._password

    def delete(self) -> None:
        self.front.listener.close()
        del server_page.parts[f"cache/{self._identifier}"]
        self.server.stop()
        shutil.rmtree(self._place)


_caches = AccountRegionScopedDict()


def _check_group(properties: Properties) -> None:
    if properties.get("Engine") != "valkey" or int(properties.get("NumNodeGroups", 1)) != 1:
        raise ValueError("The local cloud has caches with the engine valkey and one node group only")
    if properties.get("TransitEncryptionEnabled") not in (True, "true"):
        # "IAM authentication requires TLS" (Amazon ElastiCache User Guide, Authenticating with IAM).
        raise ValueError("The local cloud has caches with TransitEncryptionEnabled only")
    if not properties.get("UserGroupIds"):
        raise ValueError("The local cloud has caches with UserGroupIds only")


def _check_user(properties: Properties) -> None:
    if properties.get("AuthenticationMode", {}).get("Type") != "iam":
        raise ValueError("The local cloud has users of caches with the AuthenticationMode iam only")
    if properties["UserId"] != properties["UserName"]:
        # Amazon ElastiCache User Guide, Authenticating with IAM, Limitations.
        raise ValueError("For IAM-enabled ElastiCache users, the username and user id properties must be identical")


def _create_group(parameters: Properties) -> Any:
    identifier = parameters["ReplicationGroupId"]
    groups = elasticache._extract_configs(parameters, "UserGroupIds", ("member", "UserGroupId"))
    users = [elasticache._users[user] for group in groups for user in elasticache._user_groups[group]["UserIds"]]
    cache = _caches[identifier] = _Cache(identifier, users)
    answer = create_group(parameters)
    if answer[0] >= 400:
        _caches.pop(identifier).delete()
        return answer
    group = elasticache._replication_groups[identifier]
    endpoint = {"Address": cache.front.listener.address, "Port": PORT}
    for nodes in group["NodeGroups"]:
        nodes["PrimaryEndpoint"] = nodes["ReaderEndpoint"] = endpoint
        for member in nodes["NodeGroupMembers"]:
            member["ReadEndpoint"] = endpoint
    return answer


def _delete_group(parameters: Properties) -> Any:
    if cache := _caches.pop(parameters["ReplicationGroupId"], None):
        cache.delete()
    return delete_group(parameters)


def _modify_user(parameters: Properties) -> Any:
    answer = modify_user(parameters)
    for cache in _caches.values():
        cache.update_user(elasticache._users[parameters["UserId"]])
    return answer


create_group, delete_group = elasticache._create_replication_group, elasticache._delete_replication_group
modify_user = elasticache._modify_user


def install() -> None:
    # A stack creates and deletes these through the calls.
    elasticache._create_replication_group = _create_group
    elasticache._delete_replication_group = _delete_group
    elasticache._modify_user = _modify_user
    guard_resource("AWS::ElastiCache::ReplicationGroup", _check_group)
    guard_resource("AWS::ElastiCache::User", _check_user)
