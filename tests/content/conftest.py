import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from io import BytesIO

import lambda_edge
import pytest
import room_modules
from botocore.exceptions import ClientError
from deployed_content import STRIPE_SECRET, Content
from reader_tokens import configuration
from rooms import PROJECT
from stack import Stack
from tools import missing
from verifiers import HERE, AwsJwtVerify, Driven, PyJwt

PEERS = HERE.parents[1] / "benches/content"


@pytest.fixture(scope="session")
def content(stack: Stack) -> Content:
    """The library beside the stack under test, with signed cookies in the local cloud."""
    if "STACK" in os.environ:
        try:
            return Content(stack)
        except ClientError as error:
            pytest.skip(f"the content is not beside {stack.name}: {error}")
    import beside

    secret = stack.client("secretsmanager").create_secret(Name=f"{stack.name}-stripe", SecretString=STRIPE_SECRET)
    beside.deploy("content", stack.name, "local", StripeSecretArn=secret["ARN"])
    room_modules.load(PROJECT / "scripts", "publish")["content"].publish(stack)
    return Content(stack)


@pytest.fixture(scope="session")
def admit_reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driven]:
    """The function, as its package has it."""
    place = tmp_path_factory.mktemp("edge")
    with zipfile.ZipFile(BytesIO(lambda_edge.package(configuration()))) as files:
        files.extractall(place)
    driven = Driven(place / "log", place / "admit-reader.mjs")
    yield driven
    driven.stop()


@pytest.fixture(scope="session")
def peers() -> None:
    """AWS's libraries in Node, installed."""
    if not shutil.which("npm"):
        missing("npm", "npm")
    installed = PEERS / "node_modules/.package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < (PEERS / "package-lock.json").stat().st_mtime:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", PEERS]
        subprocess.run(command, check=True)


@pytest.fixture(scope="session")
def aws_jwt_verify(peers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsJwtVerify]:
    place = tmp_path_factory.mktemp("aws-jwt-verify")
    (place / "config.json").write_text(json.dumps(configuration()))
    driven = AwsJwtVerify(place / "log", HERE / "aws-jwt-verify.mjs", str(place / "config.json"))
    yield driven
    driven.stop()


@pytest.fixture(scope="session", params=["aws-jwt-verify", "PyJWT"])
def peer(request: pytest.FixtureRequest) -> AwsJwtVerify | PyJwt:
    """A library that decides on the same tokens."""
    return PyJwt() if request.param == "PyJWT" else request.getfixturevalue("aws_jwt_verify")
