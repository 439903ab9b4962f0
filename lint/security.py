"""The security rules for every template of this project, as rules of cfn-lint.

cfn-lint applies SAM's transform first, so the rules see plain CloudFormation: a function's event is a mapping, or a
rule with a permission. Each rule is shown to fire in tests/test_lint_rules.py.
"""

import re
from collections.abc import Iterator
from typing import Any

from cfnlint.rules import CloudFormationLintRule, RuleMatch
from cfnlint.template import Template

Place = list[str | int]
Resources = Iterator[tuple[str, dict[str, Any]]]

# According to AWS, these actions have no resource to name.
ACTIONS_WITHOUT_RESOURCE = {
    # It has a resource, but refusals of it name alarm:*, not a single alarm.
    "cloudwatch:DescribeAlarms",
    "cloudwatch:PutMetricData",
    # Lambda looks for these before a network interface exists, as AWSLambdaVPCAccessExecutionRole grants them.
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
    "ecr:GetAuthorizationToken",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}

# The resources of these actions are the recipients, too, so a condition key limits what may be done.
LIMITED_BY_CONDITION = {"ses:SendEmail": "ses:FromAddress"}

# API Gateway's logs belong to the account and region, and AWS documents this policy for them.
MANAGED_POLICIES = {"service-role/AmazonAPIGatewayPushToCloudWatchLogs"}

RESOURCE_POLICIES = {
    "AWS::S3::Bucket": ("AWS::S3::BucketPolicy", "Bucket"),
    "AWS::SNS::Topic": ("AWS::SNS::TopicPolicy", "Topics"),
    "AWS::SQS::Queue": ("AWS::SQS::QueuePolicy", "Queues"),
}

# Services that call a function and do not wait for its result.
ASYNCHRONOUS_CALLERS = {"events", "iot", "logs", "s3", "scheduler", "ses", "sns"}

# An account has one resource of these types for each name, in all regions; for buckets, the whole world has one.
NAMES_OF_THE_ACCOUNT = {
    "AWS::CloudFront::CachePolicy": ["CachePolicyConfig", "Name"],
    "AWS::CloudFront::Function": ["Name"],
    "AWS::CloudFront::OriginAccessControl": ["OriginAccessControlConfig", "Name"],
    "AWS::CloudFront::OriginRequestPolicy": ["OriginRequestPolicyConfig", "Name"],
    "AWS::CloudFront::ResponseHeadersPolicy": ["ResponseHeadersPolicyConfig", "Name"],
    "AWS::CloudWatch::Dashboard": ["DashboardName"],
    "AWS::IAM::ManagedPolicy": ["ManagedPolicyName"],
    "AWS::IAM::Role": ["RoleName"],
    "AWS::S3::Bucket": ["BucketName"],
}

SECRET = re.compile(r"secret|passw|passphrase|token|credential|private|(api|access|signing)_?key", re.IGNORECASE)
# The place of a secret is not a secret.
SECRET_NAME = re.compile(r"_(ARN|ID|NAME|PATH|URL)$|(Arn|Id|Name|Path|Url)$")


def of_type(cfn: Template, *types: str) -> Resources:
    for name, resource in cfn.get_resources(list(types)).items():
        yield name, resource.get("Properties") or {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def at(name: str, *path: str | int) -> Place:
    return ["Resources", name, "Properties", *path]


def named(value: Any) -> str | None:
    """The logical id that a Ref or a Fn::GetAtt names."""
    if not isinstance(value, dict):
        return None
    if "Fn::GetAtt" in value:
        attribute = value["Fn::GetAtt"]
        return attribute[0] if isinstance(attribute, list) else attribute.split(".")[0]
    return value.get("Ref")


def at_depth(document: dict[str, Any], *keys: str) -> Any:
    """The value below these keys; None if there is none."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def policies(cfn: Template) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Each allowing statement, and its place."""
    documents: list[tuple[Place, dict[str, Any]]] = []
    for name, role in of_type(cfn, "AWS::IAM::Role"):
        documents += [
            (at(name, "Policies", place, "PolicyDocument"), policy["PolicyDocument"])
            for place, policy in enumerate(role.get("Policies", []))
        ]
        documents.append((at(name, "AssumeRolePolicyDocument"), role["AssumeRolePolicyDocument"]))
    types = ["AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", *(kind for kind, _ in RESOURCE_POLICIES.values())]
    documents += [(at(name, "PolicyDocument"), policy["PolicyDocument"]) for name, policy in of_type(cfn, *types)]
    for path, document in documents:
        for place, statement in enumerate(as_list(document["Statement"])):
            branches = [([place], statement)]
            if "Fn::If" in statement:
                branches = [([place, "Fn::If", branch], statement["Fn::If"][branch]) for branch in (1, 2)]
            for branch, one in branches:
                # The other branch can be AWS::NoValue.
                if one.get("Effect") == "Allow":
                    yield [*path, "Statement", *branch], one


class NamedPermissions(CloudFormationLintRule):
    id = "E9001"
    shortdesc = "A policy names its actions and its resources"
    description = "No wildcard in an action; the resource * only for actions that have no resource to name."

    def match(self, cfn: Template) -> list[RuleMatch]:
        matches = []
        for path, statement in policies(cfn):
            actions = set(as_list(statement.get("Action", [])))
            if {"NotAction", "NotResource", "NotPrincipal"} & statement.keys():
                matches.append(RuleMatch(path, "List the allowed actions, not the others"))
            if any("*" in action for action in actions):
                matches.append(RuleMatch(path, "An action has a wildcard: name the actions"))
            exact = at_depth(statement, "Condition", "StringEquals") or {}
            limited = {action for action in actions if LIMITED_BY_CONDITION.get(action) in exact}
            if not actions <= ACTIONS_WITHOUT_RESOURCE | limited and any(
                map(is_any, as_list(statement.get("Resource", [])))
            ):
                matches.append(RuleMatch(path, "The resource is a wildcard: name it"))
        return matches


def is_any(resource: Any) -> bool:
    """Whether a resource is * or leaves the name open, as in arn:aws:s3:::*."""
    text = resource.get("Fn::Sub", "") if isinstance(resource, dict) else resource
    text = text[0] if isinstance(text, list) else text
    return re.fullmatch(r"\*|arn:([^:]*:){4}([a-z-]+[:/])?\*.*", re.sub(r"\$\{[^}]*\}", "x", text)) is not None


class WrittenPolicies(CloudFormationLintRule):
    id = "E9002"
    shortdesc = "A role's permissions are in the template"
    description = "AWS's managed policies grant more than is needed, and change without a deployment."

    def match(self, cfn: Template) -> list[RuleMatch]:
        matches = []
        for name, role in of_type(cfn, "AWS::IAM::Role"):
            for place, arn in enumerate(role.get("ManagedPolicyArns", [])):
                text = str(arn.get("Fn::Sub", "") if isinstance(arn, dict) else arn)
                if text.partition(":policy/")[2] not in MANAGED_POLICIES:
                    matches.append(RuleMatch(at(name, "ManagedPolicyArns", place), "Write the permissions out"))
        return matches


class NothingPublic(CloudFormationLintRule):
    id = "E9003"
    shortdesc = "Nothing is public"
    description = (
        "Buckets and databases are private; no policy allows every principal; a service calls a function for one "
        "source; only a load balancer lets the internet in."
    )

    def match(self, cfn: Template) -> list[RuleMatch]:
        matches = []
        for name, bucket in of_type(cfn, "AWS::S3::Bucket"):
            block = bucket.get("PublicAccessBlockConfiguration", {})
            if len(block) < 4 or not all(value is True for value in block.values()):
                matches.append(RuleMatch(at(name), "PublicAccessBlockConfiguration has to block in all four ways"))
            rules = at_depth(bucket, "OwnershipControls", "Rules") or [{}]
            if any(rule.get("ObjectOwnership") != "BucketOwnerEnforced" for rule in rules):
                matches.append(RuleMatch(at(name), "ObjectOwnership has to be BucketOwnerEnforced: no access lists"))
            if "WebsiteConfiguration" in bucket:
                matches.append(RuleMatch(at(name, "WebsiteConfiguration"), "Serve pages through CloudFront"))
        for path, statement in policies(cfn):
            principal = statement.get("Principal")
            if "*" in as_list(principal["AWS"] if isinstance(principal, dict) and "AWS" in principal else principal):
                matches.append(RuleMatch(path, "Every principal is allowed: name one"))
        for name, permission in of_type(cfn, "AWS::Lambda::Permission"):
            if not {"SourceArn", "SourceAccount"} & permission.keys() or permission.get("Principal") == "*":
                matches.append(RuleMatch(at(name), "Name the SourceArn that may call"))
        for name, instance in of_type(cfn, "AWS::RDS::DBInstance"):
            if instance.get("PubliclyAccessible") is not False:
                message = (
                    "PubliclyAccessible has to be false: in a network with an internet gateway, it is true otherwise"
                )
                matches.append(RuleMatch(at(name), message))
        balancers = of_type(cfn, "AWS::ElasticLoadBalancingV2::LoadBalancer")
        facing = {named(group) for _, balancer in balancers for group in balancer.get("SecurityGroups", [])}
        for name, group in of_type(cfn, "AWS::EC2::SecurityGroup"):
            if name not in facing and re.search(r"'(0\.0\.0\.0|::)/0'", str(group.get("SecurityGroupIngress"))):
                matches.append(RuleMatch(at(name, "SecurityGroupIngress"), "Name the group that may connect"))
        for name, _ in of_type(cfn, "AWS::Lambda::Url"):
            matches.append(RuleMatch(at(name), "A function's URL goes round the API and its authorizer"))
        return matches


class EncryptedAtRest(CloudFormationLintRule):
    id = "E9004"
    shortdesc = "Stored data is encrypted"
    description = (
        "With keys that AWS owns, at no cost. Tables, user pools and log groups always are. A topic is not, unless it "
        "has a key of ours: it may do without while only alarms, which hold no data, are published to it."
    )

    def match(self, cfn: Template) -> list[RuleMatch]:
        matches = []
        for name, bucket in of_type(cfn, "AWS::S3::Bucket"):
            if not at_depth(bucket, "BucketEncryption", "ServerSideEncryptionConfiguration"):
                matches.append(RuleMatch(at(name), "Set BucketEncryption"))
        for name, queue in of_type(cfn, "AWS::SQS::Queue"):
            if queue.get("SqsManagedSseEnabled") is not True and "KmsMasterKeyId" not in queue:
                matches.append(RuleMatch(at(name), "Set SqsManagedSseEnabled"))
        for kind, setting in {
            "AWS::ElastiCache::ReplicationGroup": "AtRestEncryptionEnabled",
            "AWS::RDS::DBCluster": "StorageEncrypted",
        }.items():
            for name, resource in of_type(cfn, kind):
                if resource.get(setting) is not True:
                    matches.append(RuleMatch(at(name), f"Set {setting}"))
        for name, cluster in of_type(cfn, "AWS::DAX::Cluster"):
            if at_depth(cluster, "SSESpecification", "SSEEnabled") is not True:
                matches.append(RuleMatch(at(name), "SSESpecification has to set SSEEnabled"))
        for name, topic in of_type(cfn, "AWS::SNS::Topic"):
            publishers = [
                statement.get("Principal")
                for _, policy in policies_of(cfn, "AWS::SNS::Topic", name)
                for statement in as_list(policy["Statement"])
                if statement["Effect"] == "Allow"
            ]
            only_alarms = publishers and all(one == {"Service": "cloudwatch.amazonaws.com"} for one in publishers)
            if "KmsMasterKeyId" not in topic and not only_alarms:
                matches.append(RuleMatch(at(name), "Set KmsMasterKeyId, or let only CloudWatch publish"))
        return matches


def policies_of(cfn: Template, kind: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The resource policies of a resource, with their logical ids."""
    policy_type, field = RESOURCE_POLICIES[kind]
    for policy_name, policy in of_type(cfn, policy_type):
        if name in map(named, as_list(policy[field])):
            yield policy_name, policy["PolicyDocument"]


class EncryptedInTransit(CloudFormationLintRule):
    id = "E9005"
    shortdesc = "Nothing is reached without TLS"
    description = (
        "Buckets, queues and topics refuse it in their policies; CloudFront redirects; SES, databases, their proxies "
        "and caches require it."
    )

    def match(self, cfn: Template) -> list[RuleMatch]:
        matches = []
        for kind in RESOURCE_POLICIES:
            for name, _ in of_type(cfn, kind):
                denials = [
                    statement
                    for _, policy in policies_of(cfn, kind, name)
                    for statement in as_list(policy["Statement"])
                    if is_denial_without_tls(statement, kind, name)
                ]
                if not denials:
                    matches.append(RuleMatch(at(name), "Its policy has to deny requests without TLS"))
        for name, distribution in of_type(cfn, "AWS::CloudFront::Distribution"):
            config = distribution["DistributionConfig"]
            for behavior in [config["DefaultCacheBehavior"], *config.get("CacheBehaviors", [])]:
                if behavior["ViewerProtocolPolicy"] not in ("https-only", "redirect-to-https"):
                    matches.append(RuleMatch(at(name, "DistributionConfig"), "ViewerProtocolPolicy has to ask for TLS"))
        for name, configuration_set in of_type(cfn, "AWS::SES::ConfigurationSet"):
            if at_depth(configuration_set, "DeliveryOptions", "TlsPolicy") != "REQUIRE":
                matches.append(RuleMatch(at(name), "DeliveryOptions: TlsPolicy has to be REQUIRE"))
        parameters = dict(of_type(cfn, "AWS::RDS::DBClusterParameterGroup"))
        for name, cluster in of_type(cfn, "AWS::RDS::DBCluster"):
            group = parameters.get(named(cluster.get("DBClusterParameterGroupName")) or "", {})
            if at_depth(group, "Parameters", "rds.force_ssl") != 1:
                matches.append(RuleMatch(at(name), "Its parameter group has to set rds.force_ssl to 1"))
        for kind, setting in {
            "AWS::ElastiCache::ReplicationGroup": "TransitEncryptionEnabled",
            "AWS::RDS::DBProxy": "RequireTLS",
        }.items():
            for name, resource in of_type(cfn, kind):
                if resource.get(setting) is not True:
                    matches.append(RuleMatch(at(name), f"Set {setting}"))
        for name, cluster in of_type(cfn, "AWS::DAX::Cluster"):
            if cluster.get("ClusterEndpointEncryptionType") != "TLS":
                matches.append(RuleMatch(at(name), "ClusterEndpointEncryptionType has to be TLS"))
        for name, subscription in of_type(cfn, "AWS::SNS::Subscription"):
            if subscription.get("Protocol") == "http":
                matches.append(RuleMatch(at(name, "Protocol"), "Subscribe with https"))
        return matches


def is_denial_without_tls(statement: dict[str, Any], kind: str, name: str) -> bool:
    arn = {"Ref": name} if kind == "AWS::SNS::Topic" else {"Fn::GetAtt": [name, "Arn"]}
    resources = [arn, {"Fn::Sub": f"${{{name}.Arn}}/*"}] if kind == "AWS::S3::Bucket" else [arn]
    # SNS has no sns:*; publishing is the operation that a stranger could perform.
    actions = {"AWS::S3::Bucket": ["s3:*"], "AWS::SQS::Queue": ["sqs:*"], "AWS::SNS::Topic": ["sns:Publish"]}
    return (
        statement["Effect"] == "Deny"
        and statement["Principal"] == "*"
        and as_list(statement["Action"]) == actions[kind]
        and as_list(statement["Resource"]) == resources
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    )


class LogRetention(CloudFormationLintRule):
    id = "E9006"
    shortdesc = "The template sets how long logs are kept"
    description = "Log groups have a retention, and what logs names one of the template's groups: AWS's have none."

    def match(self, cfn: Template) -> list[RuleMatch]:
        matches = [
            RuleMatch(at(name), "Set RetentionInDays")
            for name, group in of_type(cfn, "AWS::Logs::LogGroup")
            if not group.get("RetentionInDays")
        ]
        groups = dict(of_type(cfn, "AWS::Logs::LogGroup"))
        for name, function in of_type(cfn, "AWS::Lambda::Function"):
            if named(at_depth(function, "LoggingConfig", "LogGroup")) not in groups:
                matches.append(RuleMatch(at(name), "LoggingConfig has to name a log group of the template"))
        for name, machine in of_type(cfn, "AWS::StepFunctions::StateMachine"):
            destinations = at_depth(machine, "LoggingConfiguration", "Destinations") or []
            arns = [at_depth(one, "CloudWatchLogsLogGroup", "LogGroupArn") for one in destinations]
            if not arns or any(named(arn) not in groups for arn in arns):
                matches.append(RuleMatch(at(name), "LoggingConfiguration has to name a log group of the template"))
        for kind, setting in {
            "AWS::ApiGateway::Stage": "AccessLogSetting",
            "AWS::ApiGatewayV2::Stage": "AccessLogSettings",
        }.items():
            for name, stage in of_type(cfn, kind):
                if named(at_depth(stage, setting, "DestinationArn")) not in groups:
                    matches.append(RuleMatch(at(name), f"{setting} has to name a log group of the template"))
        for path, container in containers(cfn):
            if named(at_depth(container, "LogConfiguration", "Options", "awslogs-group")) not in groups:
                matches.append(RuleMatch(path, "LogConfiguration has to name a log group of the template"))
        return matches


def containers(cfn: Template) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Each container of a task, and its place."""
    for name, task in of_type(cfn, "AWS::ECS::TaskDefinition"):
        for place, container in enumerate(task["ContainerDefinitions"]):
            yield at(name, "ContainerDefinitions", place), container


class FailureDestination(CloudFormationLintRule):
    id = "E9007"
    shortdesc = "Failed asynchronous work goes to a failure destination"
    description = "Mappings, rules, schedules, subscriptions, notifications of buckets, and their functions."

    def match(self, cfn: Template) -> list[RuleMatch]:
        matches = []
        queues = dict(of_type(cfn, "AWS::SQS::Queue"))
        functions = dict(of_type(cfn, "AWS::Lambda::Function"))
        called: dict[str, Place] = {}
        for name, mapping in of_type(cfn, "AWS::Lambda::EventSourceMapping"):
            source = queues.get(named(mapping.get("EventSourceArn")) or "")
            if source is not None and not at_depth(source, "RedrivePolicy", "deadLetterTargetArn"):
                matches.append(RuleMatch(at(name), "The queue needs a RedrivePolicy"))
            if source is None and not at_depth(mapping, "DestinationConfig", "OnFailure", "Destination"):
                matches.append(RuleMatch(at(name), "The stream's mapping needs a DestinationConfig"))
            if mapping.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
                matches.append(RuleMatch(at(name), "One bad record fails its batch: ReportBatchItemFailures"))
        targets = [
            (at(name, "Targets", place), target)
            for name, rule in of_type(cfn, "AWS::Events::Rule")
            for place, target in enumerate(rule.get("Targets", []))
        ]
        targets += [(at(name, "Target"), one["Target"]) for name, one in of_type(cfn, "AWS::Scheduler::Schedule")]
        for path, target in targets:
            called[named(target["Arn"]) or ""] = path
            if not at_depth(target, "DeadLetterConfig", "Arn"):
                matches.append(RuleMatch(path, "The target needs a DeadLetterConfig"))
        for name, subscription in of_type(cfn, "AWS::SNS::Subscription"):
            # A person can't be sent the same notification again from a queue.
            if subscription["Protocol"] not in ("email", "email-json", "sms") and "RedrivePolicy" not in subscription:
                matches.append(RuleMatch(at(name), "The subscription needs a RedrivePolicy"))
        for name, permission in of_type(cfn, "AWS::Lambda::Permission"):
            if str(permission["Principal"]).partition(".")[0] in ASYNCHRONOUS_CALLERS:
                called[named(permission["FunctionName"]) or ""] = at(name)
        caught = {
            named(config["FunctionName"])
            for _, config in of_type(cfn, "AWS::Lambda::EventInvokeConfig")
            if at_depth(config, "DestinationConfig", "OnFailure", "Destination")
        }
        for function, path in called.items():
            if function in functions.keys() - caught:
                matches.append(RuleMatch(path, f"{function} is called asynchronously and needs an EventInvokeConfig"))
        return matches


class WatchedQueues(CloudFormationLintRule):
    id = "E9008"
    shortdesc = "Each queue has an alarm"
    description = "Without an alarm, a message that stays in a queue is an unnoticed loss."

    def match(self, cfn: Template) -> list[RuleMatch]:
        watched = {
            named(dimension["Value"])
            for _, alarm in of_type(cfn, "AWS::CloudWatch::Alarm")
            if alarm.get("AlarmActions")
            for dimension in alarm.get("Dimensions", [])
            if dimension["Name"] == "QueueName"
        }
        return [
            RuleMatch(at(name), "Add an alarm on its QueueName")
            for name, _ in of_type(cfn, "AWS::SQS::Queue")
            if name not in watched
        ]


class NoSecrets(CloudFormationLintRule):
    id = "E9009"
    shortdesc = "No secret is in the template, its parameters or the environment of a function"
    description = "Everyone who may describe the stack or the function could read it: read secrets where they are kept."

    def match(self, cfn: Template) -> list[RuleMatch]:
        matches = []
        for name, parameter in (cfn.template.get("Parameters") or {}).items():
            if is_secret(name) or "NoEcho" in parameter:
                matches.append(RuleMatch(["Parameters", name], "Let the function read the secret where it is kept"))
        for name, function in of_type(cfn, "AWS::Lambda::Function"):
            for variable, value in (at_depth(function, "Environment", "Variables") or {}).items():
                if is_secret(variable) or "{{resolve:" in str(value):
                    path = at(name, "Environment", "Variables", variable)
                    matches.append(RuleMatch(path, "Let the function read the secret where it is kept"))
        for name, client in of_type(cfn, "AWS::Cognito::UserPoolClient"):
            if client.get("GenerateSecret") is not False:
                matches.append(RuleMatch(at(name), "A browser can't keep a secret: GenerateSecret has to be false"))
        return matches


def is_secret(name: str) -> bool:
    return bool(SECRET.search(name)) and not SECRET_NAME.search(name)


class Recoverable(CloudFormationLintRule):
    id = "E9010"
    shortdesc = "Overwritten and deleted data can be restored"
    description = "Buckets keep versions."

    def match(self, cfn: Template) -> list[RuleMatch]:
        return [
            RuleMatch(at(name), "Enable VersioningConfiguration")
            for name, bucket in of_type(cfn, "AWS::S3::Bucket")
            if at_depth(bucket, "VersioningConfiguration", "Status") != "Enabled"
        ]


class NamesOfTheAccount(CloudFormationLintRule):
    id = "E9011"
    shortdesc = "A name that is unique in an account contains the region"
    description = (
        "Stacks with one name in two regions would need the same name: AWS refuses the second, or replaces the first."
    )

    def match(self, cfn: Template) -> list[RuleMatch]:
        return [
            RuleMatch(at(name, *path), "Put ${AWS::Region} into the name, or leave it out")
            for kind, path in NAMES_OF_THE_ACCOUNT.items()
            for name, properties in of_type(cfn, kind)
            if "AWS::Region" not in str(at_depth(properties, *path) or "AWS::Region")
        ]


class ConfinedContainers(CloudFormationLintRule):
    id = "E9012"
    shortdesc = "A container can do little on its machine"
    description = "It runs as a user without rights, with no capabilities, and can't write to its file system."

    def match(self, cfn: Template) -> list[RuleMatch]:
        matches = []
        for path, container in containers(cfn):
            if re.fullmatch(r"|(root|0)(:.*)?", str(container.get("User", ""))):
                matches.append(RuleMatch(path, "User has to be another one than root"))
            if container.get("ReadonlyRootFilesystem") is not True:
                matches.append(RuleMatch(path, "Set ReadonlyRootFilesystem"))
            if at_depth(container, "LinuxParameters", "Capabilities", "Drop") != ["ALL"] or container.get("Privileged"):
                matches.append(RuleMatch(path, "Drop ALL capabilities"))
        return matches
