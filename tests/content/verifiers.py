"""Programs in Node, and PyJWT, that decide on a token."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import jwt
import playwright
from reader_tokens import CLIENT, ISSUER, baked

HERE = Path(__file__).parent
# Its major version is that of the function's runtime.
NODE = Path(playwright.__file__).with_name("driver") / "node"


class Driven:
    """A module in Node, whose handler is called with one argument after the other."""

    def __init__(self, log: Path, module: Path, *arguments: str) -> None:
        self.log, self.module = log, module
        with log.open("w") as errors:
            command = [NODE, HERE / "drive.mjs", module, *arguments]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def __call__(self, argument: Any, served: Any = None, now: float | None = None, is_new: bool = False) -> Any:
        """The handler's answer, and the number of fetches of a key set since the module was new."""
        line = {"argument": argument, "served": served, "now": now, "isNew": is_new}
        self._process.stdin.write(f"{json.dumps(line)}\n")
        self._process.stdin.flush()
        answered = self._process.stdout.readline()
        assert answered, self.log.read_text()
        answer = json.loads(answered)
        return answer["answer"], answer["fetches"]

    def stop(self) -> None:
        self._process.communicate()


class AwsJwtVerify(Driven):
    """The same decision as that of `admit-reader`, by aws-jwt-verify."""

    def verdict(self, token: str, **options: Any) -> str:
        return self(token, **options)[0]


class Keys(jwt.PyJWKClient):
    """The user pool's keys: at first those that the edge function's package has."""

    def __init__(self) -> None:
        super().__init__(f"{ISSUER}/.well-known/jwks.json")
        self.served: Any = None
        self.jwk_set_cache.put(baked())

    def fetch_data(self) -> Any:
        return self.served


class PyJwt:
    """The same decision, by PyJWT."""

    def __init__(self) -> None:
        self._keys = Keys()

    def verdict(self, token: str, served: Any = None, is_new: bool = False) -> str:
        if is_new:
            self._keys = Keys()
        self._keys.served = served
        try:
            key = self._keys.get_signing_key_from_jwt(token)
            # PyJWT looks at the time of issue. RFC 7519 does not ask for that, and the others don't.
            options = {"require": ["exp"], "strict_aud": True, "verify_iat": False}
            found = jwt.decode(token, key, ["RS256"], options, audience=CLIENT, issuer=ISSUER)
        except jwt.PyJWTError:
            return "refused"
        if found.get("token_use") != "id":
            return "refused"
        until = found.get("paid_until")
        if isinstance(until, str) and re.fullmatch("[0-9]+", until):
            until = int(until)
        has_paid = isinstance(until, (int, float)) and not isinstance(until, bool) and until > time.time()
        return "admitted" if has_paid else "unpaid"
