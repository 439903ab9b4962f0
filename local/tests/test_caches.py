"""A replication group of a stack: a real Valkey, TLS, and IAM authentication."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone

import pytest
from botocore.credentials import Credentials
from directory_stack import SUBNETS, credentials, deploy, signed_token
from local_cloud.faults import Faults
from local_cloud.valkey_front import command
from running_cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud

RESOURCES = {
    "Subnets": {"Type": "AWS::ElastiCache::SubnetGroup", "Properties": {"Description": "-", "SubnetIds": SUBNETS}},
    "User": {
        "Type": "AWS::ElastiCache::User",
        "Properties": {
            "UserId": "school-client",
            "UserName": "school-client",
            "Engine": "valkey",
            "AuthenticationMode": {"Type": "iam"},
            "AccessString": "on ~school:* -@all +@connection +get +set",
        },
    },
    "Users": {
        "Type": "AWS::ElastiCache::UserGroup",
        "Properties": {"UserGroupId": "school", "Engine": "valkey", "UserIds": [{"Ref": "User"}]},
    },
    "Cache": {
        "Type": "AWS::ElastiCache::ReplicationGroup",
        "Properties": {
            "ReplicationGroupId": "school-cache",
            "ReplicationGroupDescription": "-",
            "Engine": "valkey",
            "CacheNodeType": "cache.t4g.micro",
            "CacheSubnetGroupName": {"Ref": "Subnets"},
            "TransitEncryptionEnabled": True,
            "UserGroupIds": [{"Ref": "Users"}],
        },
    },
}
OUTPUTS = {
    "Host": {"Fn::GetAtt": "Cache.PrimaryEndPoint.Address"},
    "Port": {"Fn::GetAtt": "Cache.PrimaryEndPoint.Port"},
}
ROOT = Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
WRONG = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"


class Cache:
    """The deployed cache."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.at = deploy(cloud, "school-cache", RESOURCES, OUTPUTS)
        self._trusted = ssl.create_default_context(cafile=cloud.certificate_authority)

    def connect(self) -> socket.socket:
        plain = socket.create_connection((self.at["Host"], int(self.at["Port"])), timeout=5)
        return self._trusted.wrap_socket(plain, server_hostname=self.at["Host"])

    def answers(self, *commands: list[str]) -> bytes:
        """The answers to commands that are sent together, on a connection of their own."""
        with closing(self.connect()) as connection:
            asked = [command(*(word.encode() for word in words)) for words in [*commands, ["QUIT"]]]
            connection.sendall(b"".join(asked))
            answer = b""
            while received := connection.recv(4096):
                answer += received
        return answer.removesuffix(b"+OK\r\n")


@pytest.fixture(scope="module")
def cache(cloud: Cloud) -> Iterator[Cache]:
    yield Cache(cloud)
    stacks = cloud.client("cloudformation")
    stacks.delete_stack(StackName="school-cache")
    stacks.get_waiter("stack_delete_complete").wait(StackName="school-cache", WaiterConfig={"Delay": 1})


def token(signer: Credentials = ROOT, cache: str = "school-cache", user: str = "school-client") -> str:
    return signed_token(signer, "elasticache", cache, {"User": user})


def test_a_client_with_a_token_does_what_its_user_may_do(cache: Cache) -> None:
    login = ["AUTH", "school-client", token()]
    assert cache.at["Port"] == "6379"
    answer = cache.answers(login, ["SET", "school:a", "1"], ["GET", "school:a"], ["GET", "other"], ["FLUSHALL"])
    assert answer.splitlines()[:4] == [b"+OK", b"+OK", b"$1", b"1"]
    assert answer.splitlines()[4].startswith(b"-NOPERM")
    assert answer.splitlines()[5].startswith(b"-NOPERM")
    # "in the Valkey or Redis OSS AUTH or HELLO command" (Authenticating with IAM).
    assert b"proto" in cache.answers(["HELLO", "3", *login])


@pytest.mark.parametrize("commands", [[], [["AUTH", token()]], [["AUTH", "default", ""]], [["HELLO", "3"]]])
def test_a_client_without_a_user_does_nothing(cache: Cache, commands: list[list[str]]) -> None:
    assert b"NOAUTH" in cache.answers(*commands, ["GET", "school:a"]).splitlines()[-1]


def test_a_token_is_for_one_cache_and_user_and_for_15_minutes(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    # "The IAM authentication token is valid for 15 minutes" (Authenticating with IAM).
    signed_at = datetime.now(timezone.utc) - timedelta(minutes=16)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: signed_at)
    late = token()
    monkeypatch.undo()
    for refused in (late, token(cache="another"), token(user="another"), "none"):
        assert cache.answers(["AUTH", "school-client", refused]) == WRONG


def test_the_signer_needs_permission_for_the_cache_and_the_user(cache: Cache) -> None:
    cloud = cache.cloud
    role = cloud.create_role("cache-client", "lambda.amazonaws.com")
    arn = f"arn:aws:elasticache:{REGION}:000000000000"
    cloud.allow("cache-client", "elasticache:Connect", f"{arn}:replicationgroup:school-cache")
    assert cache.answers(["AUTH", "school-client", token(credentials(cloud, role))]) == WRONG
    cloud.allow("cache-client", "elasticache:Connect", f"{arn}:*:school-c*")
    assert cache.answers(["AUTH", "school-client", token(credentials(cloud, role))]) == b"+OK\r\n"


def test_an_iam_user_has_its_id_as_its_name(cloud: Cloud) -> None:
    user = RESOURCES["User"]["Properties"] | {"UserId": "one", "UserName": "another"}
    template = {"Resources": {"User": {"Type": "AWS::ElastiCache::User", "Properties": user}}}
    [reason] = cloud.deploy("two-names", TemplateBody=str(template).replace("'", '"'))
    # Authenticating with IAM, Limitations.
    assert "the username and user id properties must be identical" in reason


def test_a_cache_can_hang_and_end_and_come_back_empty(cache: Cache) -> None:
    faults, login = Faults(cache.cloud.endpoint_url), ["AUTH", "school-client", token()]
    cache.answers(login, ["SET", "school:b", "1"])
    faults.freeze("cache/school-cache")
    with closing(cache.connect()) as connection:
        connection.settimeout(0.2)
        connection.sendall(command(b"PING"))
        with pytest.raises(TimeoutError):
            connection.recv(1)
    faults.thaw("cache/school-cache")
    assert cache.answers(login, ["GET", "school:b"]) == b"+OK\r\n$1\r\n1\r\n"
    faults.kill("cache/school-cache")
    # The front closes the connection, before TLS has begun or while it begins.
    with pytest.raises((ConnectionError, ssl.SSLEOFError)):
        cache.answers(login)
    faults.start("cache/school-cache")
    assert cache.answers(login, ["GET", "school:b"]) == b"+OK\r\n$-1\r\n"


def test_a_cache_is_full_until_it_is_started_again(cache: Cache) -> None:
    faults, login = Faults(cache.cloud.endpoint_url), ["AUTH", "school-client", token()]
    faults.stop("cache/school-cache")
    faults.start("cache/school-cache", maxmemory="1")
    assert cache.answers(login, ["SET", "school:b", "1"]).splitlines()[1].startswith(b"-OOM")
    faults.stop("cache/school-cache")
    faults.start("cache/school-cache")
    assert cache.answers(login, ["SET", "school:b", "1"]) == b"+OK\r\n+OK\r\n"
