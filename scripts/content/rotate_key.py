"""Changes the key that signs cookies, in three steps: `make rotate-key` does the next one.

1. A new key is trusted beside the old one, before anything is signed with it.
2. The new key signs. Cookies of the old key stay valid until they expire.
3. The old key is no longer trusted.

A step refuses until 35 minutes have passed since the one before; with NOW=1, it doesn't.
"""

import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import beside
import signing_keys
from signing_keys import Keys
from stack import NAME

# The longest session, and how long open-session can sign with the settings from before: the extension keeps them for 5
# minutes, and open-session for 15 if it can't read newer ones. It is also long enough for CloudFront to learn a key.
BETWEEN_STEPS = timedelta(minutes=15 + 5 + 15)


def next_step(keys: Keys, newest: str, spec: str) -> tuple[Keys, str]:
    """The keys after the next step, and what it does. ``spec`` is the kind of a new key."""
    if len(keys.specs) == 1:
        other = "B" if keys.signer == "A" else "A"
        return replace(keys, specs=keys.specs | {other: spec}), f"The new key {other} is trusted, too."
    if keys.signer != newest:
        return replace(keys, signer=newest), f"The new key {newest} signs."
    return replace(keys, specs={newest: keys.specs[newest]}), f"Only the key {newest} is trusted."


def rotate(root: str, environment: str, waits: bool) -> str:
    """Does the next step, and says which. Ends the program if the step has to wait."""
    if not (keys := signing_keys.current(root)):
        sys.exit(f"There is no key yet. First: make {'up' if environment == 'local' else 'deploy'} ROOM=content")
    known = signing_keys.described(root)
    newest = max(known, key=lambda place: known[place]["CreationDate"])
    spec = beside.parameters_for("content", environment).get("KeySpec", signing_keys.RSA)
    after, what = next_step(keys, newest, spec)
    next_at = signing_keys.changed(root) + BETWEEN_STEPS
    if waits and len(keys.specs) > 1 and datetime.now(timezone.utc) < next_at:
        sys.exit(f"The next step has to wait until {next_at:%H:%M:%S} UTC. Then: make rotate-key ENV={environment}")
    signing_keys.deploy(root, environment, after)
    # If this fails, `make deploy ROOM=content` does it again, before the next step.
    beside.deploy("content", root, environment, Signer=after.signer)
    return what


if __name__ == "__main__":
    name, *now = sys.argv[1:]
    print(rotate(f"{NAME}-{name}", name, not now))
