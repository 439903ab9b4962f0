"""Fills an empty directory with example data, and reads an advisor through the function and the load balancer."""

import json
import sys
import time

import requests
from stack import NAME, Stack, stack_name

ROOM = "directory"


def seed(stack: Stack, root: str) -> None:
    answer = stack.client("lambda").invoke(
        FunctionName=f"{root}-migrate-directory", Payload=json.dumps({"RequestType": "Seed"})
    )
    said = json.load(answer["Payload"])
    print(said.get("message") or said["errorMessage"])


def show(what: str, url: str, headers: dict[str, str]) -> requests.Response:
    started = time.perf_counter()
    answer = requests.get(url, headers=headers, timeout=30)
    milliseconds = (time.perf_counter() - started) * 1000
    print(f"{what:16} {answer.status_code}  {milliseconds:6.1f} ms  {answer.headers.get('Cache-Status', '')}")
    return answer


def main() -> None:
    root = f"{NAME}-{sys.argv[1]}"
    stack = Stack(stack_name(root, ROOM))
    seed(stack, root)
    api = stack.api_url(ROOM)
    balancer, headers = stack.load_balancer(ROOM)
    [advisor] = requests.get(f"{api}/advisors", params={"limit": 1}, timeout=30).json()["advisors"]
    path = f"/advisors/{advisor['id']}"
    print(f"GET {path}")
    for _ in range(2):
        answers = [show("function", api + path, {}), show("load balancer", balancer + path, headers)]
    print("The same bytes." if answers[0].content == answers[1].content else "The answers differ.")
    print(answers[0].text)
    print(f"API        {api}")


if __name__ == "__main__":
    main()
