"""The cost of a million bookings, and the rate at which each limit is reached."""

import math
from dataclasses import dataclass
from typing import Any

from measuring import OURS
from pricing import (
    ASSUMED,
    GB,
    MILLION,
    PRICES,
    QUOTAS,
    RATES,
    Limit,
    cold_seconds,
    cost_table,
    hit_at,
    invocation_cost,
    limits_table,
    memory_size,
    number,
    seconds,
    setting,
    table,
    throttle,
    traces,
)

ROOM = "appointments"
MEASURED = "archive"
"""The case that the figures are for."""

# ---- Values that a reader may want to change

BOOKINGS_A_SECOND = 10
"""The rates for which costs are shown part by part."""
CANCELLED = 0.1
"""Part of the bookings that are cancelled."""
LISTS = 1
"""Views of the list of one's own appointments for each booking."""
FREE_LISTS = 2
"""Views of an advisor's free slots for each booking."""
OFFERS = 1
"""Offered slots for each booking."""
BUSIEST_ADVISOR = 0.01
"""Part of the bookings that are with the most wanted advisor."""
ITEM_BYTES = 250
"""An appointment or a slot in its table or in an index, with DynamoDB's overhead."""

# ---- How the system and its peers work

CHANGES = 1 + CANCELLED
# A browser sends a preflight request to each new address: all but that of offers have a time in them.
API_REQUESTS = 2 * (CHANGES + LISTS + FREE_LISTS) + OFFERS
INDEX_UNITS = math.ceil(ITEM_BYTES / 1024)
# A write in a transaction is billed twice, because it is prepared first; the indexes follow as after any write.
WRITE_UNITS = 2 * INDEX_UNITS
# A change writes the slot, the appointment and the month, and an index of the first two; an offer a slot and its index.
CHANGE_UNITS = 3 * WRITE_UNITS + 2 * INDEX_UNITS
OFFER_UNITS = 2 * INDEX_UNITS
OBJECT_PER_RECORD = ("Python, textbook", "Python, Powertools", "Node, Powertools")
PUTS_AT_ONCE = {"Node, Powertools": 50}
"""Powertools for TypeScript starts all records concurrently; the SDK has this number of connections."""

BATCH_SIZE = int(setting(ROOM, "ArchiveAppointments", "BatchSize"))
TIMEOUT = int(setting(ROOM, "ArchiveAppointments", "Timeout"))
WINDOW = int(setting(ROOM, "BatchingWindow", "Default"))
PARALLELIZATION = int(setting(ROOM, "ParallelizationFactor", "Default"))
INITIAL_SHARDS = int(QUOTAS["initial_write_units_per_second"] / QUOTAS["partition_write_units_per_second"])


@dataclass(frozen=True)
class Archiver:
    """A function that archives the stream."""

    name: str
    result: dict[str, Any]

    @property
    def memory_mb(self) -> int:
        return memory_size(self.result, int(setting(ROOM, "ArchiveAppointments", "MemorySize")))

    def objects(self, records: float) -> float:
        return records if self.name in OBJECT_PER_RECORD else 1

    def seconds(self, records: float) -> float:
        turns = math.ceil(self.objects(records) / PUTS_AT_ONCE.get(self.name, 1))
        return seconds(self.result, records, self.memory_mb, turns * ASSUMED["s3_put_seconds"])

    @property
    def largest_batch(self) -> float:
        """Number of records that fit into an event, and that the function can archive before its time-out."""
        most = min(BATCH_SIZE, QUOTAS["batch_bytes"] / ASSUMED["record_bytes"])
        return hit_at(self.seconds, TIMEOUT, most) or most

    @property
    def records_per_second(self) -> float:
        """The maximum rate of one invocation after the other."""
        return self.largest_batch / self.seconds(self.largest_batch)

    def behind_at(self, parallelization: int) -> float | None:
        """The number of bookings per second at which the archive begins to fall behind."""
        shard_at_most = QUOTAS["partition_write_units_per_second"] / WRITE_UNITS

        def lane(bookings: float) -> float:
            return min(bookings * CHANGES / INITIAL_SHARDS, shard_at_most) / parallelization

        return hit_at(lane, self.records_per_second)


@dataclass(frozen=True)
class Stream:
    """The batches that the mapping makes at a rate of bookings."""

    shards: int
    lanes: int
    records: float
    """The records of a batch: the one that opens the window, and those that arrive until it closes."""


def stream(bookings: float, largest_batch: float) -> Stream:
    units = bookings * CHANGES * WRITE_UNITS
    shards = max(INITIAL_SHARDS, math.ceil(round(units / QUOTAS["partition_write_units_per_second"], 6)))
    lanes = shards * PARALLELIZATION
    return Stream(shards, lanes, min(largest_batch, 1 + bookings * CHANGES / lanes * WINDOW))


def audit_seconds(ours: Archiver) -> float:
    """audit-archive is not measured: the CPU of two batches with one record stands for its two calls."""
    services = ASSUMED["s3_get_seconds"] + ASSUMED["dynamodb_seconds"]
    return seconds(ours.result, 1, int(setting(ROOM, "AuditArchive", "MemorySize")), services, calls=2)


def bookings_cost(archiver: Archiver, ours: Archiver, bookings: float) -> dict[str, float]:
    """USD for a million bookings, part by part. The rate, in bookings per second, determines the size of batches."""
    records = stream(bookings, archiver.largest_batch).records
    batches = CHANGES / records
    objects = batches * archiver.objects(records)
    # Only this archive has a ledger.
    audits = objects if archiver.name == OURS else 0
    audit = invocation_cost(audit_seconds(ours), int(setting(ROOM, "AuditArchive", "MemorySize")))
    log_bytes = API_REQUESTS * ASSUMED["access_log_bytes"] + (batches + audits) * ASSUMED["function_log_bytes"]
    traced = sum(traces(bookings * count) / bookings for count in (API_REQUESTS, batches, audits))
    duration = archiver.seconds(records) + cold_seconds(archiver.result)
    parts = {
        "API Gateway": API_REQUESTS * PRICES["api_request"],
        # A view of a list is a read of up to 4 KB, eventually consistent.
        "DynamoDB": (CHANGES * CHANGE_UNITS + OFFERS * OFFER_UNITS) * PRICES["dynamodb_write_unit"]
        + (LISTS + FREE_LISTS) * 0.5 * PRICES["dynamodb_read_unit"],
        "stream": batches * PRICES["dynamodb_stream_read_by_lambda"],
        "Lambda": batches * invocation_cost(duration, archiver.memory_mb),
        "S3": objects * PRICES["s3_put"],
        "ledger": audits * (PRICES["event_opt_in"] + audit + PRICES["s3_get"] + PRICES["dynamodb_write_unit"]),
        "logs": log_bytes / GB * PRICES["log_gb"],
        "traces": traced * PRICES["trace"],
    }
    return {part: usd * MILLION for part, usd in parts.items()}


def storage_cost(archiver: Archiver, bookings: float) -> dict[str, float]:
    """USD per month for a million bookings that are never cancelled, and whose slots have not expired."""
    records = stream(bookings, archiver.largest_batch).records
    item = ITEM_BYTES / GB
    row = (ASSUMED["row_bytes"] + ASSUMED["object_bytes"] / records) / GB
    return {
        "appointments, their index, slots": 3 * item * PRICES["dynamodb_gb_month"] * MILLION,
        "point-in-time recovery": 2 * item * PRICES["dynamodb_recovery_gb_month"] * MILLION,
        "archive": row * PRICES["s3_gb_month"] * MILLION,
    }


def booking_limits(archiver: Archiver) -> list[Limit]:
    def objects(bookings: float) -> float:
        records = stream(bookings, archiver.largest_batch).records
        return bookings * CHANGES / records * archiver.objects(records)

    def writes(bookings: float) -> float:
        return bookings * CHANGES * WRITE_UNITS

    def executions(bookings: float) -> float:
        """All lanes are in use while the archive catches up."""
        return stream(bookings, archiver.largest_batch).lanes + objects(bookings) * audit_seconds(archiver)

    return [
        Limit("stage throttle of each method", throttle(ROOM, "/*"), lambda r: r, "`ThrottlingRateLimit` of `/*`"),
        Limit("API requests", QUOTAS["api_requests_per_second"], lambda r: r * API_REQUESTS, "Service Quotas"),
        Limit(
            "writes to a new table",
            QUOTAS["initial_write_units_per_second"],
            writes,
            "time: twice the last peak in half an hour; `WarmThroughput` of `AppointmentsTable` immediately",
        ),
        Limit("writes to a table", QUOTAS["table_write_units_per_second"], writes, "Service Quotas"),
        Limit(
            "writes to the busiest advisor",
            QUOTAS["partition_write_units_per_second"],
            lambda r: writes(r) * BUSIEST_ADVISOR,
            "nothing: `advisor_id` is the key",
        ),
        Limit(
            "concurrent executions, all lanes and audits",
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


def archive_table(archivers: list[Archiver], ours: Archiver) -> str:
    def cell(archiver: Archiver, rate: float) -> str:
        behind = archiver.behind_at(PARALLELIZATION)
        if behind is not None and rate >= behind:
            return "behind"
        cost = bookings_cost(archiver, ours, rate)
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


def scale_table(archiver: Archiver) -> str:
    streams = [stream(rate, archiver.largest_batch) for rate in RATES]
    batches = [rate * CHANGES / each.records for rate, each in zip(RATES, streams, strict=True)]
    rows = {
        "API requests a second": [rate * API_REQUESTS for rate in RATES],
        "write units a second, of each table": [rate * CHANGES * WRITE_UNITS for rate in RATES],
        "shards of the stream": [each.shards for each in streams],
        "lanes, as many executions of the archive at most": [each.lanes for each in streams],
        "executions of the archive at work, on average": [
            count * archiver.seconds(each.records) for count, each in zip(batches, streams, strict=True)
        ],
        "records in a batch": [each.records for each in streams],
        "objects a second": batches,
        "concurrent audits": [count * audit_seconds(archiver) for count in batches],
    }
    head = ["bookings a second", *map(number, RATES)]
    return table(head, [[name, *map(number, values)] for name, values in rows.items()])


def sections(results: dict[str, Any]) -> list[str]:
    """The section of the page, from the measurements."""
    archivers = [Archiver(name, result) for name, result in results[MEASURED].items()]
    ours = next(archiver for archiver in archivers if archiver.name == OURS)
    return [
        f"## A million bookings, at {BOOKINGS_A_SECOND} a second",
        cost_table({each.name: bookings_cost(each, ours, BOOKINGS_A_SECOND) for each in archivers}),
        "What a million bookings that stay cost each month:",
        cost_table({each.name: storage_cost(each, BOOKINGS_A_SECOND) for each in (ours,)}),
        "## The archive of a million bookings, at other rates",
        archive_table(archivers, ours),
        "## How fast a shard is archived",
        pace_table(archivers),
        "## From one booking a second to a million",
        scale_table(ours),
        "Where the limits are hit, in bookings a second:",
        limits_table(booking_limits(ours)),
    ]
