"""Deploys a stack beside the root, and shows what its room does: `make up ROOM=…` and `make deploy ROOM=…`.

The parameters are the root's in samconfig.toml, those of stacks/<room>/parameters.toml, and those that the room's
scripts/<room>/before_deploy.py makes. What else the room needs, its scripts/<room>/after_deploy.py does.
"""

import os
import subprocess
import sys
from pathlib import Path

import room_modules
import tomlkit
from stack import CONFIGURATION, NAME, architecture, stack_name

PROJECT = Path(__file__).parent.parent
SAM = str(Path(sys.executable).with_name("sam"))


def section(environment: str) -> str:
    """samconfig.toml calls dev the default."""
    return "default" if environment == "dev" else environment


def parameters_of(environment: str) -> dict[str, str]:
    """The root's parameters in an environment."""
    overrides = CONFIGURATION[section(environment)]["deploy"]["parameters"]["parameter_overrides"].split()
    return dict(override.split("=", 1) for override in overrides)


def parameters_for(room: str, environment: str) -> dict[str, str]:
    """The root's parameters, and a room's own, which come first."""
    own = PROJECT / "stacks" / room / "parameters.toml"
    return parameters_of(environment) | (
        tomlkit.parse(own.read_text()).unwrap().get(environment, {}) if own.exists() else {}
    )


def sam_deploy(
    template: str, root: str, part: str, environment: str, parameters: dict[str, str], region: str | None = None
) -> None:
    """Deploys a template as a stack beside the root, with an environment's settings; ends the program if it fails.

    Without a region, the stack is in that of the root.
    """
    command = [SAM, "deploy", "--template-file", template, "--stack-name", stack_name(root, part)]
    if region:
        command += ["--region", region]
    # SAM looks for the file beside the template.
    command += ["--config-file", str(PROJECT / "samconfig.toml"), "--config-env", section(environment)]
    overrides = {"RootStackName": root} | parameters
    command += ["--parameter-overrides", *(f"{name}={value}" for name, value in overrides.items())]
    if subprocess.run(command, cwd=PROJECT, check=False).returncode != 0:
        sys.exit(f"\nThe stack {stack_name(root, part)} was not deployed; the reason is above.")


def deploy(room: str, root: str, environment: str, **given: str) -> None:
    """Deploys a room's stack, with these parameters and those of its environment."""
    parameters = parameters_for(room, environment)
    if environment == "local":
        port = os.environ["AWS_ENDPOINT_URL"].rpartition(":")[2]
        parameters |= {"Stage": "local", "Architecture": architecture(), "LocalPort": port}
    parameters |= given
    if before := room_modules.load(PROJECT / "scripts", "before_deploy").get(room):
        parameters |= before.before_deploy(root, environment, parameters)
    built = PROJECT / ".aws-sam" / room / "template.yaml"
    template = built if built.exists() else PROJECT / "stacks" / room / "template.yaml"
    sam_deploy(str(template.relative_to(PROJECT)), root, room, environment, parameters)
    if after := room_modules.load(PROJECT / "scripts", "after_deploy").get(room):
        after.after_deploy(root, environment, parameters)


def main() -> None:
    room, environment = sys.argv[1:]
    deploy(room, f"{NAME}-{environment}", environment)
    # Other rooms publish what they show of this one.
    scripts = sorted((PROJECT / "scripts").glob("*/publish.py"))
    if environment == "local":
        scripts += (PROJECT / "scripts" / room).glob("demo.py")
    for script in scripts:
        print(f"\n==> {script.relative_to(PROJECT)}", flush=True)
        if code := subprocess.run([sys.executable, str(script), environment], check=False).returncode:
            sys.exit(code)


if __name__ == "__main__":
    main()
