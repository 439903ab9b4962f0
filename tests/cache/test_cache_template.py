"""What the template of the cache promises, and no deployment to the local cloud shows."""

from rooms import PROJECT, Room

ROOM = Room("cache")
# What costs nothing while nobody uses it.
FREE = {
    "AWS::CloudWatch::Dashboard",
    "AWS::IAM::Role",
    "AWS::Lambda::Permission",
    "AWS::Logs::LogGroup",
    "AWS::Logs::QueryDefinition",
    "AWS::Serverless::Function",
    "AWS::Serverless::HttpApi",
}


def test_without_a_cluster_there_is_no_network_and_only_alarms_cost_money_while_idle() -> None:
    assert ROOM.template["Parameters"]["Nodes"]["Default"] == 0
    assert ROOM.template["Conditions"] == {"HasCluster": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Nodes"}, 0]}]}}
    always = {resource["Type"] for resource in ROOM.resources.values() if resource.get("Condition") != "HasCluster"} - {
        "AWS::CloudWatch::Alarm"
    }
    assert always == FREE
    network = ROOM.functions["ListAdvisorTimes"]["Properties"]["VpcConfig"]
    assert network["Fn::If"][0] == "HasCluster"
    assert network["Fn::If"][2] == {"Ref": "AWS::NoValue"}


def test_only_the_function_reaches_the_cluster_and_with_tls() -> None:
    [group] = ROOM.resources["Cluster"]["Properties"]["SecurityGroupIds"]
    [ingress] = ROOM.resources[group["Ref"]]["Properties"]["SecurityGroupIngress"]
    assert ingress == {
        "IpProtocol": "tcp",
        # "9111 for the "daxs" protocol" (API_dax_Endpoint).
        "FromPort": 9111,
        "ToPort": 9111,
        "SourceSecurityGroupId": {"Ref": "ListAdvisorTimesGroup"},
    }
    assert ROOM.resources["Cluster"]["Properties"]["ClusterEndpointEncryptionType"] == "TLS"


def test_the_network_has_no_way_out_but_to_the_table() -> None:
    ways = {
        "AWS::EC2::InternetGateway",
        "AWS::EC2::NatGateway",
        "AWS::EC2::Route",
        "AWS::EC2::TransitGatewayAttachment",
    }
    assert not ROOM.of_type(*ways)
    [endpoint] = ROOM.of_type("AWS::EC2::VPCEndpoint").values()
    [statement] = endpoint["Properties"]["PolicyDocument"]["Statement"]
    [cluster] = ROOM.resources["ClusterRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    assert statement["Action"] == cluster["Action"] == ["dynamodb:DescribeTable", "dynamodb:Query"]


def test_the_handler_does_not_know_of_the_cluster() -> None:
    handler = (PROJECT / "handlers/cache/list-advisor-times/src/handler.rs").read_text()
    assert "dynamodb_dax" not in handler
    assert "DAX" not in handler
