"""Aurora clusters of a stack are real Postgres servers, with IAM authentication, and with a stand-in for RDS Proxy.

MiniStack keeps what a stack says of a cluster, invents its host names, and refuses a proxy. Here a cluster's first
instance is a Postgres server, and its second one a streaming replica, which the endpoint for reading leads to. Each
endpoint is an address of this machine, with the port that it has on AWS.

A user of the database connects with TLS. One that is a member of ``rds_iam`` gives an IAM token, whose signer needs
``rds-db:connect``; the master user gives the password in the secret that RDS keeps.

Not here: failover, snapshots, Aurora's own functions, and users with passwords other than the master user.
"""

import json
import logging
import secrets
import shutil
import string
import tempfile
from pathlib import Path
from typing import Any

from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region, new_uuid, request_scope
from ministack.services import cloudwatch, rds
from ministack.services.cloudformation import provisioners

from local_cloud import connection_tokens, server_page, worker_thread
from local_cloud.certificates import cloud_authority
from local_cloud.fronts import free_address
from local_cloud.postgres_front import PostgresFront, Refused, password_refused, token_refused
from local_cloud.postgres_proxy import PostgresProxy
from local_cloud.refusals import lacking
from local_cloud.role import root_client
from local_cloud.servers import HOST, SUPERUSER, Postgres

logger = logging.getLogger(__name__)

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]

PORT = 5432
# RDS's limit is 41 characters ("Password management with Amazon RDS and AWS Secrets Manager").
PASSWORD_LENGTH = 28


class _Cluster:
    """The servers and endpoints of a cluster."""

    def __init__(self, record: Properties) -> None:
        self._record = record
        self._account, self._region = get_account_id(), get_region()
        self._place = Path(tempfile.gettempdir()) / "databases" / record["DBClusterIdentifier"]
        shutil.rmtree(self._place, ignore_errors=True)
        self.primary = Postgres(self._place / "writer")
        self.replica: Postgres | None = None
        master, database = record["MasterUsername"], record["DatabaseName"]
        self.primary.run(
            f'CREATE ROLE rds_superuser; CREATE ROLE rds_iam; CREATE ROLE "{master}" LOGIN CREATEROLE CREATEDB; '
            f'GRANT rds_superuser TO "{master}" WITH ADMIN TRUE; '
            # The master user gives others the right to authenticate with IAM.
            f'GRANT rds_iam TO "{master}" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE'
        )
        if database:
            self.primary.run(f'CREATE DATABASE "{database}" OWNER "{master}"')
        # The front has authenticated the others.
        known = [f"all {SUPERUSER}", f"replication {SUPERUSER}", f'all "{master}"', "all +rds_iam"]
        self.primary.set_access([f"host {who} {HOST}/32 trust" for who in known])
        self.writer, self.reader = (self._front(self.primary) for _ in range(2))

    def _front(self, server: Postgres) -> PostgresFront:
        address, context = free_address(PORT), cloud_authority().server_context
        return PostgresFront(
            address, PORT, context, server.port, lambda user, password: self._authenticate(user, password, address)
        )

    def _authenticate(self, user: str, password: str, address: str) -> None:
        with request_scope(self._account, self._region):
            if user == self._record["MasterUsername"]:
                if not secrets.compare_digest(password.encode(), _master_password(self._record).encode()):
                    raise password_refused(user)
            elif not self._record["IAMDatabaseAuthenticationEnabled"]:
                raise password_refused(user)
            else:
                check_token(password, address, user, self.user_arn(user))

    def user_arn(self, user: str) -> str:
        return user_arn(self._record["DbClusterResourceId"], user)

    def add_reader(self) -> Postgres:
        self.replica = Postgres(self._place / "reader", self.primary)
        self.reader.server_port = self.replica.port
        return self.replica

    def remove_reader(self) -> None:
        self.reader.server_port = self.primary.port
        self.replica.stop()
        self.replica = None
        if self.primary.is_running:
            self.primary.run("SELECT pg_drop_replication_slot('replica')")
        shutil.rmtree(self._place / "reader")

    def delete(self) -> None:
        for front in (self.writer, self.reader):
            front.listener.close()
        if self.replica:
            self.replica.stop()
        self.primary.stop()
        shutil.rmtree(self._place)


_clusters = AccountRegionScopedDict()


def user_arn(resource_id: str, user: str) -> str:
    return f"arn:aws:rds-db:{get_region()}:{get_account_id()}:dbuser:{resource_id}/{user}"


def check_token(token: str, address: str, user: str, resource: str) -> None:
    """Raises ``Refused`` if the token does not let the user connect to this endpoint."""
    if user == SUPERUSER:
        # It is AWS's own.
        raise token_refused(user)
    try:
        connection_tokens.check(
            token, "rds-db", f"{address}:{PORT}", {"DBUser": user}, get_region(), "rds-db:connect", [resource]
        )
    except connection_tokens.TokenRefused as refusal:
        logger.warning("the database refuses %s: %s", user, refusal)
        raise token_refused(user) from None


def _master_password(record: Properties) -> str:
    if "MasterUserSecret" not in record:
        return record["_MasterUserPassword"]
    client = root_client("secretsmanager", get_region())
    secret = client.get_secret_value(SecretId=record["MasterUserSecret"]["SecretArn"])
    return json.loads(secret["SecretString"])["password"]


def _create_master_secret(record: Properties) -> None:
    letters = string.ascii_letters + string.digits
    password = "".join(secrets.choice(letters) for _ in range(PASSWORD_LENGTH))
    secret = root_client("secretsmanager", get_region()).create_secret(
        Name=f"rds!cluster-{new_uuid()}",
        SecretString=json.dumps({"username": record["MasterUsername"], "password": password}),
    )
    record["MasterUserSecret"] = {"SecretArn": secret["ARN"], "SecretStatus": "active"}


def _create_cluster(logical_id: str, properties: Properties, stack_name: str) -> Created:
    if properties.get("Engine") != "aurora-postgresql":
        raise ValueError("The local cloud has Postgres only: the engine must be aurora-postgresql")
    managed = properties.get("ManageMasterUserPassword") in (True, "true")
    if managed == ("MasterUserPassword" in properties):
        raise ValueError("Exactly one of MasterUserPassword and ManageMasterUserPassword has to be set")
    identifier, _ = create_cluster(logical_id, properties, stack_name)
    record = rds._clusters[identifier]
    try:
        cluster = _Cluster(record)
    except BaseException:
        delete_cluster(identifier, properties)
        raise
    if managed:
        _create_master_secret(record)
    _clusters[identifier] = cluster
    record["Endpoint"], record["ReaderEndpoint"] = cluster.writer.listener.address, cluster.reader.listener.address
    return identifier, _cluster_attributes(record)


def _cluster_attributes(record: Properties) -> dict[str, Any]:
    secret = record.get("MasterUserSecret")
    return cluster_attributes(record) | ({"MasterUserSecret.SecretArn": secret["SecretArn"]} if secret else {})


def _delete_cluster(identifier: str, properties: Properties) -> None:
    record = rds._clusters.get(identifier, {})
    if secret := record.get("MasterUserSecret"):
        root_client("secretsmanager", get_region()).delete_secret(
            SecretId=secret["SecretArn"], ForceDeleteWithoutRecovery=True
        )
    if cluster := _clusters.pop(identifier, None):
        cluster.delete()
    delete_cluster(identifier, properties)


def _create_instance(logical_id: str, properties: Properties, stack_name: str) -> Created:
    identifier, attributes = create_instance(logical_id, properties, stack_name)
    record = rds._instances[identifier]
    if cluster := _clusters.get(record["DBClusterIdentifier"]):
        members = rds._clusters[record["DBClusterIdentifier"]]["DBClusterMembers"]
        if len(members) > 2:
            raise ValueError("The local cloud has one reader of a cluster")
        is_writer = len(members) == 1
        members[-1]["IsClusterWriter"] = is_writer
        server_page.parts[f"database/{identifier}"] = cluster.primary if is_writer else cluster.add_reader()
        front = cluster.writer if is_writer else cluster.reader
        record["Endpoint"]["Address"] = front.listener.address
        attributes["Endpoint.Address"] = front.listener.address
    return identifier, attributes


def _delete_instance(identifier: str, properties: Properties) -> None:
    cluster = _clusters.get(rds._instances.get(identifier, {}).get("DBClusterIdentifier"))
    if cluster and server_page.parts.pop(f"database/{identifier}", None) is cluster.replica is not None:
        cluster.remove_reader()
    delete_instance(identifier, properties)


# ---- The proxy


class _Endpoint:
    """An endpoint of a proxy, whose server is known when the proxy has a target."""

    def __init__(self, name: str, proxy: Properties, role: str) -> None:
        self._name = name
        self._proxy = proxy
        self._role = role
        self._account, self._region = get_account_id(), get_region()
        self._cluster: _Cluster | None = None
        self.front = PostgresProxy(
            free_address(PORT), PORT, cloud_authority().server_context, self._authenticate, self._report
        )
        server_page.parts[f"proxy/{name}"] = self.front

    def lead_to(self, cluster: _Cluster, seconds_to_wait: float) -> None:
        self._cluster = cluster
        server = cluster.primary
        if self._role == "READ_ONLY":
            if cluster.replica is None:
                raise ValueError(f"The cluster has no reader for the endpoint {self._name} of its proxy")
            server = cluster.replica
        self.front.lead_to(server.port, seconds_to_wait)

    def _authenticate(self, user: str, password: str) -> None:
        with request_scope(self._account, self._region):
            if self._cluster is None:
                raise Refused("08006", "The proxy has no target")
            resource = user_arn(self._proxy["DBProxyArn"].split(":")[6], user)
            check_token(password, self.front.listener.address, user, resource)
            # Then the proxy connects to the database, with its own role.
            if lacking(self._proxy["RoleArn"], "rds", "rds-db:connect", self._cluster.user_arn(user)):
                logger.warning("%s may not connect to the database as %s", self._proxy["RoleArn"], user)
                raise token_refused(user)

    def _report(self) -> None:
        with request_scope(self._account, self._region):
            cloudwatch.record_metric(
                "AWS/RDS",
                "DatabaseConnectionsCurrentlySessionPinned",
                len(self.front.pinned),
                "Count",
                {"ProxyName": self._proxy["DBProxyName"]},
            )

    def delete(self) -> None:
        self.front.stop()
        del server_page.parts[f"proxy/{self._name}"]


_endpoints = AccountRegionScopedDict()


def _call(function: Any, properties: Properties, kind: str, verb: str) -> None:
    provisioners._rds_call(function, provisioners._ec_query(properties), kind, verb)


def _endpoints_of(proxy: str) -> list[str]:
    return [name for name in _endpoints if rds._db_proxy_endpoints[name]["DBProxyName"] == proxy]


def _create_proxy(logical_id: str, properties: Properties, stack_name: str) -> Created:
    if properties.get("DefaultAuthScheme") != "IAM_AUTH" or properties.get("EngineFamily") != "POSTGRESQL":
        raise ValueError("The local cloud has proxies of POSTGRESQL with the DefaultAuthScheme IAM_AUTH only")
    if properties.get("RequireTLS") not in (True, "true"):
        raise ValueError("IAM authentication needs TLS: RequireTLS has to be true")
    _call(rds._create_db_proxy, properties, "AWS::RDS::DBProxy", "create")
    name = properties["DBProxyName"]
    record = rds._db_proxies[name]
    _endpoints[name] = _Endpoint(name, record, "READ_WRITE")
    record["Endpoint"] = rds._db_proxy_endpoints[name]["Endpoint"] = _endpoints[name].front.listener.address
    return name, {"DBProxyArn": record["DBProxyArn"], "Endpoint": record["Endpoint"], "VpcId": record["VpcId"]}


def _update_proxy(name: str, old: Properties, new: Properties, stack_name: str) -> Created:
    record = rds._db_proxies[name]
    _call(rds._modify_db_proxy, new, "AWS::RDS::DBProxy", "update")
    return name, {"DBProxyArn": record["DBProxyArn"], "Endpoint": record["Endpoint"], "VpcId": record["VpcId"]}


def _delete_proxy(name: str, properties: Properties) -> None:
    for endpoint in _endpoints_of(name):
        _endpoints.pop(endpoint).delete()
    rds._delete_db_proxy({"DBProxyName": name})


def _set_target(properties: Properties) -> None:
    pool = properties.get("ConnectionPoolConfigurationInfo", {})
    target = {"DBProxyName": properties["DBProxyName"], "TargetGroupName": properties["TargetGroupName"]}
    settings = target | {"ConnectionPoolConfig": pool}
    _call(rds._modify_db_proxy_target_group, settings, "AWS::RDS::DBProxyTargetGroup", "update")
    [identifier] = properties["DBClusterIdentifiers"]
    for name in _endpoints_of(properties["DBProxyName"]):
        _endpoints[name].lead_to(_clusters[identifier], float(pool.get("ConnectionBorrowTimeout", 120)))


def _create_target_group(logical_id: str, properties: Properties, stack_name: str) -> Created:
    names = ("DBProxyName", "TargetGroupName", "DBClusterIdentifiers")
    target = {name: properties[name] for name in names}
    _call(rds._register_db_proxy_targets, target, "AWS::RDS::DBProxyTargetGroup", "create")
    _set_target(properties)
    arn = rds._db_proxies[properties["DBProxyName"]]["TargetGroup"]["TargetGroupArn"]
    return arn, {"TargetGroupArn": arn}


def _update_target_group(arn: str, old: Properties, new: Properties, stack_name: str) -> Created:
    _set_target(new)
    return arn, {"TargetGroupArn": arn}


def _delete_target_group(arn: str, properties: Properties) -> None:
    """It goes with its proxy."""


def _create_endpoint(logical_id: str, properties: Properties, stack_name: str) -> Created:
    _call(rds._create_db_proxy_endpoint, properties, "AWS::RDS::DBProxyEndpoint", "create")
    name, proxy = properties["DBProxyEndpointName"], rds._db_proxies[properties["DBProxyName"]]
    record = rds._db_proxy_endpoints[name]
    endpoint = _endpoints[name] = _Endpoint(name, proxy, record["TargetRole"])
    record["Endpoint"] = endpoint.front.listener.address
    for target in proxy["Targets"]:
        pool = proxy["TargetGroup"]["ConnectionPoolConfig"]
        endpoint.lead_to(_clusters[target["TrackedClusterId"]], float(pool["ConnectionBorrowTimeout"]))
    return name, {
        "DBProxyEndpointArn": record["DBProxyEndpointArn"],
        "Endpoint": record["Endpoint"],
        "IsDefault": False,
        "VpcId": record["VpcId"],
    }


def _delete_endpoint(name: str, properties: Properties) -> None:
    if endpoint := _endpoints.pop(name, None):
        endpoint.delete()
    rds._delete_db_proxy_endpoint({"DBProxyEndpointName": name})


create_cluster, delete_cluster = provisioners._rds_db_cluster_create, provisioners._rds_db_cluster_delete
create_instance, delete_instance = provisioners._rds_db_instance_create, provisioners._rds_db_instance_delete
cluster_attributes = provisioners._rds_db_cluster_attrs


def install() -> None:
    # An update that replaces a cluster or an instance creates and deletes by these names.
    provisioners._rds_db_cluster_attrs = _cluster_attributes
    provisioners._rds_db_cluster_create = _create_cluster
    provisioners._rds_db_cluster_delete = _delete_cluster
    provisioners._rds_db_instance_create = _create_instance
    provisioners._rds_db_instance_delete = _delete_instance
    worker_thread.provision(
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
        "AWS::RDS::DBProxy",
        "AWS::RDS::DBProxyEndpoint",
        "AWS::RDS::DBProxyTargetGroup",
    )
    handlers = provisioners._RESOURCE_HANDLERS
    handlers["AWS::RDS::DBCluster"] |= {"create": _create_cluster, "delete": _delete_cluster}
    handlers["AWS::RDS::DBInstance"] |= {"create": _create_instance, "delete": _delete_instance}
    handlers["AWS::RDS::DBProxy"] = {"create": _create_proxy, "update": _update_proxy, "delete": _delete_proxy}
    handlers["AWS::RDS::DBProxyTargetGroup"] = {
        "create": _create_target_group,
        "update": _update_target_group,
        "delete": _delete_target_group,
    }
    handlers["AWS::RDS::DBProxyEndpoint"] = {"create": _create_endpoint, "delete": _delete_endpoint}
