"""Images in ECR, and a service of ECS behind a load balancer that runs them."""

import gzip
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from directory_stack import NETWORK, SUBNETS
from local_cloud.faults import Faults
from running_cloud import REGION, Cloud

ACCOUNT = "000000000000"
REPOSITORY = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/server"
# Answers with its environment; /health says whether the process is told to be well.
PROGRAM = f"""#!{sys.executable}
import http.server, json, os, signal, sys, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(dict(os.environ)).encode()
        if self.path == "/role":
            body = urllib.request.urlopen(os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"]).read()
        self.send_response(int(os.environ["HEALTH"]) if self.path == "/health" else 200)
        self.end_headers()
        self.wfile.write(body)
print("started on port", os.environ["PORT"], flush=True)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server.serve_forever()
"""


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def layer(program: str) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as files:
        entry = tarfile.TarInfo("bootstrap")
        entry.size, entry.mode = len(program.encode()), 0o555
        files.addfile(entry, io.BytesIO(program.encode()))
    return gzip.compress(archive.getvalue(), mtime=0)


def upload(ecr: Any, blob: bytes) -> None:
    started = ecr.initiate_layer_upload(repositoryName="server")["uploadId"]
    half = len(blob) // 2
    for start, part in ((0, blob[:half]), (half, blob[half:])):
        ecr.upload_layer_part(
            repositoryName="server",
            uploadId=started,
            partFirstByte=start,
            partLastByte=start + len(part) - 1,
            layerPartBlob=part,
        )
    ecr.complete_layer_upload(repositoryName="server", uploadId=started, layerDigests=[digest(blob)])


def manifest(configuration: bytes, *layers: bytes) -> str:
    def described(blob: bytes) -> dict[str, Any]:
        return {"digest": digest(blob), "size": len(blob)}

    return json.dumps({"schemaVersion": 2, "config": described(configuration), "layers": [*map(described, layers)]})


CONFIGURATION = json.dumps({"config": {"Entrypoint": ["/bootstrap"], "Env": ["OF_IMAGE=1"]}}).encode()


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> str:
    ecr = cloud.client("ecr")
    uri = ecr.create_repository(repositoryName="server")["repository"]["repositoryUri"]
    blob = layer(PROGRAM)
    with pytest.raises(ecr.exceptions.LayersNotFoundException):
        ecr.put_image(repositoryName="server", imageManifest=manifest(CONFIGURATION, blob))
    for part in (CONFIGURATION, blob):
        upload(ecr, part)
    pushed = ecr.put_image(repositoryName="server", imageManifest=manifest(CONFIGURATION, blob))["image"]
    return f"{uri}@{pushed['imageId']['imageDigest']}"


def test_a_repository_keeps_what_is_pushed_and_refuses_what_does_not_fit(cloud: Cloud, image: str) -> None:
    ecr, blob = cloud.client("ecr"), layer(PROGRAM)
    known = ecr.batch_check_layer_availability(repositoryName="server", layerDigests=[digest(blob), digest(b"none")])
    assert [layer["layerAvailability"] for layer in known["layers"]] == ["AVAILABLE", "UNAVAILABLE"]
    # The errors of API_CompleteLayerUpload, API_UploadLayerPart and API_PutImage.
    with pytest.raises(ecr.exceptions.LayerAlreadyExistsException):
        upload(ecr, blob)
    with pytest.raises(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(repositoryName="server", imageManifest=manifest(CONFIGURATION, blob))
    with pytest.raises(ecr.exceptions.ImageDigestDoesNotMatchException):
        ecr.put_image(repositoryName="server", imageManifest=manifest(CONFIGURATION), imageDigest=digest(b"none"))
    started = ecr.initiate_layer_upload(repositoryName="server")["uploadId"]
    with pytest.raises(ecr.exceptions.EmptyUploadException):
        ecr.complete_layer_upload(repositoryName="server", uploadId=started, layerDigests=[digest(b"none")])
    part = {"repositoryName": "server", "uploadId": started, "partLastByte": 9, "layerPartBlob": b"1234"}
    with pytest.raises(ecr.exceptions.InvalidLayerPartException):
        ecr.upload_layer_part(**part, partFirstByte=6)
    ecr.upload_layer_part(**part, partFirstByte=0)
    with pytest.raises(ecr.exceptions.InvalidLayerException):
        ecr.complete_layer_upload(repositoryName="server", uploadId=started, layerDigests=[digest(b"none")])


def role(name: str, statements: list[dict[str, Any]]) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    policy = {"Version": "2012-10-17", "Statement": statements}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": name,
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "Policies": [{"PolicyName": "all", "PolicyDocument": policy}] if statements else [],
        },
    }


def needed_to_start(stack: str) -> list[dict[str, Any]]:
    """The statements of the execution role."""
    group = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/ecs/{stack}:*"
    return [
        {"Effect": "Allow", "Action": action, "Resource": resource}
        for action, resource in (
            ("ecr:GetAuthorizationToken", "*"),
            ("ecr:BatchGetImage", REPOSITORY),
            ("ecr:GetDownloadUrlForLayer", REPOSITORY),
            ("ssm:GetParameters", f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{stack}/settings"),
            ("logs:CreateLogStream", group),
            ("logs:PutLogEvents", group),
        )
    ]


def resources(image: str, stack: str, statements: list[dict[str, Any]], health: str = "200") -> dict[str, Any]:
    return NETWORK | {
        "Settings": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Name": f"/{stack}/settings", "Type": "String", "Value": "secret"},
        },
        "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"/ecs/{stack}"}},
        "ExecutionRole": role(f"{stack}-execution", statements),
        "TaskRole": role(f"{stack}-task", []),
        "Balancer": {
            "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "Properties": {"Name": stack, "Subnets": SUBNETS},
        },
        "Listener": {
            "Type": "AWS::ElasticLoadBalancingV2::Listener",
            "Properties": {
                "LoadBalancerArn": {"Ref": "Balancer"},
                "Port": 80,
                "Protocol": "HTTP",
                "DefaultActions": [{"Type": "forward", "TargetGroupArn": {"Ref": "Targets"}}],
            },
        },
        "Targets": {
            "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
            "Properties": {
                "VpcId": {"Ref": "Vpc"},
                "TargetType": "ip",
                "Port": 8080,
                "HealthCheckPath": "/health",
                "HealthCheckIntervalSeconds": 5,
                "HealthCheckTimeoutSeconds": 2,
            },
        },
        "Cluster": {"Type": "AWS::ECS::Cluster", "Properties": {"ClusterName": stack}},
        "Task": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {
                "Family": stack,
                "RequiresCompatibilities": ["FARGATE"],
                "NetworkMode": "awsvpc",
                "ExecutionRoleArn": {"Fn::GetAtt": "ExecutionRole.Arn"},
                "TaskRoleArn": {"Fn::GetAtt": "TaskRole.Arn"},
                "ContainerDefinitions": [
                    {
                        "Name": "server",
                        "Image": image,
                        "PortMappings": [{"ContainerPort": 8080}],
                        "Environment": [{"Name": "PORT", "Value": "8080"}, {"Name": "HEALTH", "Value": health}],
                        "Secrets": [{"Name": "SETTINGS", "ValueFrom": {"Ref": "Settings"}}],
                        "LogConfiguration": {
                            "LogDriver": "awslogs",
                            "Options": {
                                "awslogs-group": {"Ref": "Logs"},
                                "awslogs-region": REGION,
                                "awslogs-stream-prefix": "server",
                            },
                        },
                    }
                ],
            },
        },
        "Service": {
            "Type": "AWS::ECS::Service",
            "DependsOn": "Listener",
            "Properties": {
                "Cluster": {"Ref": "Cluster"},
                "ServiceName": "server",
                "TaskDefinition": {"Ref": "Task"},
                "LaunchType": "FARGATE",
                "NetworkConfiguration": {"AwsvpcConfiguration": {"Subnets": SUBNETS}},
                "LoadBalancers": [
                    {"ContainerName": "server", "ContainerPort": 8080, "TargetGroupArn": {"Ref": "Targets"}}
                ],
                "DeploymentConfiguration": {"DeploymentCircuitBreaker": {"Enable": True, "Rollback": True}},
            },
        },
        "Capacity": {
            "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
            "Properties": {
                "ServiceNamespace": "ecs",
                "ScalableDimension": "ecs:service:DesiredCount",
                "ResourceId": {"Fn::Sub": "service/${Cluster}/${Service.Name}"},
                "MinCapacity": 2,
                "MaxCapacity": 4,
            },
        },
        "Scaling": {
            "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
            "Properties": {
                "PolicyName": "requests",
                "PolicyType": "TargetTrackingScaling",
                "ScalingTargetId": {"Ref": "Capacity"},
                "TargetTrackingScalingPolicyConfiguration": {
                    "PredefinedMetricSpecification": {
                        "PredefinedMetricType": "ALBRequestCountPerTarget",
                        "ResourceLabel": {"Fn::Sub": "${Balancer.LoadBalancerFullName}/${Targets.TargetGroupFullName}"},
                    },
                    "TargetValue": 100,
                },
            },
        },
    }


def template(parts: dict[str, Any]) -> dict[str, Any]:
    return {"TemplateBody": json.dumps({"Resources": parts}), "Capabilities": ["CAPABILITY_NAMED_IAM"]}


class Service:
    """The deployed service."""

    def __init__(self, cloud: Cloud, image: str) -> None:
        self.cloud = cloud
        self.parts = resources(image, "containers", needed_to_start("containers"))
        assert cloud.deploy("containers", **template(self.parts)) == []

    def get(self, path: str = "/") -> requests.Response:
        headers = {"Host": "containers.alb.localhost"}
        return requests.get(f"{self.cloud.endpoint_url}{path}", headers=headers, timeout=10)

    def tasks(self) -> set[str]:
        found = self.cloud.client("ecs").list_tasks(cluster="containers", desiredStatus="RUNNING")["taskArns"]
        return {arn.rpartition("/")[2] for arn in found}

    def states(self) -> list[str]:
        balancing = self.cloud.client("elbv2")
        [group] = balancing.describe_target_groups(LoadBalancerArn=self._balancer())["TargetGroups"]
        described = balancing.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        return [one["TargetHealth"]["State"] for one in described["TargetHealthDescriptions"]]

    def _balancer(self) -> str:
        found = self.cloud.client("elbv2").describe_load_balancers(Names=["containers"])["LoadBalancers"]
        return found[0]["LoadBalancerArn"]


@pytest.fixture(scope="module")
def service(cloud: Cloud, image: str) -> Iterator[Service]:
    yield Service(cloud, image)
    stacks = cloud.client("cloudformation")
    stacks.delete_stack(StackName="containers")
    stacks.get_waiter("stack_delete_complete").wait(StackName="containers", WaiterConfig={"Delay": 1})
    assert [name for name in Faults(cloud.endpoint_url).servers() if name.startswith("container/")] == []


def test_a_task_has_its_environment_its_secrets_and_its_roles_credentials(service: Service) -> None:
    environment = service.get().json()
    assert (environment["OF_IMAGE"], environment["SETTINGS"]) == ("1", "secret")
    assert environment["AWS_REGION"] == REGION
    credentials = service.get("/role").json()
    # Task IAM role, "RoleArn".
    assert credentials["RoleArn"] == f"arn:aws:iam::{ACCOUNT}:role/containers-task"


def test_what_a_task_writes_is_in_its_log_stream(service: Service) -> None:
    def lines() -> list[str]:
        found = service.cloud.client("logs").filter_log_events(logGroupName="/ecs/containers")["events"]
        return [event["message"] for event in found]

    service.cloud.wait_for(lambda: any(line.startswith("started on port") for line in lines()))


def test_a_service_has_as_many_tasks_as_its_scaling_target_says_at_least(service: Service) -> None:
    service.cloud.wait_for(lambda: service.states() == ["healthy", "healthy"])
    assert len(service.tasks()) == 2
    assert len({service.get().json()["PORT"] for _ in range(4)}) == 2


def test_a_killed_task_is_replaced(service: Service) -> None:
    service.cloud.wait_for(lambda: service.states() == ["healthy", "healthy"])
    before = service.tasks()
    Faults(service.cloud.endpoint_url).kill(f"container/{min(before)}")
    service.cloud.wait_for(lambda: len(service.tasks()) == 2 and min(before) not in service.tasks())
    service.cloud.wait_for(lambda: service.states() == ["healthy", "healthy"])
    assert service.get().status_code == 200


def test_a_hanging_target_gets_no_requests(service: Service) -> None:
    service.cloud.wait_for(lambda: service.states() == ["healthy", "healthy"])
    faults, task = Faults(service.cloud.endpoint_url), f"container/{min(service.tasks())}"
    faults.freeze(task)
    service.cloud.wait_for(lambda: sorted(service.states()) == ["healthy", "unhealthy"])
    assert [service.get().status_code for _ in range(4)] == [200] * 4
    faults.thaw(task)
    service.cloud.wait_for(lambda: service.states() == ["healthy", "healthy"])


@pytest.mark.parametrize("left_out", range(6))
def test_the_execution_role_needs_each_permission(cloud: Cloud, image: str, left_out: int) -> None:
    stack = f"lacking-{left_out}"
    statements = needed_to_start(stack)
    action = statements.pop(left_out)["Action"]
    [reason] = cloud.deploy(stack, **template(resources(image, stack, statements)))
    assert "ECS Deployment Circuit Breaker was triggered" in reason
    assert f"is not authorized to perform: {action}" in reason


def test_an_image_that_is_not_in_the_repository_fails_the_stack(cloud: Cloud, image: str) -> None:
    missing = f"{image.partition('@')[0]}@{digest(b'none')}"
    [reason] = cloud.deploy("missing", **template(resources(missing, "missing", needed_to_start("missing"))))
    assert "CannotPullContainerError" in reason


def test_an_update_that_does_not_become_healthy_goes_back_and_the_service_goes_on(service: Service) -> None:
    stacks = service.cloud.client("cloudformation")
    broken = json.loads(json.dumps(service.parts))
    broken["Task"]["Properties"]["ContainerDefinitions"][0]["Environment"][1]["Value"] = "none"
    broken["Task"]["Properties"]["ContainerDefinitions"][0]["Environment"][0]["Value"] = "no port"
    stacks.update_stack(StackName="containers", **template(broken))
    with pytest.raises(Exception, match="UPDATE_ROLLBACK_COMPLETE"):
        stacks.get_waiter("stack_update_complete").wait(StackName="containers", WaiterConfig={"Delay": 1})
    assert service.get().status_code == 200


def test_a_target_of_a_service_that_does_not_exist_is_refused(cloud: Cloud) -> None:
    target = {
        "ServiceNamespace": "ecs",
        "ScalableDimension": "ecs:service:DesiredCount",
        "ResourceId": "service/none/none",
        "MinCapacity": 1,
        "MaxCapacity": 2,
    }
    parts = {"Target": {"Type": "AWS::ApplicationAutoScaling::ScalableTarget", "Properties": target}}
    assert "ECS service doesn't exist: service/none/none" in cloud.deploy("no-service", **template(parts))[0]
