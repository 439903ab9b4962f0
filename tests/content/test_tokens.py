"""The edge function, aws-jwt-verify and PyJWT decide alike on each token."""

import base64
import random
import shutil
import string
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from reader_tokens import (
    ACCESS_KEY,
    FALSE_KEY,
    HOUR,
    ID_KEY,
    ISSUER,
    NEXT_KEY,
    POOL,
    UNKNOWN_KEY,
    claims,
    key_set,
    signed,
    signed_with_header,
    signed_with_public_key,
    with_claims,
    with_header,
)
from tokens import unsigned
from verifiers import AwsJwtVerify, Driven, PyJwt

MUTATED_TOKENS = 10_000
VERDICTS = {"401": "refused", "403": "unpaid"}


def request(token: str) -> dict[str, Any]:
    headers = {"authorization": [{"key": "Authorization", "value": f"Bearer {token}"}]}
    return {"Records": [{"cf": {"request": {"method": "GET", "uri": "/members/a.pdf", "headers": headers}}}]}


def edge_verdict(admit_reader: Driven, token: str, **options: Any) -> str:
    answer, _ = admit_reader(request(token), **options)
    return VERDICTS[answer["status"]] if "status" in answer else "admitted"


def changed(token: str, segment: int) -> str:
    """The token with another first character in a segment."""
    parts = token.split(".")
    parts[segment] = ("A" if parts[segment][0] != "A" else "B") + parts[segment][1:]
    return ".".join(parts)


def matrix() -> dict[str, tuple[str, str, Any]]:
    """Tokens with their verdict, and the key set that the pool has by now."""
    valid, now = signed(), int(time.time())
    header, payload, signature = valid.split(".")
    before, after = key_set(ID_KEY, ACCESS_KEY), key_set(NEXT_KEY, ACCESS_KEY)
    return {
        "paid": (valid, "admitted", before),
        "paid, signed with the pool's other key": (signed(ACCESS_KEY), "admitted", before),
        "paid until a number": (signed(paid_until=now + HOUR), "admitted", before),
        "valid since a minute": (signed(nbf=now - 60), "admitted", before),
        "rotated keys": (signed(NEXT_KEY), "admitted", after),
        "rotated keys, and the old one": (signed(ID_KEY), "admitted", after),
        "rotated keys, and nobody's": (signed(UNKNOWN_KEY), "refused", after),
        "expired": (signed(exp=now - 60), "refused", before),
        "without an end": (signed(exp=None), "refused", before),
        "not yet valid": (signed(nbf=now + 60), "refused", before),
        "another pool": (signed(iss=ISSUER.replace(POOL, "eu-central-1_Other1234")), "refused", before),
        "another pool, whose name begins alike": (signed(iss=f"{ISSUER}4"), "refused", before),
        "no pool": (signed(iss=None), "refused", before),
        "another client": (signed(aud="2example23456789"), "refused", before),
        "no client": (signed(aud=None), "refused", before),
        "access token": (signed(token_use="access", aud=None, client_id="1example23456789"), "refused", before),
        "access token for the client": (signed(token_use="access"), "refused", before),
        "no use": (signed(token_use=None), "refused", before),
        "alg none": (f"{unsigned({'alg': 'none', 'kid': ID_KEY.kid}, claims())}.", "refused", before),
        "alg none with a signature": (with_header(valid, alg="none"), "refused", before),
        "alg HS256 with the public key": (signed_with_public_key(), "refused", before),
        "alg RS512": (signed(algorithm="RS512"), "refused", before),
        "alg PS256": (signed(algorithm="PS256"), "refused", before),
        "alg none, signed with RS256": (signed_with_header(alg="none", kid=ID_KEY.kid), "refused", before),
        "alg RS512, signed with RS256": (signed_with_header(alg="RS512", kid=ID_KEY.kid), "refused", before),
        "unknown key": (signed(UNKNOWN_KEY), "refused", before),
        "another's key with the pool's key id": (signed(FALSE_KEY), "refused", before),
        "the pool's other key id": (signed(ID_KEY, kid=ACCESS_KEY.kid), "refused", before),
        "no key id": (f"{unsigned({'alg': 'RS256'}, claims())}.{signature}", "refused", before),
        "key id that is a number": (with_header(valid, kid=1), "refused", before),
        "tampered header": (with_header(valid, typ="at+jwt"), "refused", before),
        "tampered claims": (with_claims(valid, email="eve@school.example"), "refused", before),
        "tampered bytes of the header": (changed(valid, 0), "refused", before),
        "tampered bytes of the claims": (changed(valid, 1), "refused", before),
        "tampered signature": (changed(valid, 2), "refused", before),
        "signature of another token": (f"{header}.{payload}.{signed().split('.')[2]}", "refused", before),
        "no signature": (f"{header}.{payload}.", "refused", before),
        "two segments": (f"{header}.{payload}", "refused", before),
        "four segments": (f"{valid}.{signature}", "refused", before),
        "four segments, the last is empty": (f"{valid}.", "refused", before),
        "no claim": (signed(paid_until=None), "unpaid", before),
        "lapsed": (signed(paid_until=str(now - 60)), "unpaid", before),
        "lapsed, as a number": (signed(paid_until=now - 60), "unpaid", before),
        "claim that is a date": (signed(paid_until="2999-01-01T00:00:00Z"), "unpaid", before),
        "claim that is no number": (signed(paid_until=True), "unpaid", before),
        "claim that is a list": (signed(paid_until=[str(now + HOUR)]), "unpaid", before),
        "claim that is hexadecimal": (signed(paid_until="0xffffffffff"), "unpaid", before),
        "claim with an exponent": (signed(paid_until="1e99"), "unpaid", before),
        "claim that is empty": (signed(paid_until=""), "unpaid", before),
        "lapsed and expired": (signed(paid_until=str(now - 60), exp=now - 60), "refused", before),
    }


def test_all_three_decide_alike(admit_reader: Driven, peer: AwsJwtVerify | PyJwt) -> None:
    wrong = {}
    for name, (token, expected, served) in matrix().items():
        options = {"served": served, "is_new": True}
        found = edge_verdict(admit_reader, token, **options), peer.verdict(token, **options)
        if found != (expected, expected):
            wrong[name] = found
    assert wrong == {}


# What the function would be without one of its checks.
BUGS = {
    "no algorithm": ('alg !== "RS256" || ', ""),
    "more segments": (" || more.length > 0", ""),
    "no signature": (' || !verify("RSA-SHA256", Buffer.from(`${header}.${payload}`), key, bytes)', ""),
    "signature of the claims alone": ("`${header}.${payload}`", "payload"),
    "the first key for each key id": ("return keys.get(kid);", "return keys.values().next().value;"),
    "no fetch of keys": ("fetching = fetchKeys();", ""),
    "fetched keys are not used": ("keys = publicKeys(await", "publicKeys(await"),
    "no issuer": ("iss === config.issuer && ", ""),
    "only the beginning of the issuer": ("iss === config.issuer", "iss?.startsWith(config.issuer)"),
    "no audience": (" && aud === config.audience", ""),
    "no use": (' && token_use === "id"', ""),
    "no end": ("Number.isFinite(exp) && exp > now && ", ""),
    "an end that can be missing": ("Number.isFinite(exp) && exp > now", "!(exp <= now)"),
    "no beginning": (" && nbf <= now", ""),
    "no entitlement": ("Number.isFinite(seconds) && seconds > now", "true"),
    "an entitlement that never ends": ("seconds > now", "true"),
    "an entitlement in milliseconds": ("seconds > now", "seconds > now * 1000"),
    "an entitlement that is no text": ("Number(paid_until)", "paid_until"),
    "an entitlement that is only text": (": paid_until;", ": NaN;"),
    "an entitlement of any form": (r'typeof paid_until === "string" && /^\d+$/.test(paid_until)', "true"),
}


@pytest.mark.parametrize("bug", BUGS)
def test_the_tokens_find_each_missing_check(bug: str, tmp_path: Path, admit_reader: Driven) -> None:
    right, wrong = BUGS[bug]
    source = admit_reader.module.read_text()
    assert source.count(right) == 1
    copy = shutil.copytree(admit_reader.module.parent, tmp_path / "edge") / admit_reader.module.name
    copy.write_text(source.replace(right, wrong))
    planted = Driven(tmp_path / "log", copy)
    found = [
        edge_verdict(planted, token, served=served, is_new=True) == expected
        for token, expected, served in matrix().values()
    ]
    planted.stop()
    assert not all(found)


# ---- Mutated tokens

ALPHABET = string.ascii_letters + string.digits + "-_"
JUNK = '=.+/%!é\0\\"'
ALGORITHMS = ["none", "None", "", "HS256", "rs256", "RS384", "PS256", "ES256", "EdDSA", None, 1, ["RS256"]]


def signed_changes(now: int) -> list[dict[str, Any]]:
    """Claims that the pool could sign."""
    return [
        {},
        {"exp": now - HOUR},
        {"exp": now + HOUR + 0.5},
        {"nbf": now - HOUR},
        {"nbf": now + HOUR},
        {"iss": ISSUER.upper()},
        {"iss": f"{ISSUER}/"},
        {"aud": ""},
        {"aud": "1EXAMPLE23456789"},
        {"token_use": "ID"},
        {"token_use": ["id"]},
        {"paid_until": now + HOUR + 0.5},
        {"paid_until": now - HOUR},
        {"paid_until": -1},
        {"paid_until": f" {now + HOUR}"},
        {"paid_until": f"+{now + HOUR}"},
        {"paid_until": {"N": now + HOUR}},
        {"paid_until": None},
    ]


def mutated(chance: random.Random, bases: list[str]) -> str:
    """A token that is nearly valid. Some of them are."""
    now = int(time.time())
    token = chance.choice(bases)
    place = chance.randrange(len(token))
    parts = token.split(".")
    segment = chance.randrange(3)
    kind = chance.randrange(12)
    if kind == 0:
        return token[:place] + chance.choice(ALPHABET) + token[place + 1 :]
    if kind == 1:
        return token[:place] + token[place + 1 :]
    if kind == 2:
        return token[: place + 1] + chance.choice(ALPHABET + JUNK) + token[place + 1 :]
    if kind == 3:
        return token[:place] + token[place].swapcase() + token[place + 1 :]
    if kind == 4:
        return token[: place + 1] if chance.random() < 0.5 else token + chance.choice(["=", "==", "===", "A", "."])
    if kind == 5:
        return ".".join(chance.choices(parts, k=chance.randrange(1, 5)))
    if kind == 6:
        parts[segment] = chance.choice(bases).split(".")[segment]
        return ".".join(parts)
    if kind == 7:
        # The last character of a segment has bits that mean nothing.
        parts[segment] = parts[segment][:-1] + chance.choice(ALPHABET)
        return ".".join(parts)
    if kind == 8:
        changes = chance.choice([{"alg": chance.choice(ALGORITHMS)}, {"kid": chance.choice(["", None, {}, "../", 0])}])
        return with_header(token, **changes)
    if kind == 9:
        return with_claims(token, exp=now + chance.randrange(-HOUR, HOUR))
    key = FALSE_KEY if kind == 10 else chance.choice([ID_KEY, ACCESS_KEY])
    return signed(key, **chance.choice(signed_changes(now)))


def is_respelled(token: str, bases: list[str]) -> bool:
    """Whether it is a token of the pool, with the same signature in other characters: base64 has more than one way."""

    def meaning(text: str) -> bytes:
        kept = "".join(one for one in text if one in ALPHABET + "+/")
        kept = kept[: len(kept) - (len(kept) % 4 == 1)].replace("+", "-").replace("/", "_")
        return base64.urlsafe_b64decode(kept + "=" * (-len(kept) % 4))

    text, _, signature = token.rpartition(".")
    return any(
        text == base.rpartition(".")[0]
        and signature != base.rpartition(".")[2]
        and meaning(signature) == meaning(base.rpartition(".")[2])
        for base in bases
    )


def test_all_three_decide_alike_on_mutated_tokens(admit_reader: Driven, peer: AwsJwtVerify | PyJwt) -> None:
    """They differ in whether padding, and bits that mean nothing, are let pass. The edge function lets none pass."""
    chance = random.Random(16)
    bases = [signed(), signed(ACCESS_KEY), signed(paid_until="1"), signed(paid_until=None), signed(exp=1)]
    counted: Counter[str] = Counter()
    for _ in range(MUTATED_TOKENS):
        token = mutated(chance, bases)
        found = edge_verdict(admit_reader, token)
        counted[found] += 1
        if is_respelled(token, bases):
            assert found == "refused", token
            counted["respelled"] += 1
        else:
            assert peer.verdict(token) == found, token
    # It has teeth only if each verdict is common.
    assert min(counted[verdict] for verdict in ("admitted", "refused", "unpaid", "respelled")) > MUTATED_TOKENS / 100
