"""What a million bookings and a million sign-ups cost, and at what rate each limit is hit: `make cost`.

Writes the tables in docs/cost.md from prices.json, limits.json, results.json and template.yaml.
"""

import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benches/results.json"
PAGE = ROOT / "docs/cost.md"
BEGIN, END = "<!-- make cost writes the tables -->\n", "<!-- end of the tables -->\n"
TEMPLATE = (ROOT / "template.yaml").read_text()
PRICE_LIST = json.loads((ROOT / "benches/prices.json").read_text())["prices"]
LIMITS = json.loads((ROOT / "benches/limits.json").read_text())

PRICES: dict[str, float] = {name: price["usd"] / price["per"] for name, price in PRICE_LIST.items()}
QUOTAS: dict[str, float] = {name: quota["value"] for name, quota in LIMITS["quotas"].items()}
ASSUMED: dict[str, float] = {name: assumption["value"] for name, assumption in LIMITS["assumptions"].items()}

# ---- What a reader may want to change; memory sizes, windows and throttles are those of template.yaml.

BOOKINGS_A_SECOND = 10
"""For which costs are shown part by part."""
SIGN_UPS_A_SECOND = 1
CANCELLED = 0.1
"""Of the bookings."""
LISTS = 1
"""Looks at the list, for each booking."""
BUSIEST_ADVISOR = 0.01
"""Of all bookings, those with the advisor whom most want."""
COLD_STARTS = 0.01
"""Of the invocations."""
ITEM_BYTES = 250
"""An appointment in the table, or in its index, with what DynamoDB adds."""

# ---- How the system and its peers work

CHANGES = 1 + CANCELLED
# A browser asks first, once for the list's address and once for each address that it cancels.
API_REQUESTS = 2 * CHANGES + LISTS
WRITE_UNITS = math.ceil(ITEM_BYTES / 1024)
OBJECT_PER_RECORD = ("Python, textbook", "Python, Powertools", "Node, Powertools")
PUTS_AT_ONCE = {"Node, Powertools": 50}
"""Powertools for TypeScript begins all records at once; the SDK has so many connections."""

SIGN_UP = [
    ("ValidateAccount", ()),
    ("CheckAccount", ("dynamodb",)),
    ("CreateAccount", ("dynamodb", "cognito", "cognito")),
    ("NotifyStudent", ("eventbridge", "dynamodb")),
    ("SendNotification", ("dynamodb", "dynamodb", "ses", "dynamodb", "dynamodb")),
    ("SendNotification", ("dynamodb", "dynamodb")),
]
"""The invocations of a sign-up, each with the services that it calls one after the other."""
WORKFLOW = SIGN_UP[:4]
WORKFLOW_STATES = 8
# Two items in a transaction are four; then into the index and out of it, finished, told, told again by SES, and three
# times the idempotency record.
SIGN_UP_WRITE_UNITS = 12
SIGN_UP_READ_UNITS = 2
# A browser asks first.
SIGN_UP_API_REQUESTS = 2
# Sent, received and deleted: the account's event, and that of SES.
SIGN_UP_QUEUE_REQUESTS = 6
SIGN_UP_PASSWORD_CALLS = 3
"""AdminSetUserPassword, and when the student chooses a password, ForgotPassword and ConfirmForgotPassword."""

UNFINISHED_INDEX_WRITES = 2
QUEUE_CONCURRENCY = 10
"""Requests of a batch that start-account-workflow runs at once."""

VCPU_MB = 1769
"""Memory for which Lambda gives one virtual CPU."""
GB = 1024**3
RATES = [10**exponent for exponent in range(7)]
MILLION = 1_000_000


@cache
def setting(resource: str, name: str) -> str:
    """Of a resource, or the default of a parameter, in template.yaml."""
    return re.search(rf"^  {resource}:\n(?:    .*\n)*?    .*\b{name}: (\w+)", TEMPLATE, re.MULTILINE)[1]


def throttle(path: str) -> float:
    """Requests a second to each method."""
    return float(re.search(rf"ResourcePath: {re.escape(path)}\n(?: .*\n)*? +ThrottlingRateLimit: (\d+)", TEMPLATE)[1])


ARCHITECTURE = setting("Architecture", "Default")
WINDOW = int(setting("BatchingWindow", "Default"))
PARALLELIZATION = int(setting("ParallelizationFactor", "Default"))
BATCH_SIZE = int(setting("ArchiveAppointments", "BatchSize"))
TIMEOUT = int(setting("ArchiveAppointments", "Timeout"))
INITIAL_SHARDS = int(QUOTAS["initial_write_units_per_second"] / QUOTAS["partition_write_units_per_second"])


# ---- Functions


def between(measured: dict[str, float], records: float) -> float:
    """On the line between the two measurements around `records`."""
    points = sorted((float(count), value) for count, value in measured.items())
    for (low, at_low), (high, at_high) in pairwise(points):
        if records <= high:
            return at_low + (at_high - at_low) * max(0, records - low) / (high - low)
    return points[-1][1]


def memory_size(result: dict[str, Any], configured: int) -> int:
    """MB: as configured or, if the function needs more, the next multiple of 64."""
    return max(configured, math.ceil(max(result["memory_mb"].values()) / 64) * 64)


def duration_at(memory_mb: int, wall: float, cpu: float) -> float:
    """Seconds in Lambda of what took `wall` on a whole core: processor time is in proportion to memory."""
    return max(0.0, wall - cpu) + cpu / min(1, memory_mb / VCPU_MB)


def seconds(result: dict[str, Any], records: float, memory_mb: int, service_seconds: float, calls: int = 1) -> float:
    """A warm invocation in Lambda: `calls` times what was measured, and services that take `service_seconds`."""
    cpu, wall = (between(result[key], records) * calls / 1e6 for key in ("cpu_us", "wall_us"))
    return service_seconds + duration_at(memory_mb, wall, cpu)


def invocation_cost(duration: float, memory_mb: int) -> float:
    """USD; `duration` in seconds, billed by the millisecond."""
    billed = math.ceil(round(duration * 1000, 6)) / 1000
    return PRICES["lambda_request"] + memory_mb / 1024 * billed * PRICES[f"lambda_gb_second_{ARCHITECTURE}"]


def cold_seconds(result: dict[str, Any]) -> float:
    """What cold starts add to the average invocation."""
    return COLD_STARTS * result["init_ms"] / 1000


def hit_at(demand: Callable[[float], float], quota: float, most: float = RATES[-1]) -> float | None:
    """Where a demand that only grows reaches the quota, if it does below `most`."""
    if demand(most) <= quota:
        return None
    low, high = 0.0, float(most)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if demand(middle) <= quota else (low, middle)
    return low


@dataclass(frozen=True)
class Archiver:
    """A function that archives the stream."""

    name: str
    result: dict[str, Any]

    @property
    def memory_mb(self) -> int:
        return memory_size(self.result, int(setting("ArchiveAppointments", "MemorySize")))

    def objects(self, records: float) -> float:
        return records if self.name in OBJECT_PER_RECORD else 1

    def seconds(self, records: float) -> float:
        turns = math.ceil(self.objects(records) / PUTS_AT_ONCE.get(self.name, 1))
        return seconds(self.result, records, self.memory_mb, turns * ASSUMED["s3_put_seconds"])

    @property
    def largest_batch(self) -> float:
        """Records: what an event holds, and the function can do before its time is up."""
        most = min(BATCH_SIZE, QUOTAS["batch_bytes"] / ASSUMED["record_bytes"])
        return hit_at(self.seconds, TIMEOUT, most) or most

    @property
    def records_per_second(self) -> float:
        """At most, by one invocation after the other."""
        return self.largest_batch / self.seconds(self.largest_batch)

    def behind_at(self, parallelization: int) -> float | None:
        """Bookings a second from which on the archive falls behind."""
        shard_at_most = QUOTAS["partition_write_units_per_second"] / WRITE_UNITS

        def lane(bookings: float) -> float:
            return min(bookings * CHANGES / INITIAL_SHARDS, shard_at_most) / parallelization

        return hit_at(lane, self.records_per_second)


# ---- Bookings


@dataclass(frozen=True)
class Stream:
    """What the mapping makes of a rate of bookings."""

    shards: int
    lanes: int
    records: float
    """In a batch: the one that opens the window, and those that come until it closes."""


def stream(bookings: float, largest_batch: float) -> Stream:
    units = bookings * CHANGES * WRITE_UNITS
    shards = max(INITIAL_SHARDS, math.ceil(round(units / QUOTAS["partition_write_units_per_second"], 6)))
    lanes = shards * PARALLELIZATION
    return Stream(shards, lanes, min(largest_batch, 1 + bookings * CHANGES / lanes * WINDOW))


def traces(requests: float) -> float:
    """A second: X-Ray takes the first request of each, and a share of the others."""
    return min(requests, 1 + ASSUMED["traced_share"] * max(0, requests - 1))


def audit_seconds(accounts: dict[str, Any]) -> float:
    """audit-archive was not measured: the CPU of two calls by check-account stands for it."""
    services = ASSUMED["s3_get_seconds"] + ASSUMED["dynamodb_seconds"]
    return seconds(accounts["Registrar"], 1, int(setting("AuditArchive", "MemorySize")), services, calls=2)


def bookings_cost(archiver: Archiver, accounts: dict[str, Any], bookings: float) -> dict[str, float]:
    """USD for a million bookings, part by part. `bookings` a second decide how large the batches are."""
    records = stream(bookings, archiver.largest_batch).records
    batches = CHANGES / records
    objects = batches * archiver.objects(records)
    # Only this archive has a ledger.
    audits = objects if archiver.name == "Registrar" else 0
    audit = invocation_cost(audit_seconds(accounts), int(setting("AuditArchive", "MemorySize")))
    log_bytes = API_REQUESTS * ASSUMED["access_log_bytes"] + (batches + audits) * ASSUMED["function_log_bytes"]
    traced = sum(traces(bookings * count) / bookings for count in (API_REQUESTS, batches, audits))
    duration = archiver.seconds(records) + cold_seconds(archiver.result)
    parts = {
        "API Gateway": API_REQUESTS * PRICES["api_request"],
        # The table and its index; a look at the list is a read of up to 4 KB, eventually consistent.
        "DynamoDB": CHANGES * 2 * WRITE_UNITS * PRICES["dynamodb_write_unit"]
        + LISTS * 0.5 * PRICES["dynamodb_read_unit"],
        "stream": batches * PRICES["dynamodb_stream_read_by_lambda"],
        "Lambda": batches * invocation_cost(duration, archiver.memory_mb),
        "S3": objects * PRICES["s3_put"],
        "ledger": audits * (PRICES["event_opt_in"] + audit + PRICES["s3_get"] + PRICES["dynamodb_write_unit"]),
        "logs": log_bytes / GB * PRICES["log_gb"],
        "traces": traced * PRICES["trace"],
    }
    return {part: usd * MILLION for part, usd in parts.items()}


def storage_cost(archiver: Archiver, bookings: float) -> dict[str, float]:
    """USD a month for keeping a million bookings that nobody cancels."""
    records = stream(bookings, archiver.largest_batch).records
    item = ITEM_BYTES / GB
    row = (ASSUMED["row_bytes"] + ASSUMED["object_bytes"] / records) / GB
    return {
        "table and index": 2 * item * PRICES["dynamodb_gb_month"] * MILLION,
        "point-in-time recovery": item * PRICES["dynamodb_recovery_gb_month"] * MILLION,
        "archive": row * PRICES["s3_gb_month"] * MILLION,
    }


# ---- Sign-ups


@dataclass(frozen=True)
class Accounts:
    """The functions of a sign-up, all in one language. What check-account takes stands for each call of each."""

    result: dict[str, Any]

    def memory_mb(self, function: str) -> int:
        return memory_size(self.result, int(setting(function, "MemorySize")))

    def seconds(self, function: str, services: tuple[str, ...]) -> float:
        waits = sum(ASSUMED[f"{service}_seconds"] for service in services)
        return seconds(self.result, 1, self.memory_mb(function), waits, calls=max(1, len(services)))

    @property
    def workflow_seconds(self) -> float:
        return sum(self.seconds(*step) for step in WORKFLOW) + WORKFLOW_STATES * ASSUMED["state_seconds"]


def sign_ups_cost(accounts: Accounts) -> dict[str, float]:
    """USD for a million sign-ups by the form, part by part."""
    invocations = sum(
        invocation_cost(accounts.seconds(*step) + cold_seconds(accounts.result), accounts.memory_mb(step[0]))
        for step in SIGN_UP
    )
    workflow_hours = math.ceil(accounts.workflow_seconds * 10) / 10 / 3600
    log_bytes = SIGN_UP_API_REQUESTS * ASSUMED["access_log_bytes"] + len(SIGN_UP) * ASSUMED["function_log_bytes"]
    parts = {
        "API Gateway": SIGN_UP_API_REQUESTS * PRICES["api_request"],
        "Step Functions": PRICES["express_request"] + 64 / 1024 * workflow_hours * PRICES["express_gb_hour"],
        "Lambda": invocations,
        "DynamoDB": SIGN_UP_WRITE_UNITS * PRICES["dynamodb_write_unit"]
        + SIGN_UP_READ_UNITS * PRICES["dynamodb_read_unit"],
        # That of SES is on the default bus because a configuration set sends it there.
        "EventBridge": PRICES["event_custom"] + PRICES["event_opt_in"],
        "SQS": SIGN_UP_QUEUE_REQUESTS * PRICES["sqs_request"],
        "SES": PRICES["email"],
        "Cognito": PRICES["monthly_active_user"],
        "logs": log_bytes / GB * PRICES["log_gb"],
        "traces": traces(SIGN_UPS_A_SECOND * SIGN_UP_API_REQUESTS) / SIGN_UPS_A_SECOND * PRICES["trace"],
    }
    return {part: usd * MILLION for part, usd in parts.items()}


# ---- Limits


@dataclass(frozen=True)
class Limit:
    name: str
    quota: float
    demand: Callable[[float], float]
    """At a rate a second, in the quota's unit."""
    moved_by: str


def booking_limits(archiver: Archiver, accounts: dict[str, Any]) -> list[Limit]:
    def objects(bookings: float) -> float:
        records = stream(bookings, archiver.largest_batch).records
        return bookings * CHANGES / records * archiver.objects(records)

    def writes(bookings: float) -> float:
        return bookings * CHANGES * WRITE_UNITS

    def executions(bookings: float) -> float:
        """All lanes are at work when there is something to catch up with."""
        return stream(bookings, archiver.largest_batch).lanes + objects(bookings) * audit_seconds(accounts)

    return [
        Limit("stage throttle of each method", throttle("/*"), lambda r: r, "`ThrottlingRateLimit` of `/*`"),
        Limit("API requests", QUOTAS["api_requests_per_second"], lambda r: r * API_REQUESTS, "Service Quotas"),
        Limit(
            "writes to a new table",
            QUOTAS["initial_write_units_per_second"],
            writes,
            "time: twice the last peak in half an hour; `WarmThroughput` of `AppointmentsTable` at once",
        ),
        Limit("writes to a table or its index", QUOTAS["table_write_units_per_second"], writes, "Service Quotas"),
        Limit(
            "writes to the busiest advisor",
            QUOTAS["partition_write_units_per_second"],
            lambda r: writes(r) * BUSIEST_ADVISOR,
            "nothing: `advisor_id` is the key",
        ),
        Limit(
            "executions at once, all lanes and audits",
            QUOTAS["lambda_concurrent_executions"],
            executions,
            "Service Quotas; `ReservedConcurrency` keeps a part for the archive",
        ),
        Limit("PUTs below one `dt=`", QUOTAS["s3_puts_per_second"], objects, "a longer `BatchingWindow`"),
        Limit(
            "ledger entries of one `dt`",
            QUOTAS["partition_write_units_per_second"],
            objects,
            "a longer `BatchingWindow`",
        ),
        Limit("events to audit-archive", QUOTAS["event_targets_per_second"], objects, "Service Quotas"),
    ]


def sign_up_limits(accounts: Accounts) -> list[Limit]:
    seconds_in_lambda = sum(accounts.seconds(*step) for step in SIGN_UP)
    workflows = QUEUE_CONCURRENCY * int(setting("StartAccountWorkflow", "MaximumConcurrency"))
    return [
        Limit(
            "codes that Cognito mails by itself",
            QUOTAS["cognito_emails_per_day"] / 86400,
            lambda r: r,
            "`SendCodesThroughSes`",
        ),
        Limit("e-mails in the sandbox of SES", QUOTAS["emails_per_second"], lambda r: r, "a request to leave it"),
        Limit(
            "throttle of `POST /accounts`", throttle("/accounts"), lambda r: r, "`ThrottlingRateLimit` of `/accounts`"
        ),
        Limit(
            "throttle of `POST /account-requests`",
            throttle("/account-requests"),
            lambda r: r,
            "`ThrottlingRateLimit` of `/account-requests`",
        ),
        Limit(
            "workflows that the queue runs at once",
            workflows,
            lambda r: r * accounts.workflow_seconds,
            "`MaximumConcurrency` of `StartAccountWorkflow`; the others wait",
        ),
        Limit(
            "passwords set or forgotten",
            QUOTAS["password_calls_per_second"],
            lambda r: r * SIGN_UP_PASSWORD_CALLS,
            "nothing; `POST /account-requests` spreads them",
        ),
        Limit("users created", QUOTAS["user_creations_per_second"], lambda r: r, "Service Quotas"),
        Limit(
            "writes to the index `unfinished`",
            QUOTAS["partition_write_units_per_second"],
            lambda r: r * UNFINISHED_INDEX_WRITES,
            "nothing: the index has one key",
        ),
        Limit(
            "executions at once",
            QUOTAS["lambda_concurrent_executions"],
            lambda r: r * seconds_in_lambda,
            "Service Quotas",
        ),
        Limit("API requests", QUOTAS["api_requests_per_second"], lambda r: r * SIGN_UP_API_REQUESTS, "Service Quotas"),
        Limit("events put on the bus", QUOTAS["put_events_per_second"], lambda r: r, "Service Quotas"),
    ]


# ---- The page


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(head: list[str], rows: list[list[str]], texts: int = 1) -> str:
    """The first columns are `texts`, the others numbers."""
    rule = ["---"] * texts + ["---:"] * (len(head) - texts)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows]) + "\n"


def cost_table(costs: dict[str, dict[str, float]]) -> str:
    parts = next(iter(costs.values()))
    rows = [[part, *(f"{cost[part]:,.2f}" for cost in costs.values())] for part in parts]
    rows.append(["**all**", *(f"**{sum(cost.values()):,.2f}**" for cost in costs.values())])
    return table(["USD", *costs], rows)


def archive_table(archivers: list[Archiver], accounts: dict[str, Any]) -> str:
    def cell(archiver: Archiver, rate: float) -> str:
        behind = archiver.behind_at(PARALLELIZATION)
        if behind is not None and rate >= behind:
            return "behind"
        cost = bookings_cost(archiver, accounts, rate)
        return f"{cost['stream'] + cost['Lambda'] + cost['S3'] + cost['ledger']:,.2f}"

    rows = [[archiver.name, *(cell(archiver, rate) for rate in RATES)] for archiver in archivers]
    return table(["USD, at bookings a second of", *map(number, RATES)], rows)


def pace_table(archivers: list[Archiver]) -> str:
    def behind(archiver: Archiver, parallelization: int) -> str:
        rate = archiver.behind_at(parallelization)
        return "never" if rate is None else number(rate)

    rows = [
        [
            archiver.name,
            str(archiver.memory_mb),
            number(archiver.largest_batch),
            number(archiver.seconds(archiver.largest_batch)),
            number(archiver.records_per_second),
            *(behind(archiver, parallelization) for parallelization in (1, 10)),
        ]
        for archiver in archivers
    ]
    head = ["", "MB", "largest batch", "seconds for it", "records a second", "behind from", "with factor 10"]
    return table(head, rows)


def scale_table(archiver: Archiver, accounts: dict[str, Any]) -> str:
    streams = [stream(rate, archiver.largest_batch) for rate in RATES]
    batches = [rate * CHANGES / each.records for rate, each in zip(RATES, streams, strict=True)]
    rows = {
        "API requests a second": [rate * API_REQUESTS for rate in RATES],
        "write units a second, table and index each": [rate * CHANGES * WRITE_UNITS for rate in RATES],
        "shards of the stream": [each.shards for each in streams],
        "lanes, as many executions of the archive at most": [each.lanes for each in streams],
        "executions of the archive at work, on average": [
            count * archiver.seconds(each.records) for count, each in zip(batches, streams, strict=True)
        ],
        "records in a batch": [each.records for each in streams],
        "objects a second": batches,
        "audits at once": [count * audit_seconds(accounts) for count in batches],
    }
    head = ["bookings a second", *map(number, RATES)]
    return table(head, [[name, *map(number, values)] for name, values in rows.items()])


def limits_table(limits: list[Limit]) -> str:
    """Those that are hit first come first."""

    hits = {limit: hit_at(limit.demand, limit.quota) for limit in limits}
    rows = [
        [limit.name, limit.moved_by, number(limit.quota), "never" if rate is None else number(rate)]
        for limit, rate in sorted(hits.items(), key=lambda hit: math.inf if hit[1] is None else hit[1])
    ]
    return table(["limit", "moved by", "quota", "hit at"], rows, texts=2)


def provenance() -> str:
    entries = PRICE_LIST | LIMITS["quotas"]
    dates = sorted(entry["as_of"] for entry in entries.values() if entry["as_of"])
    unverified = [f"`{name}`" for name, entry in entries.items() if not entry["verified"]]
    undated = [f"`{name}`" for name, entry in entries.items() if not entry["as_of"]]
    return (
        f"Prices and quotas are those of us-east-1, found between {dates[0]} and {dates[-1]}.\n"
        f"Not verified: {', '.join(unverified) or 'none'}.\n"
        f"From pages without a date: {', '.join(undated) or 'none'}.\n"
    )


def page(results: dict[str, Any]) -> str:
    """What stands between the marks."""
    archivers = [Archiver(name, result) for name, result in results["archive"].items()]
    accounts = results["check-account"]
    ours = next(archiver for archiver in archivers if archiver.name == "Registrar")
    sections = [
        provenance(),
        f"## A million bookings, at {BOOKINGS_A_SECOND} a second",
        cost_table({each.name: bookings_cost(each, accounts, BOOKINGS_A_SECOND) for each in archivers}),
        "What a million bookings that stay cost each month:",
        cost_table({each.name: storage_cost(each, BOOKINGS_A_SECOND) for each in (ours,)}),
        "## The archive of a million bookings, at other rates",
        archive_table(archivers, accounts),
        "## A million sign-ups",
        cost_table({name: sign_ups_cost(Accounts(result)) for name, result in accounts.items()}),
        "## How fast a shard is archived",
        pace_table(archivers),
        "## From one booking a second to a million",
        scale_table(ours, accounts),
        "Where the limits are hit, in bookings a second:",
        limits_table(booking_limits(ours, accounts)),
        "And in sign-ups a second:",
        limits_table(sign_up_limits(Accounts(accounts["Registrar"]))),
    ]
    return "\n".join(section.rstrip("\n") + "\n" for section in sections)


def main() -> None:
    if not RESULTS.exists():
        sys.exit("benches/results.json is missing: run make bench first")
    before, rest = PAGE.read_text().split(BEGIN)
    written = page(json.loads(RESULTS.read_text()))
    PAGE.write_text(before + BEGIN + "\n" + written + "\n" + END + rest.split(END)[1])
    print(written)
    print(f"==> {PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
