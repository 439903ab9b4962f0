"""DAX clusters of a stack are DAX Local: real nodes that speak DAX's protocol in front of this cloud's DynamoDB.

MiniStack has no DAX. Here a cluster is a process of DAX Local, with as many nodes as the stack says. The endpoint is an
address of this machine, with the port that it has on AWS, and with TLS if the stack says so. A client signs with its
credentials; what it may do, its policies say for the cluster. The cluster calls DynamoDB with its own role.

An update starts the nodes again, with empty caches. Not here: DAX's calls, replacement of a cluster, and metrics.
"""

import json
import logging
import os
import re
import shutil
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from botocore.credentials import Credentials
from ministack.core.iam_evaluator import CredentialResolutionError, resolve_credential
from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region, request_scope
from ministack.services import ec2
from ministack.services.cloudformation import provisioners

from local_cloud import server_page, worker_thread
from local_cloud.certificates import cloud_authority
from local_cloud.fronts import free_address
from local_cloud.processes import Process
from local_cloud.role import RoleNotAssumable, assume_role, is_allowed
from local_cloud.server import HOST
from local_cloud.servers import Server, ServerMissing, wait_until

logger = logging.getLogger(__name__)

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]

# "The default ports are 8111 for the "dax" protocol and 9111 for the "daxs" protocol" (API_dax_Endpoint).
PORTS = {"NONE": ("dax", 8111), "TLS": ("daxs", 9111)}
# As AWS's price list has them.
_LARGE = ["large", "xlarge", "2xlarge", "4xlarge", "8xlarge"]
SIZES = {
    "r3": _LARGE,
    "r4": [*_LARGE, "16xlarge"],
    "r5": [*_LARGE, "12xlarge", "16xlarge", "24xlarge"],
    "r7i": [*_LARGE, "12xlarge", "16xlarge", "24xlarge"],
    "t2": ["small", "medium"],
    "t3": ["small", "medium"],
}
# A primary and up to ten read replicas (Amazon DynamoDB Developer Guide, DAX cluster components).
MOST_NODES = 11
# What DAX checks for an operation on items (Service Authorization Reference, DAX).
ACTIONS = [
    f"dax:{name}"
    for name in (
        "BatchGetItem",
        "BatchWriteItem",
        "ConditionCheckItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "UpdateItem",
    )
]
# In milliseconds (aws dax describe-parameters of the default group).
DEFAULT_PARAMETERS = {"record-ttl-millis": "300000", "query-ttl-millis": "300000"}
DEFAULT_GROUP = "default.dax1.0"


def dax_local_program() -> str:
    """DAX Local; raises ``ServerMissing``."""
    program = os.environ.get("DAX_LOCAL", "dax-front")
    if not shutil.which(program):
        raise ServerMissing(f"There is no DAX Local: {program}. Set DAX_LOCAL to its program: cargo build -p dax-front")
    return program


class _Callers:
    """Tells DAX Local who a caller is, and what the caller may do."""

    def __init__(self, arn: str) -> None:
        self._arn = arn
        self._account, self._region = get_account_id(), get_region()
        callers = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = callers.find(asked["accessKeyId"], asked["sessionToken"])
                body = json.dumps(answer or {}).encode()
                self.send_response(200 if answer else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="dax-callers", daemon=True).start()
        self.url = f"http://{HOST}:{self._server.server_address[1]}/"

    def find(self, key: str, token: str | None) -> dict[str, Any] | None:
        """The caller with this access key; ``None`` if nobody has it."""
        with request_scope(self._account, self._region):
            caller = resolve_credential(key, None, token or "")
            if isinstance(caller, CredentialResolutionError):
                logger.warning("the cluster refuses a caller: %s", caller.message)
                return None
            credentials = Credentials(key, caller.secret_access_key)
            return {
                "secretAccessKey": caller.secret_access_key,
                "sessionToken": caller.session_token,
                "principal": caller.principal_arn,
                "resource": self._arn,
                "actions": [one for one in ACTIONS if is_allowed(credentials, one, self._arn, self._region)],
            }

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Cluster(Server):
    """The nodes of a cluster."""

    def __init__(self, name: str, properties: Properties) -> None:
        self._account, self._region = get_account_id(), get_region()
        self.arn = f"arn:aws:dax:{self._region}:{self._account}:cache/{name}"
        self._scheme, port = PORTS[properties.get("ClusterEndpointEncryptionType", "NONE")]
        super().__init__(port)
        self.address = free_address(port)
        self._callers = _Callers(self.arn)
        self._place = Path(tempfile.gettempdir()) / "dax" / name
        shutil.rmtree(self._place, ignore_errors=True)
        self._place.mkdir(parents=True)
        self.properties = properties
        self.start()

    def start(self) -> None:
        properties, group = self.properties, self.properties.get("ParameterGroupName", DEFAULT_GROUP)
        with request_scope(self._account, self._region):
            role = assume_role(properties["IAMRoleARN"], "dax.amazonaws.com")
            parameters = _parameters(group)
        nodes = int(properties["ReplicationFactor"])
        environment = {
            "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"],
            "AWS_REGION": self._region,
            "AWS_ACCESS_KEY_ID": role.access_key,
            "AWS_SECRET_ACCESS_KEY": role.secret_key,
            "AWS_SESSION_TOKEN": role.token,
            "DAX_AUTHORIZATION_URL": self._callers.url,
            # A client learns the ports of the other nodes from the first.
            "DAX_LISTEN": ",".join([f"{self.address}:{self.port}", *[f"{self.address}:0"] * (nodes - 1)]),
            "DAX_RECORD_TTL_MILLIS": parameters["record-ttl-millis"],
            "DAX_QUERY_TTL_MILLIS": parameters["query-ttl-millis"],
        }
        if self._scheme == "daxs":
            files = zip(("DAX_CERTIFICATE", "DAX_KEY"), cloud_authority().server_files, strict=True)
            environment |= {variable: str(file) for variable, file in files}
        log = self._place / "log"
        log.unlink(missing_ok=True)
        self.process = Process([dax_local_program()], log, environment=environment)
        # It writes the address of each node, and nothing else.
        wait_until(lambda: log.read_text().count(f"{self._scheme}://") == nodes, self.process)

    def update(self, properties: Properties) -> None:
        self.stop()
        self.properties = properties
        self.start()

    def delete(self) -> None:
        self.stop()
        self._callers.stop()
        shutil.rmtree(self._place)

    @property
    def attributes(self) -> dict[str, str]:
        return {
            "Arn": self.arn,
            "ClusterDiscoveryEndpoint": f"{self.address}:{self.port}",
            "ClusterDiscoveryEndpointURL": f"{self._scheme}://{self.address}",
        }


_clusters = AccountRegionScopedDict()
_subnet_groups = AccountRegionScopedDict()
_parameter_groups = AccountRegionScopedDict()


def _parameters(group: str) -> dict[str, str]:
    return DEFAULT_PARAMETERS | ({} if group == DEFAULT_GROUP else _parameter_groups[group])


# ---- Clusters


def _check_cluster(properties: Properties) -> None:
    for name in ("IAMRoleARN", "NodeType", "ReplicationFactor"):
        if name not in properties:
            raise ValueError(f"Property {name} cannot be empty.")
    family, _, size = properties["NodeType"].removeprefix("dax.").partition(".")
    if not properties["NodeType"].startswith("dax.") or size not in SIZES.get(family, []):
        raise ValueError(f"InvalidParameterValueException: Invalid node type: {properties['NodeType']}")
    nodes = int(properties["ReplicationFactor"])
    if not 1 <= nodes <= MOST_NODES:
        raise ValueError(f"NodeQuotaForClusterExceededFault: A cluster has from 1 to {MOST_NODES} nodes, not {nodes}")
    if len(properties.get("AvailabilityZones", [None] * nodes)) != nodes:
        raise ValueError("InvalidParameterCombinationException: AvailabilityZones has to have a zone for each node")
    if properties.get("ClusterEndpointEncryptionType", "NONE") not in PORTS:
        raise ValueError("InvalidParameterValueException: ClusterEndpointEncryptionType has to be NONE or TLS")
    if properties.get("SubnetGroupName", "default") not in ["default", *_subnet_groups]:
        raise ValueError(f"SubnetGroupNotFoundFault: there is no {properties['SubnetGroupName']}")
    if properties.get("ParameterGroupName", DEFAULT_GROUP) not in [DEFAULT_GROUP, *_parameter_groups]:
        raise ValueError(f"ParameterGroupNotFoundFault: there is no {properties['ParameterGroupName']}")
    network = _subnet_groups.get(properties.get("SubnetGroupName"))
    for group in properties.get("SecurityGroupIds", []):
        if group not in ec2._security_groups or (network and ec2._security_groups[group]["VpcId"] != network):
            raise ValueError(f"InvalidParameterValueException: The cluster's network has no security group {group}")
    try:
        assume_role(properties["IAMRoleARN"], "dax.amazonaws.com")
    except RoleNotAssumable as error:
        raise ValueError(f"InvalidParameterValueException: {error}") from None


def _create_cluster(logical_id: str, properties: Properties, stack_name: str) -> Created:
    _check_cluster(properties)
    # "1 to 20 alphanumeric characters or hyphens. The first character must be a letter. A name cannot end with a hyphen
    # or contain two consecutive hyphens", and "is stored as a lowercase string" (API_dax_CreateCluster).
    name = properties.get("ClusterName", provisioners._physical_name(stack_name, logical_id, max_len=20)).lower()
    if len(name) > 20 or not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise ValueError(f"InvalidParameterValueException: {name} can't be the name of a cluster")
    if name in _clusters:
        raise ValueError(f"ClusterAlreadyExistsFault: there is a cluster {name}")
    cluster = _clusters[name] = server_page.parts[f"dax/{name}"] = _Cluster(name, properties)
    return name, cluster.attributes


def _update_cluster(name: str, old: Properties, new: Properties, stack_name: str) -> Created:
    _check_cluster(new)
    _clusters[name].update(new)
    return name, _clusters[name].attributes


def _delete_cluster(name: str, properties: Properties) -> None:
    if cluster := _clusters.pop(name, None):
        del server_page.parts[f"dax/{name}"]
        cluster.delete()


# ---- Subnet groups and parameter groups


def _users(property_name: str, value: str) -> list[_Cluster]:
    return [cluster for cluster in _clusters.values() if cluster.properties.get(property_name) == value]


def _put_subnet_group(name: str, properties: Properties) -> Created:
    subnets = properties.get("SubnetIds")
    if not subnets:
        raise ValueError("Property SubnetIds cannot be empty.")
    networks = {ec2._subnets[subnet]["VpcId"] if subnet in ec2._subnets else None for subnet in subnets}
    # "All of the subnets that you specify in a subnet group must exist in the same VPC" (API_dax_CreateCluster).
    if None in networks or len(networks) > 1:
        raise ValueError(f"InvalidSubnet: these are not subnets of one network: {', '.join(subnets)}")
    [_subnet_groups[name]] = networks
    return name, {}


def _create_subnet_group(logical_id: str, properties: Properties, stack_name: str) -> Created:
    name = provisioners._physical_name(stack_name, logical_id, lowercase=True)
    return _put_subnet_group(properties.get("SubnetGroupName", name), properties)


def _delete_subnet_group(name: str, properties: Properties) -> None:
    if _users("SubnetGroupName", name):
        raise ValueError(f"SubnetGroupInUseFault: a cluster uses {name}")
    _subnet_groups.pop(name, None)


def _put_parameter_group(name: str, properties: Properties) -> Created:
    parameters = {key: str(value) for key, value in properties.get("ParameterNameValues", {}).items()}
    for key, value in parameters.items():
        # "record-ttl-millis and query-ttl-millis are the only supported parameter names" (AWS::DAX::ParameterGroup);
        # their AllowedValues are "0-" (DescribeParameters).
        if key not in DEFAULT_PARAMETERS or not re.fullmatch("[0-9]+", value):
            raise ValueError(f"InvalidParameterValueException: Invalid parameter: {key} {value}")
    _parameter_groups[name] = parameters
    return name, {}


def _create_parameter_group(logical_id: str, properties: Properties, stack_name: str) -> Created:
    name = provisioners._physical_name(stack_name, logical_id, lowercase=True)
    return _put_parameter_group(properties.get("ParameterGroupName", name), properties)


def _update_parameter_group(name: str, old: Properties, new: Properties, stack_name: str) -> Created:
    updated = _put_parameter_group(name, new)
    for cluster in _users("ParameterGroupName", name):
        cluster.update(cluster.properties)
    return updated


def _delete_parameter_group(name: str, properties: Properties) -> None:
    if _users("ParameterGroupName", name):
        raise ValueError(f"InvalidParameterGroupStateFault: a cluster uses {name}")
    _parameter_groups.pop(name, None)


def install() -> None:
    worker_thread.provision("AWS::DAX::Cluster", "AWS::DAX::ParameterGroup")
    provisioners._RESOURCE_HANDLERS.update(
        {
            "AWS::DAX::Cluster": {"create": _create_cluster, "update": _update_cluster, "delete": _delete_cluster},
            "AWS::DAX::SubnetGroup": {
                "create": _create_subnet_group,
                "update": lambda name, old, new, stack_name: _put_subnet_group(name, new),
                "delete": _delete_subnet_group,
            },
            "AWS::DAX::ParameterGroup": {
                "create": _create_parameter_group,
                "update": _update_parameter_group,
                "delete": _delete_parameter_group,
            },
        }
    )
