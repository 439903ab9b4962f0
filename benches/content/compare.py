"""Compares the edge function with its peers, in the Node of Lambda@Edge's runtime: `make bench` measures them.

Writes a page into benches/results. With --once it measures ours only once, and writes nothing.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import jwt
import playwright
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from measuring import OURS, ROOT, deflated, run, write_page
from performance import Goals, number, table

HERE = Path(__file__).parent
NODE = Path(playwright.__file__).with_name("driver") / "node"
VERIFY, AUTHENTICATE = "aws-jwt-verify", "cognito-at-edge"
STARTS = 25
EVENTS = 2_000
"""Of each start, after the first."""
CLIENT = "1example23456789"
ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Bench1234"


def settings_and_event() -> tuple[dict[str, Any], dict[str, Any]]:
    """A user pool with two keys, and a paying student's request."""
    keys = {kid: rsa.generate_private_key(public_exponent=65537, key_size=2048) for kid in ("one", "two")}
    public = [
        {"kid": kid, "alg": "RS256", "use": "sig"} | RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        for kid, key in keys.items()
    ]
    for key in public:
        # PyJWT writes what the key is for in another way.
        key.pop("key_ops")
    settings = {
        "issuer": ISSUER,
        "audience": CLIENT,
        "jwksUri": f"{ISSUER}/.well-known/jwks.json",
        "keys": public,
        "page": "/",
    }
    now = int(time.time())
    claims = {
        "sub": "4f0c1f5e-3f1c-4b1e-9d5a-0a7b9c1d2e3f",
        "iss": ISSUER,
        "aud": CLIENT,
        "token_use": "id",
        "auth_time": now,
        "iat": now,
        "exp": now + 24 * 3600,
        "cognito:username": "ida@school.example",
        "custom:student_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
        "email": "ida@school.example",
        "paid_until": str(now + 24 * 3600),
    }
    token = jwt.encode(claims, keys["one"], "RS256", headers={"kid": "one"})
    cookie = f"CognitoIdentityServiceProvider.{CLIENT}.ida.idToken={token}"
    headers = {"host": "d111111abcdef8.cloudfront.net", "authorization": f"Bearer {token}", "cookie": cookie}
    request = {
        "method": "GET",
        "uri": "/members/notes.pdf",
        "querystring": "",
        "headers": {name: [{"key": name.title(), "value": value}] for name, value in headers.items()},
    }
    return settings, {"Records": [{"cf": {"config": {"eventType": "viewer-request"}, "request": request}}]}


def programs(place: Path, settings: dict[str, Any], with_peers: bool) -> dict[str, list[Path]]:
    """The files of each program, the module first. Peers are bundled and made small: ours is not."""
    ours = shutil.copytree(ROOT / "edge/content", place / OURS)
    (ours / "config.json").write_text(json.dumps(settings, separators=(",", ":")))
    found = {OURS: [ours / name for name in ("admit-reader.mjs", "pages/return-path.mjs", "config.json")]}
    if with_peers:
        run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefix", HERE])
        for name, source in {VERIFY: "verify.mjs", AUTHENTICATE: "authenticate.mjs"}.items():
            bundle = place / f"{name}.cjs"
            options = ["--bundle", "--minify", "--platform=node", "--format=cjs", "--log-level=warning"]
            options += [f"--alias:settings={ours / 'config.json'}", f"--outfile={bundle}"]
            run([NODE, HERE / "node_modules/esbuild/bin/esbuild", HERE / source, *options])
            found[name] = [bundle]
    return found


def measured(module: Path, event: Path, events: int) -> dict[str, Any]:
    output = subprocess.check_output([NODE, HERE / "measure.mjs", module, event, str(events)], text=True)
    result = json.loads(output.splitlines()[-1])
    assert result["answer"]["uri"] == "/members/notes.pdf", result
    return result


def report(with_peers: bool) -> list[str]:
    """The page's sections."""
    starts, events = (STARTS, EVENTS) if with_peers else (1, 10)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        settings, event = settings_and_event()
        (place / "event.json").write_text(json.dumps(event))
        files = programs(place, settings, with_peers)
        # The programs take turns, so that a change of the machine's speed meets all of them.
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in files}
        for _ in range(starts):
            for name, (module, *_) in files.items():
                results[name].append(measured(module, place / "event.json", events + 1))
        sizes = {name: deflated(paths) for name, paths in files.items()}
    medians = {
        name: {part: median(it[part] for it in found) for part in ("init", "first", "warm", "peakMemory")}
        for name, found in results.items()
    }
    goals = Goals()
    if with_peers:
        ours = medians[OURS]
        goals.add(f"a verified request, p50, against {VERIFY}", ours["warm"] / medians[VERIFY]["warm"], 1, " times")
        goals.add(f"module start against {AUTHENTICATE}", ours["init"] / medians[AUTHENTICATE]["init"], 1 / 5)
        goals.add(f"package against {AUTHENTICATE}", sizes[OURS] / sizes[AUTHENTICATE], 1 / 20)
    warm = [[name, number(it["warm"] * 1e3), number(sizes[name] / 1e3)] for name, it in medians.items()]
    cold = [
        [name, *(number(it[part]) for part in ("init", "first")), number(it["peakMemory"] / 1e6)]
        for name, it in medians.items()
    ]
    return [
        *goals.section(),
        "## Requests",
        table(["", "request, p50, µs", "package, kB"], warm),
        "## Cold starts",
        table(["", "module start, ms", "first request, ms", "peak memory, MB"], cold),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true")
    if parser.parse_args().once:
        print("\n\n".join(report(with_peers=False)))
        return
    print("==> Measuring admit-reader and its peers", flush=True)
    write_page("content", "The edge function, measured", report(with_peers=True))


if __name__ == "__main__":
    main()
