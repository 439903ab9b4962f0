"""Each rule of lint/ refuses the templates that it is made for, and no others."""

import copy
from pathlib import Path
from typing import Any

import pytest
from cfnlint.rules import Rules
from cfnlint.template import Template

RULES = Rules.create_from_directory(str(Path(__file__).parent.parent / "lint"))


def policy(kind: str, field: str, target: str, *statements: dict[str, Any]) -> dict[str, Any]:
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    reference: Any = {"Ref": target} if field == "Bucket" else [{"Ref": target}]
    return {"Type": kind, "Properties": {field: reference, "PolicyDocument": document}}


def tls_only(action: str, *resources: Any) -> dict[str, Any]:
    return {
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": list(resources),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def allow(actions: Any, resources: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources} | more


def arn(name: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [name, "Arn"]}


def role(*statements: dict[str, Any], **more: Any) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}
    policies = [{"PolicyName": "p", "PolicyDocument": {"Version": "2012-10-17", "Statement": list(statements)}}]
    document = {"Version": "2012-10-17", "Statement": [trust]}
    return {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": document, "Policies": policies} | more}


def alarm(queue: str) -> dict[str, Any]:
    dimension = {"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": {"AlarmActions": ["t"], "Dimensions": [dimension]}}


# The smallest template that has something for every rule.
GOOD: dict[str, Any] = {
    "Balancer": {
        "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "Properties": {"SecurityGroups": [{"Ref": "OpenGroup"}]},
    },
    "Bucket": {
        "Type": "AWS::S3::Bucket",
        "Properties": {
            "BucketEncryption": {"ServerSideEncryptionConfiguration": [{}]},
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "VersioningConfiguration": {"Status": "Enabled"},
        },
    },
    "BucketPolicy": policy(
        "AWS::S3::BucketPolicy",
        "Bucket",
        "Bucket",
        tls_only("s3:*", arn("Bucket"), {"Fn::Sub": "${Bucket.Arn}/*"}),
    ),
    "Cache": {
        "Type": "AWS::ElastiCache::ReplicationGroup",
        "Properties": {"AtRestEncryptionEnabled": True, "TransitEncryptionEnabled": True},
    },
    "CacheOfTable": {
        "Type": "AWS::DAX::Cluster",
        "Properties": {"SSESpecification": {"SSEEnabled": True}, "ClusterEndpointEncryptionType": "TLS"},
    },
    "Client": {"Type": "AWS::Cognito::UserPoolClient", "Properties": {"GenerateSecret": False}},
    "ConfigurationSet": {
        "Type": "AWS::SES::ConfigurationSet",
        "Properties": {"DeliveryOptions": {"TlsPolicy": "REQUIRE"}},
    },
    "Dashboard": {
        "Type": "AWS::CloudWatch::Dashboard",
        "Properties": {"DashboardName": {"Fn::Sub": "${AWS::StackName}-${AWS::Region}"}},
    },
    "Cluster": {
        "Type": "AWS::RDS::DBCluster",
        "Properties": {"DBClusterParameterGroupName": {"Ref": "ClusterParameters"}, "StorageEncrypted": True},
    },
    "ClusterInstance": {"Type": "AWS::RDS::DBInstance", "Properties": {"PubliclyAccessible": False}},
    "ClusterParameters": {
        "Type": "AWS::RDS::DBClusterParameterGroup",
        "Properties": {"Parameters": {"rds.force_ssl": 1}},
    },
    "Pool": {"Type": "AWS::RDS::DBProxy", "Properties": {"RequireTLS": True}},
    "DeadLetters": {"Type": "AWS::SQS::Queue", "Properties": {"SqsManagedSseEnabled": True}},
    "DeadLettersAlarm": alarm("DeadLetters"),
    "DeadLettersPolicy": policy(
        "AWS::SQS::QueuePolicy", "Queues", "DeadLetters", tls_only("sqs:*", arn("DeadLetters"))
    ),
    "Distribution": {
        "Type": "AWS::CloudFront::Distribution",
        "Properties": {"DistributionConfig": {"DefaultCacheBehavior": {"ViewerProtocolPolicy": "https-only"}}},
    },
    "Function": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Environment": {"Variables": {"SECRET_ARN": "arn", "TABLE": "t"}},
            "LoggingConfig": {"LogGroup": {"Ref": "Logs"}},
        },
    },
    "FunctionFailures": {
        "Type": "AWS::Lambda::EventInvokeConfig",
        "Properties": {
            "FunctionName": {"Ref": "Function"},
            "DestinationConfig": {"OnFailure": {"Destination": arn("DeadLetters")}},
        },
    },
    "Group": {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"SecurityGroupIngress": [{"SourceSecurityGroupId": {"Ref": "OpenGroup"}}]},
    },
    "HttpStage": {
        "Type": "AWS::ApiGatewayV2::Stage",
        "Properties": {"AccessLogSettings": {"DestinationArn": arn("Logs")}},
    },
    "Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30}},
    "Machine": {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "LoggingConfiguration": {"Destinations": [{"CloudWatchLogsLogGroup": {"LogGroupArn": arn("Logs")}}]}
        },
    },
    "OpenGroup": {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"SecurityGroupIngress": [{"CidrIp": "0.0.0.0/0"}]},
    },
    "Permission": {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "FunctionName": {"Ref": "Function"},
            "Principal": "events.amazonaws.com",
            "SourceArn": arn("Rule"),
        },
    },
    "Queue": {
        "Type": "AWS::SQS::Queue",
        "Properties": {
            "SqsManagedSseEnabled": True,
            "RedrivePolicy": {"deadLetterTargetArn": arn("DeadLetters"), "maxReceiveCount": 5},
        },
    },
    "QueueAlarm": alarm("Queue"),
    "QueueMapping": {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {"EventSourceArn": arn("Queue"), "FunctionResponseTypes": ["ReportBatchItemFailures"]},
    },
    "QueuePolicy": policy("AWS::SQS::QueuePolicy", "Queues", "Queue", tls_only("sqs:*", arn("Queue"))),
    "Role": role(
        allow("dynamodb:GetItem", arn("Table")),
        allow("s3:GetObject", {"Fn::Sub": "${Bucket.Arn}/*"}),
        allow(["xray:PutTraceSegments"], "*"),
        allow("ses:SendEmail", "arn:aws:ses:*:1:identity/*", Condition={"StringEquals": {"ses:FromAddress": "a"}}),
    ),
    "Rule": {
        "Type": "AWS::Events::Rule",
        "Properties": {"Targets": [{"Arn": arn("Function"), "DeadLetterConfig": {"Arn": arn("DeadLetters")}}]},
    },
    "Schedule": {
        "Type": "AWS::Scheduler::Schedule",
        "Properties": {"Target": {"Arn": {"Ref": "Machine"}, "DeadLetterConfig": {"Arn": arn("DeadLetters")}}},
    },
    "Stage": {"Type": "AWS::ApiGateway::Stage", "Properties": {"AccessLogSetting": {"DestinationArn": arn("Logs")}}},
    "StreamMapping": {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
            "EventSourceArn": {"Fn::GetAtt": ["Table", "StreamArn"]},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "DestinationConfig": {"OnFailure": {"Destination": arn("Bucket")}},
        },
    },
    "Subscription": {"Type": "AWS::SNS::Subscription", "Properties": {"Protocol": "email"}},
    "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {}},
    "Task": {
        "Type": "AWS::ECS::TaskDefinition",
        "Properties": {
            "ContainerDefinitions": [
                {
                    "LinuxParameters": {"Capabilities": {"Drop": ["ALL"]}},
                    "LogConfiguration": {"Options": {"awslogs-group": {"Ref": "Logs"}}},
                    "ReadonlyRootFilesystem": True,
                    "User": "65532",
                }
            ]
        },
    },
    "Topic": {"Type": "AWS::SNS::Topic", "Properties": {}},
    "TopicPolicy": policy(
        "AWS::SNS::TopicPolicy",
        "Topics",
        "Topic",
        allow("sns:Publish", {"Ref": "Topic"}, Principal={"Service": "cloudwatch.amazonaws.com"}),
        tls_only("sns:Publish", {"Ref": "Topic"}),
    ),
}

ABSENT = object()
STATEMENTS = "Properties.PolicyDocument.Statement"
FIRST = "Role.Properties.Policies.0.PolicyDocument.Statement.0"
CONTAINER = "Task.Properties.ContainerDefinitions.0"

# A change of the template, and the rule that has to fire.
BAD = [
    (f"{FIRST}.Action", "dynamodb:*", "E9001"),
    (f"{FIRST}.Action", ["dynamodb:GetItem", "s3:Get*"], "E9001"),
    (f"{FIRST}.Resource", "*", "E9001"),
    (FIRST, {"Fn::If": ["Is", {"Ref": "AWS::NoValue"}, allow("dynamodb:*", arn("Table"))]}, "E9001"),
    (f"{FIRST}.Resource", [arn("Table"), "*"], "E9001"),
    (f"{FIRST}.Resource", {"Fn::Sub": "arn:${AWS::Partition}:dynamodb:${AWS::Region}:1:table/*"}, "E9001"),
    (f"{FIRST}.Resource", "arn:aws:s3:::*", "E9001"),
    (FIRST, allow("ses:SendEmail", "arn:aws:ses:us-east-1:1:identity/*"), "E9001"),
    (
        FIRST,
        allow(
            "ses:SendRawEmail",
            "arn:aws:ses:us-east-1:1:identity/*",
            Condition={"StringEquals": {"ses:FromAddress": "a"}},
        ),
        "E9001",
    ),
    (FIRST, {"Effect": "Allow", "NotAction": "iam:*", "Resource": arn("Table")}, "E9001"),
    ("Role.Properties.ManagedPolicyArns", ["arn:aws:iam::aws:policy/AdministratorAccess"], "E9002"),
    ("Bucket.Properties.PublicAccessBlockConfiguration", ABSENT, "E9003"),
    ("Bucket.Properties.PublicAccessBlockConfiguration.BlockPublicPolicy", False, "E9003"),
    ("Bucket.Properties.OwnershipControls", ABSENT, "E9003"),
    ("Bucket.Properties.WebsiteConfiguration", {"IndexDocument": "index.html"}, "E9003"),
    (f"BucketPolicy.{STATEMENTS}.1", allow("s3:GetObject", "x", Principal="*"), "E9003"),
    (f"QueuePolicy.{STATEMENTS}.1", allow("sqs:SendMessage", "x", Principal={"AWS": ["*"]}), "E9003"),
    ("Permission.Properties.SourceArn", ABSENT, "E9003"),
    ("Address", {"Type": "AWS::Lambda::Url", "Properties": {}}, "E9003"),
    ("ClusterInstance.Properties.PubliclyAccessible", ABSENT, "E9003"),
    ("Group.Properties.SecurityGroupIngress", [{"Fn::If": ["Open", {"CidrIp": "0.0.0.0/0"}, "x"]}], "E9003"),
    ("Bucket.Properties.BucketEncryption", ABSENT, "E9004"),
    ("Queue.Properties.SqsManagedSseEnabled", ABSENT, "E9004"),
    (f"TopicPolicy.{STATEMENTS}.0.Principal", {"Service": "events.amazonaws.com"}, "E9004"),
    ("Cache.Properties.AtRestEncryptionEnabled", ABSENT, "E9004"),
    ("Cluster.Properties.StorageEncrypted", False, "E9004"),
    ("CacheOfTable.Properties.SSESpecification", ABSENT, "E9004"),
    (f"BucketPolicy.{STATEMENTS}", [], "E9005"),
    (f"BucketPolicy.{STATEMENTS}.0.Resource", [arn("Bucket")], "E9005"),
    (f"BucketPolicy.{STATEMENTS}.0.Action", "s3:PutObject", "E9005"),
    ("QueuePolicy", ABSENT, "E9005"),
    (f"TopicPolicy.{STATEMENTS}.1", ABSENT, "E9005"),
    ("Distribution.Properties.DistributionConfig.DefaultCacheBehavior.ViewerProtocolPolicy", "allow-all", "E9005"),
    ("ConfigurationSet.Properties.DeliveryOptions", ABSENT, "E9005"),
    ("Subscription.Properties", {"Protocol": "http", "RedrivePolicy": {}}, "E9005"),
    ("Cache.Properties.TransitEncryptionEnabled", ABSENT, "E9005"),
    ("CacheOfTable.Properties.ClusterEndpointEncryptionType", ABSENT, "E9005"),
    ("Cluster.Properties.DBClusterParameterGroupName", ABSENT, "E9005"),
    ("ClusterParameters.Properties.Parameters", {}, "E9005"),
    ("Pool.Properties.RequireTLS", ABSENT, "E9005"),
    ("Logs.Properties.RetentionInDays", ABSENT, "E9006"),
    ("Function.Properties.LoggingConfig", ABSENT, "E9006"),
    ("Machine.Properties.LoggingConfiguration", ABSENT, "E9006"),
    ("Stage.Properties.AccessLogSetting", ABSENT, "E9006"),
    ("HttpStage.Properties.AccessLogSettings", ABSENT, "E9006"),
    (f"{CONTAINER}.LogConfiguration", ABSENT, "E9006"),
    ("FunctionFailures", ABSENT, "E9007"),
    ("Queue.Properties.RedrivePolicy", ABSENT, "E9007"),
    ("QueueMapping.Properties.FunctionResponseTypes", ABSENT, "E9007"),
    ("Rule.Properties.Targets.0.DeadLetterConfig", ABSENT, "E9007"),
    ("Schedule.Properties.Target.DeadLetterConfig", ABSENT, "E9007"),
    ("StreamMapping.Properties.DestinationConfig", ABSENT, "E9007"),
    ("Subscription.Properties.Protocol", "sqs", "E9007"),
    ("QueueAlarm", ABSENT, "E9008"),
    ("QueueAlarm.Properties.AlarmActions", [], "E9008"),
    ("Function.Properties.Environment.Variables.API_KEY", "x", "E9009"),
    ("Function.Properties.Environment.Variables.DB", "{{resolve:ssm-secure:/db:1}}", "E9009"),
    ("Client.Properties.GenerateSecret", True, "E9009"),
    ("Bucket.Properties.VersioningConfiguration", ABSENT, "E9010"),
    ("Bucket.Properties.BucketName", "registrar", "E9011"),
    ("Dashboard.Properties.DashboardName", {"Ref": "AWS::StackName"}, "E9011"),
    ("Role.Properties.RoleName", {"Fn::Sub": "${AWS::StackName}-role"}, "E9011"),
    (f"{CONTAINER}.User", ABSENT, "E9012"),
    (f"{CONTAINER}.User", "0:65532", "E9012"),
    (f"{CONTAINER}.ReadonlyRootFilesystem", ABSENT, "E9012"),
    (f"{CONTAINER}.LinuxParameters", ABSENT, "E9012"),
    (f"{CONTAINER}.Privileged", True, "E9012"),
]


def findings(resources: dict[str, Any], **sections: Any) -> set[str]:
    template = {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources} | sections
    cfn = Template("template.json", template)
    return {name for name, rule in RULES.items() if rule.match(cfn)}


def changed(path: str, value: Any) -> dict[str, Any]:
    resources = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place: Any = resources
    for parent in parents:
        place = place[int(parent) if isinstance(place, list) else parent]
    if isinstance(place, list):
        place[int(last) : int(last) + 1] = [] if value is ABSENT else [value]
    elif value is ABSENT:
        del place[last]
    else:
        place[last] = value
    return resources


def test_a_template_that_keeps_the_rules_is_not_complained_about() -> None:
    assert findings(GOOD) == set()


@pytest.mark.parametrize(("path", "value", "rule"), BAD, ids=[f"{rule}-{path}" for path, _, rule in BAD])
def test_a_rule_refuses(path: str, value: Any, rule: str) -> None:
    assert findings(changed(path, value)) == {rule}


@pytest.mark.parametrize(
    "parameter", [{"DatabasePassword": {"Type": "String"}}, {"X": {"Type": "String", "NoEcho": True}}]
)
def test_a_secret_is_no_parameter(parameter: dict[str, Any]) -> None:
    assert findings(GOOD, Parameters=parameter) == {"E9009"}


def test_each_rule_has_been_shown_to_fire() -> None:
    assert {rule for _, _, rule in BAD} == set(RULES)
