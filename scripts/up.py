"""Starts the local cloud, deploys what was built, and shows what each room does. It can be run again at any time."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import requests
from local_cloud import server
from stack import CONFIGURATION, NAME, architecture

PROJECT = Path(__file__).parent.parent
# Tests of the commands have a local cloud of their own.
DIRECTORY = Path(os.environ.get("LOCAL_CLOUD", PROJECT / ".local"))
STACK = f"{NAME}-local"
USUAL_PORT = 4566
# In a reserved domain: only the local cloud accepts it without a confirmation.
SENDER = "registrar@school.example"
SAM = str(Path(sys.executable).with_name("sam"))


def step(title: str) -> None:
    print(f"\n==> {title}", flush=True)


def run(*command: str, environment: dict[str, str]) -> None:
    result = subprocess.run(command, cwd=PROJECT, env=environment, check=False)
    if result.returncode != 0:
        sys.exit(f"\n`{' '.join(command)}` failed; its output is above.")


def verify_sender(port: int) -> None:
    """Makes SES treat the sender's domain as verified, as a school does once for an account and region."""
    endpoint, region = f"http://{server.HOST}:{port}", server.CREDENTIALS["AWS_DEFAULT_REGION"]
    domain = SENDER.partition("@")[2]
    keys = (server.CREDENTIALS["AWS_ACCESS_KEY_ID"], server.CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
    ses = boto3.Session(*keys, region_name=region).client("sesv2", endpoint_url=endpoint)
    with contextlib.suppress(ses.exceptions.AlreadyExistsException):
        ses.create_email_identity(EmailIdentity=domain)
    parameters = {"identity": domain, "region": region}
    requests.get(f"{endpoint}/_local/confirm", params=parameters, timeout=30).raise_for_status()


def deploy(port: int, stack: str, stage: str) -> None:
    """Deploys what `sam build` built, to the cloud at this port, as this stage."""
    verify_sender(port)
    overrides = [
        *CONFIGURATION["local"]["deploy"]["parameters"]["parameter_overrides"].split(),
        f"Stage={stage}",
        f"Architecture={architecture()}",
        f"LocalPort={port}",
        f"NotificationSender={SENDER}",
    ]
    command = [SAM, "deploy", "--config-env", "local", "--stack-name", stack, "--parameter-overrides", *overrides]
    run(*command, environment=server.client_environment(port))


@contextlib.contextmanager
def deployed(directory: Path, stack: str, stage: str) -> Iterator[None]:
    """A local cloud with a stack while the block runs; the SDKs of this program use it."""
    with server.running(directory) as port:
        os.environ.update(server.client_environment(port))
        deploy(port, stack, stage)
        yield


def running_port() -> int:
    """The port of the running cloud; ends the program if there is none."""
    port = server.find(DIRECTORY)
    if port is None:
        sys.exit("The local cloud is not running: make up")
    return port


def main() -> None:
    port = server.find(DIRECTORY)
    if port:
        step(f"The local cloud runs at port {port}")
    else:
        port = USUAL_PORT
        if server.is_taken(port):
            port = server.free_port()
            step(f"Starting the local cloud at port {port}, because another program has {USUAL_PORT}")
        else:
            step(f"Starting the local cloud at port {port}")
        try:
            server.start(port, DIRECTORY)
        except RuntimeError as error:
            sys.exit(str(error))

    step("Deploying template.yaml with sam deploy")
    deploy(port, STACK, "local")

    # The steps of the root's rooms after a deployment, and their demonstrations.
    rooms = sorted(re.findall(r"Location: stacks/(.+)/template\.yaml", (PROJECT / "template.yaml").read_text()))
    scripts = [PROJECT / "scripts" / room for room in rooms]
    for script in [*(room / "publish.py" for room in scripts), *(room / "demo.py" for room in scripts)]:
        if script.exists():
            step(str(script.relative_to(PROJECT)))
            run(sys.executable, str(script), "local", environment=server.client_environment(port))
    print(f"Mailbox    http://{server.HOST}:{port}/_local/mailbox")
    print(f"Endpoint   http://{server.HOST}:{port} (for the AWS command line: eval $(make environment))")
    function = min(PROJECT.glob("events/*/*.json")).stem
    print(f"\nNext: make invoke F={function}, make watch, make logs ENV=local, make down; make help lists all commands")


if __name__ == "__main__":
    main()
