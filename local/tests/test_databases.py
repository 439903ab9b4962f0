"""An Aurora cluster of a stack: real servers, IAM authentication, and the stand-in for RDS Proxy."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
import pytest
from botocore.credentials import Credentials
from directory_stack import SUBNETS, connect, credentials, database_token, deploy, run, signed_token
from local_cloud.faults import Faults
from running_cloud import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Cloud

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "rds.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
CLUSTER_USER = {"Fn::Sub": f"arn:aws:rds-db:{REGION}:000000000000:dbuser:${{Cluster.DBClusterResourceId}}/reader"}
INSTANCE = {
    "DBClusterIdentifier": {"Ref": "Cluster"},
    "Engine": "aurora-postgresql",
    "DBInstanceClass": "db.serverless",
}
RESOURCES = {
    "Cluster": {
        "Type": "AWS::RDS::DBCluster",
        "Properties": {
            "DBClusterIdentifier": "school",
            "Engine": "aurora-postgresql",
            "DatabaseName": "school",
            "MasterUsername": "owner",
            "ManageMasterUserPassword": True,
            "EnableIAMDatabaseAuthentication": True,
        },
    },
    "Writer": {"Type": "AWS::RDS::DBInstance", "Properties": INSTANCE | {"DBInstanceIdentifier": "school-a"}},
    "Reader": {
        "Type": "AWS::RDS::DBInstance",
        "DependsOn": "Writer",
        "Properties": INSTANCE | {"DBInstanceIdentifier": "school-b"},
    },
    "ProxyRole": {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "RoleName": "school-proxy",
            "AssumeRolePolicyDocument": TRUST,
            "Policies": [
                {
                    "PolicyName": "connect",
                    "PolicyDocument": {
                        "Version": "2012-10-17",
                        "Statement": [{"Effect": "Allow", "Action": "rds-db:connect", "Resource": CLUSTER_USER}],
                    },
                }
            ],
        },
    },
    "Proxy": {
        "Type": "AWS::RDS::DBProxy",
        "Properties": {
            "DBProxyName": "school",
            "EngineFamily": "POSTGRESQL",
            "DefaultAuthScheme": "IAM_AUTH",
            "RequireTLS": True,
            "RoleArn": {"Fn::GetAtt": "ProxyRole.Arn"},
            "VpcSubnetIds": SUBNETS,
        },
    },
    "ProxyTarget": {
        "Type": "AWS::RDS::DBProxyTargetGroup",
        "DependsOn": ["Writer", "Reader"],
        "Properties": {
            "DBProxyName": {"Ref": "Proxy"},
            "TargetGroupName": "default",
            "DBClusterIdentifiers": [{"Ref": "Cluster"}],
            "ConnectionPoolConfigurationInfo": {"ConnectionBorrowTimeout": 2},
        },
    },
    "ProxyReader": {
        "Type": "AWS::RDS::DBProxyEndpoint",
        "DependsOn": "ProxyTarget",
        "Properties": {
            "DBProxyEndpointName": "school-read",
            "DBProxyName": {"Ref": "Proxy"},
            "TargetRole": "READ_ONLY",
            "VpcSubnetIds": SUBNETS,
        },
    },
}
OUTPUTS = {
    "Writer": {"Fn::GetAtt": "Cluster.Endpoint.Address"},
    "Port": {"Fn::GetAtt": "Cluster.Endpoint.Port"},
    "Reader": {"Fn::GetAtt": "Cluster.ReadEndpoint.Address"},
    "Secret": {"Fn::GetAtt": "Cluster.MasterUserSecret.SecretArn"},
    "ClusterId": {"Fn::GetAtt": "Cluster.DBClusterResourceId"},
    "Proxy": {"Fn::GetAtt": "Proxy.Endpoint"},
    "ProxyArn": {"Fn::GetAtt": "Proxy.DBProxyArn"},
    "ProxyReader": {"Fn::GetAtt": "ProxyReader.Endpoint"},
}
ROOT = Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)


class Database:
    """The deployed cluster, with a table, and a role of a client."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.at = deploy(cloud, "school", RESOURCES, OUTPUTS)
        self.faults = Faults(cloud.endpoint_url)
        secret = cloud.client("secretsmanager").get_secret_value(SecretId=self.at["Secret"])
        self.owner: dict[str, str] = json.loads(secret["SecretString"])
        with closing(self.as_owner()) as connection:
            run(connection, "CREATE TABLE numbers (number int)")
            run(connection, "CREATE ROLE reader LOGIN")
            # "GRANT rds_iam TO db_userx" (Aurora User Guide, Creating a database account using IAM authentication).
            run(connection, "GRANT rds_iam TO reader")
            run(connection, "GRANT SELECT, INSERT ON numbers TO reader")
            run(connection, "CREATE ROLE stranger LOGIN")
            run(connection, "CREATE ROLE helper LOGIN; GRANT rds_superuser TO helper")
        reader = connect(cloud, self.at["Reader"], self.owner["username"], self.owner["password"])
        cloud.wait_for(lambda: run(reader, "SELECT 1 FROM pg_roles WHERE rolname = 'helper'") == [(1,)])
        self.role = cloud.create_role("database-client", "lambda.amazonaws.com")

    def as_owner(self) -> Any:
        return connect(self.cloud, self.at["Writer"], self.owner["username"], self.owner["password"])

    def as_reader(self, endpoint: str, signer: Credentials = ROOT, **settings: Any) -> Any:
        token = database_token(signer, self.at[endpoint], "reader")
        return connect(self.cloud, self.at[endpoint], "reader", token, **settings)


@pytest.fixture(scope="module")
def database(cloud: Cloud) -> Iterator[Database]:
    yield Database(cloud)
    stacks = cloud.client("cloudformation")
    stacks.delete_stack(StackName="school")
    stacks.get_waiter("stack_delete_complete").wait(StackName="school", WaiterConfig={"Delay": 1})
    assert Faults(cloud.endpoint_url).servers() == {}


def test_what_the_writer_commits_reaches_the_reader_which_takes_no_writes(database: Database) -> None:
    assert database.at["Port"] == "5432"
    reader = database.as_reader("Reader")
    run(database.as_reader("Writer"), "INSERT INTO numbers VALUES (1)")
    database.cloud.wait_for(lambda: run(reader, "SELECT 1 FROM numbers WHERE number = 1") == [(1,)])
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        run(reader, "INSERT INTO numbers VALUES (2)")


def test_a_user_needs_a_token_whose_signer_may_connect_as_that_user(database: Database) -> None:
    cloud = database.cloud
    user = f"arn:aws:rds-db:{REGION}:000000000000:dbuser:{database.at['ClusterId']}"
    cloud.allow("database-client", "rds-db:connect", f"{user}/another")
    with pytest.raises(psycopg2.OperationalError, match='PAM authentication failed for user "reader"'):
        database.as_reader("Writer", credentials(cloud, database.role))
    cloud.allow("database-client", "rds-db:connect", f"{user}/reader")
    assert run(database.as_reader("Writer", credentials(cloud, database.role)), "SELECT 1") == [(1,)]


def test_a_token_is_for_one_endpoint_and_user_and_for_15_minutes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = database.at["Writer"]
    for other in (
        database_token(ROOT, database.at["Reader"], "reader"),
        database_token(ROOT, host, "stranger"),
        "none",
    ):
        with pytest.raises(psycopg2.OperationalError, match="PAM authentication failed"):
            connect(database.cloud, host, "reader", other)
    # "Each token has a lifetime of 15 minutes" (Aurora User Guide, IAM database authentication).
    signed_at = datetime.now(timezone.utc) - timedelta(minutes=16)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: signed_at)
    late = signed_token(ROOT, "rds-db", f"{host}:5432", {"DBUser": "reader"})
    monkeypatch.undo()
    assert run(
        connect(database.cloud, host, "reader", signed_token(ROOT, "rds-db", f"{host}:5432", {"DBUser": "reader"})),
        "SELECT 1",
    ) == [(1,)]
    with pytest.raises(psycopg2.OperationalError, match="PAM authentication failed"):
        connect(database.cloud, host, "reader", late)


@pytest.mark.parametrize("user", ["stranger", "helper", "rdsadmin"])
def test_a_user_outside_of_rds_iam_can_not_use_a_token(database: Database, user: str) -> None:
    token = database_token(ROOT, database.at["Writer"], user)
    with pytest.raises(psycopg2.OperationalError, match=user):
        connect(database.cloud, database.at["Writer"], user, token)


def test_the_master_user_needs_the_password_in_the_secret(database: Database) -> None:
    with pytest.raises(psycopg2.OperationalError, match='password authentication failed for user "owner"'):
        connect(database.cloud, database.at["Writer"], "owner", "guess")


@pytest.mark.parametrize("endpoint", ["Writer", "Proxy"])
def test_a_connection_without_tls_is_refused(database: Database, endpoint: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        database.as_reader(endpoint, sslmode="disable")


def test_a_proxy_lets_many_clients_share_five_connections(database: Database) -> None:
    backends, failures = set(), []

    def work() -> None:
        try:
            connection = database.as_reader("Proxy")
            connection.autocommit = False
            for _ in range(3):
                run(connection, "INSERT INTO numbers VALUES (7)")
                backends.update(run(connection, "SELECT pg_backend_pid()"))
                connection.commit()
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(backends) <= 5
    assert run(database.as_reader("Writer"), "SELECT count(*) FROM numbers WHERE number = 7") == [(120,)]


def test_a_proxy_and_its_role_need_permission_for_the_user(database: Database) -> None:
    cloud = database.cloud
    proxy = database.at["ProxyArn"].split(":")[6]
    with pytest.raises(psycopg2.OperationalError, match="PAM authentication failed"):
        database.as_reader("Proxy", credentials(cloud, database.role))
    cloud.allow("database-client", "rds-db:connect", f"arn:aws:rds-db:{REGION}:000000000000:dbuser:{proxy}/*")
    assert run(database.as_reader("Proxy", credentials(cloud, database.role)), "SELECT 1") == [(1,)]
    # The proxy's role may connect as reader only.
    token = database_token(credentials(cloud, database.role), database.at["Proxy"], "owner")
    with pytest.raises(psycopg2.OperationalError, match="PAM authentication failed"):
        connect(cloud, database.at["Proxy"], "owner", token)


def test_a_proxys_endpoint_for_reading_leads_to_the_reader(database: Database) -> None:
    assert run(database.as_reader("ProxyReader"), "SELECT pg_is_in_recovery()") == [(True,)]


# "For PostgreSQL, the following interactions also cause pinning" (Aurora User Guide, Avoiding pinning an RDS Proxy).
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("SET work_mem = '1MB'", "SET"),
        ("SELECT set_config('work_mem', '1MB', false)", "SET"),
        ("PREPARE one AS SELECT 1", "a prepared statement of SQL"),
        ("CREATE TEMPORARY TABLE t (i int)", "a temporary object"),
        ("BEGIN; DECLARE c CURSOR FOR SELECT 1; END", "a cursor"),
        ("DISCARD ALL", "a prepared statement of SQL"),
        ("LISTEN channel", "LISTEN"),
        ("SELECT pg_try_advisory_lock(1)", "a session-level advisory lock"),
        (f"SELECT '{'x' * 16 * 1024}'", "a statement of more than 16 KB"),
    ],
)
def test_a_statement_that_changes_its_session_pins_it(database: Database, statement: str, reason: str) -> None:
    with closing(database.as_reader("Proxy")) as connection:
        run(connection, statement)
        [pin] = database.faults.servers()["proxy/school"]["pinned"]
        assert (pin["user"], pin["reason"]) == ("reader", reason)
        measured = database.cloud.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/RDS",
            MetricName="DatabaseConnectionsCurrentlySessionPinned",
            Dimensions=[{"Name": "ProxyName", "Value": "school"}],
            StartTime=time.time() - 600,
            EndTime=time.time() + 60,
            Period=3600,
            Statistics=["Maximum"],
        )
        assert measured["Datapoints"][0]["Maximum"] == 1
    database.cloud.wait_for(lambda: database.faults.servers()["proxy/school"]["pinned"] == [])
    assert database.faults.servers()["proxy/school"]["pins"][-1] == pin


# "RDS Proxy does not pin on transaction level advisory locks" (the same page).
@pytest.mark.parametrize("statement", ["SELECT pg_advisory_xact_lock(1)", "SELECT 'set', ';prepare' -- listen"])
def test_other_statements_pin_nothing(database: Database, statement: str) -> None:
    with closing(database.as_reader("Proxy")) as connection:
        run(connection, statement)
        assert database.faults.servers()["proxy/school"]["pinned"] == []


def test_a_proxy_takes_no_options_of_the_command_line(database: Database) -> None:
    # "Feature not supported: RDS Proxy currently doesn't support command-line options."
    with pytest.raises(psycopg2.OperationalError, match="doesn't support command-line options"):
        database.as_reader("Proxy", options="-c statement_timeout=1")


def test_a_reader_can_lag_stop_and_come_back(database: Database) -> None:
    faults, reader, writer = database.faults, database.as_reader("Reader"), database.as_reader("Writer")

    def seen(number: int) -> bool:
        return run(reader, f"SELECT 1 FROM numbers WHERE number = {number}") == [(1,)]

    faults.pause_replay("database/school-b")
    run(writer, "INSERT INTO numbers VALUES (11)")
    assert not seen(11)
    faults.resume_replay("database/school-b")
    database.cloud.wait_for(lambda: seen(11))
    faults.kill("database/school-b")
    with pytest.raises(psycopg2.OperationalError):
        database.as_reader("Reader")
    assert run(database.as_reader("Writer"), "SELECT 1") == [(1,)]
    faults.start("database/school-b")
    assert run(database.as_reader("Reader"), "SELECT 1") == [(1,)]


def test_clients_of_a_proxy_wait_for_a_connection_as_long_as_it_says(database: Database) -> None:
    database.faults.stop("database/school-a")
    with pytest.raises(psycopg2.OperationalError, match="Timed-out waiting to acquire database connection"):
        database.as_reader("Proxy")
    database.faults.start("database/school-a")
    assert run(database.as_reader("Proxy"), "SELECT 1") == [(1,)]


def test_a_proxy_can_be_restarted(database: Database) -> None:
    connection = database.as_reader("Proxy")
    database.faults.stop("proxy/school")
    with pytest.raises(psycopg2.OperationalError):
        run(connection, "SELECT 1")
    with pytest.raises(psycopg2.OperationalError, match="refused"):
        database.as_reader("Proxy")
    database.faults.start("proxy/school")
    assert run(database.as_reader("Proxy"), "SELECT 1") == [(1,)]
