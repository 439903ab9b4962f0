"""Runs functions from their source behind the local cloud: edit a handler, and the next event runs the new code.

With the name of a function it runs only that one, and builds only that one.
"""

import os
import subprocess
import sys

import boto3
from local_cloud import server
from up import PROJECT, STACK, running_port

PROXY = "MINISTACK_LAMBDA_PROXY_URL"


def main() -> None:
    chosen = sys.argv[1:]
    environment = server.client_environment(running_port())
    os.environ.update(environment)
    functions = boto3.client("lambda")
    prefix = f"{STACK}-"
    watched = {
        function["FunctionName"]: function["Environment"]["Variables"]
        for page in functions.get_paginator("list_functions").paginate()
        for function in page["Functions"]
        if function["FunctionName"].startswith(prefix)
        and (not chosen or function["FunctionName"].removeprefix(prefix) in chosen)
    }
    # One process serves all functions, so they share an environment and the cloud's root user.
    for variables in watched.values():
        variables.pop(PROXY, None)
        environment |= variables

    binaries = [option for function in chosen for option in ("--bin", function)]
    subprocess.run(["cargo", "build", *binaries], cwd=PROJECT, env=environment, check=True)
    watch_port = server.free_port()
    command = ["cargo", "lambda", "watch", "--invoke-address", server.HOST, "--invoke-port", str(watch_port)]
    watch = subprocess.Popen(command, cwd=PROJECT, env=environment)
    try:
        for name, variables in watched.items():
            url = f"http://{server.HOST}:{watch_port}/2015-03-31/functions/{name.removeprefix(prefix)}/invocations"
            functions.update_function_configuration(
                FunctionName=name, Environment={"Variables": variables | {PROXY: url}}
            )
        print(f"Watching {', '.join(name.removeprefix(prefix) for name in watched)}. Interrupt to end.", flush=True)
        watch.wait()
    except KeyboardInterrupt:
        pass
    finally:
        watch.terminate()
        watch.wait()
        for name, variables in watched.items():
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


if __name__ == "__main__":
    main()
