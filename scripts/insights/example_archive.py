"""Writes an example archive with facts that a report has to find, and its ledger as DynamoDB exports it.

Objects, their names and the ledger are as the archive's Rust code writes them: docs/appointments/archive.md. It runs in
the room's environment: .venv/insights/bin/python scripts/insights/example_archive.py DIRECTORY --rows 100000
"""

import argparse
import gzip
import hashlib
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

# The facts. A report of the whole archive shows them.
PEAK_WEEKDAY, PEAK_HOUR, PEAK_WEIGHT = 2, 10, 6  # Tuesdays at ten have six times as many bookings
ON_LEAVE, LEAVE_MONTH = "advisor-0007", 10  # no appointments in October
OFTEN_LATE = "advisor-0003"  # cancelled late more often than others
HOURS = range(8, 18)
CANCELLED, LATE, EDITED = 0.15, 0.2, 0.02
TOPICS = ["Course choice", "Exam registration", "Études à l'étranger", "成績", 'A "quoted" topic', None]
# Two changes for each, as many as the canary makes in 30 minutes.
CANARY_PAIRS_A_DAY = 2
# Rows that are made in memory together.
PART = 500_000

TEXT, TIME = pa.string(), pa.timestamp("ms", "UTC")
SCHEMA = pa.schema(
    [
        pa.field("event_id", TEXT, nullable=False),
        pa.field("event_source", TEXT, nullable=False),
        pa.field("event_name", TEXT, nullable=False),
        pa.field("sequence_number", TEXT, nullable=False),
        pa.field("event_time", TIME, nullable=False),
        pa.field("advisor_id", TEXT, nullable=False),
        pa.field("starts_at", TIME, nullable=False),
        pa.field("student_id", TEXT, nullable=False),
        pa.field("topic", TEXT),
        pa.field("new_image", TEXT),
        pa.field("old_image", TEXT),
    ]
)
WITH_DICTIONARY = ["event_source", "event_name", "advisor_id", "topic"]
Row = dict[str, Any]


@dataclass
class Net:
    """The sum of changes: `crates/archive/src/net.rs`."""

    count: int = 0
    checksum: int = 0

    def add(self, row: Row) -> None:
        for image, sign in ((row["new_image"], 1), (row["old_image"], -1)):
            if image is not None:
                digest = hashlib.sha256(image.encode()).digest()
                self.count += sign
                self.checksum = (self.checksum + sign * int.from_bytes(digest[:8], "big")) % 2**64

    def __str__(self) -> str:
        return f"{self.count:+} {self.checksum:016x}"


def days(rows: list[Row]) -> dict[str, str]:
    """The sums by the UTC date of the appointment."""
    sums: dict[str, Net] = defaultdict(Net)
    for row in rows:
        sums[row["starts_at"].date().isoformat()].add(row)
    return {day: str(sums[day]) for day in sorted(sums)}


def write_object(root: Path, rows: list[Row], schema: pa.Schema = SCHEMA) -> Row:
    """Writes one archive object, named by its first row; returns its item in the ledger."""
    first, last, sums = rows[0], rows[-1], days(rows)
    dt = first["event_time"].date().isoformat()
    key = f"appointments/dt={dt}/{first['sequence_number']}-{first['event_id']}.parquet"
    numbers = {
        "first_sequence_number": first["sequence_number"],
        "last_sequence_number": last["sequence_number"],
    }
    footer = numbers | {"days": json.dumps(sums, separators=(",", ":"))}
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(
        path,
        schema,
        compression="none" if len(rows) < 100 else "zstd",
        compression_level=None if len(rows) < 100 else 1,
        use_dictionary=WITH_DICTIONARY,
        write_statistics=[name for name in schema.names if not name.endswith("_image")],
        store_schema=False,
    ) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema))
        # A schema's own metadata would not be written without the schema.
        writer.add_key_value_metadata(footer)
    return numbers | {
        "dt": dt,
        "object_key": key,
        "row_count": len(rows),
        "size_bytes": path.stat().st_size,
        "etag": hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest(),
        "sequencer": first["sequence_number"],
        "days": sums,
    }


def write_ledger(root: Path, entries: list[Row]) -> None:
    """Writes the ledger as ExportTableToPointInTime does: a JSON line for each item, compressed with gzip."""

    def attribute(value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return {"M": {key: attribute(one) for key, one in value.items()}}
        return {"N": str(value)} if isinstance(value, int) else {"S": value}

    folder = root / "ledger"
    folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / "items.json.gz", "wt") as file:
        for entry in entries:
            file.write(json.dumps({"Item": attribute(entry)["M"]}, ensure_ascii=False) + "\n")
    # DynamoDB writes a file without items for a partition that has none.
    (folder / "empty.json.gz").write_bytes(gzip.compress(b""))


def image(advisor: str, starts_at: datetime, student: str, topic: str | None) -> str:
    texts = {"advisor_id": advisor, "starts_at": f"{starts_at:%Y-%m-%dT%H:%M:%SZ}", "student_id": student}
    item = {name: {"S": text} for name, text in texts.items()}
    item["topic"] = {"NULL": True} if topic is None else {"S": topic}
    return json.dumps(item, ensure_ascii=False, separators=(",", ":"))


@dataclass
class Example:
    """An archive of `rows` changes over `days` days that begin at `start`."""

    root: Path
    rows: int
    days: int
    rows_per_object: int
    start: date
    zone: ZoneInfo
    random: random.Random
    entries: list[Row] = field(default_factory=list)
    written: int = 0
    _number: int = 10**20

    def write(self) -> None:
        parts = max(1, min(self.days, round(self.rows / PART)))
        for part in range(parts):
            begin, end = (self.start + timedelta(days=self.days * index // parts) for index in (part, part + 1))
            self._write_part(begin, end, self.rows // parts)
        write_ledger(self.root, self.entries)

    def _write_part(self, begin: date, end: date, rows: int) -> None:
        changes = self._changes(begin, end, round(rows / (1 + CANCELLED + EDITED)))
        changes.sort(key=lambda change: change["event_time"])
        objects: list[list[Row]] = []
        for change in changes:
            self._number += self.random.randint(1, 9)
            change |= {
                "event_id": f"{self.random.getrandbits(128):032x}",
                "event_source": "aws:dynamodb",
                "sequence_number": str(self._number),
            }
            same_day = objects and objects[-1][0]["event_time"].date() == change["event_time"].date()
            if same_day and len(objects[-1]) < self.rows_per_object:
                objects[-1].append(change)
            else:
                objects.append([change])
        self.entries += [write_object(self.root, one) for one in objects]
        self.written += len(changes)

    def _changes(self, begin: date, end: date, bookings: int) -> list[Row]:
        """Each booking and what becomes of it, between two dates."""
        draw = self.random
        opening = datetime.combine(begin, time(), timezone.utc)
        school_days = [day for n in range((end - begin).days) if (day := begin + timedelta(n)).weekday() < 5]
        # A third of all slots is booked, at most.
        advisors = max(20, 3 * self.rows * 7 // (self.days * 5 * len(HOURS) * 4))
        students = max(10, self.rows // 8)
        weights = [PEAK_WEIGHT if hour == PEAK_HOUR else 1 for hour in HOURS]
        taken: set[tuple[str, datetime]] = set()
        changes: list[Row] = []
        # Slots that are taken, or before the first change, are drawn again.
        while len(taken) < bookings:
            day = draw.choice(school_days)
            is_peak_day = day.isoweekday() == PEAK_WEEKDAY
            hour = draw.choices(HOURS, weights)[0] if is_peak_day else draw.choice(HOURS)
            local = datetime.combine(day, time(hour, draw.choice((0, 15, 30, 45))), self.zone)
            starts_at = local.astimezone(timezone.utc)
            advisor = f"advisor-{draw.randrange(1, advisors + 1):04}"
            on_leave = advisor == ON_LEAVE and local.month == LEAVE_MONTH
            lead = timedelta(seconds=int(min(draw.expovariate(1 / (6 * 86_400)), 60 * 86_400)) + 60)
            if on_leave or (advisor, starts_at) in taken or starts_at - lead < opening:
                continue
            taken.add((advisor, starts_at))
            student = f"student-{int(students * draw.random() ** 2):07}"
            changes += self._life(advisor, starts_at, student, starts_at - lead, lead)
        for number in range((end - begin).days * CANARY_PAIRS_A_DAY):
            booked = opening + timedelta(days=1) / CANARY_PAIRS_A_DAY * number
            # A slot that no other canary of the archive has.
            slot = datetime(3000, 1, 1, tzinfo=timezone.utc) + (booked - datetime(2020, 1, 1, tzinfo=timezone.utc)) * 2
            slot = slot.replace(hour=0, minute=0, second=0)
            item = {"advisor_id": "canary", "starts_at": slot, "student_id": "canary", "topic": None}
            text = image("canary", slot, "canary", None)
            changes.append(item | change("INSERT", booked, new=text))
            changes.append(item | change("REMOVE", booked + timedelta(seconds=9), old=text))
        return changes

    def _life(self, advisor: str, starts_at: datetime, student: str, booked: datetime, lead: timedelta) -> list[Row]:
        draw, topic = self.random, self.random.choice(TOPICS)
        item = {"advisor_id": advisor, "starts_at": starts_at, "student_id": student, "topic": topic}
        text = image(*item.values())
        rows = [item | change("INSERT", booked, new=text)]
        if draw.random() < EDITED:
            item = item | {"topic": "Something else"}
            old, text = text, image(*item.values())
            rows.append(item | change("MODIFY", booked + lead / 4, new=text, old=old))
        if draw.random() < CANCELLED:
            is_late = draw.random() < (0.7 if advisor == OFTEN_LATE else LATE)
            share = 1 - min(timedelta(hours=20) / lead, 0.5) * draw.random() if is_late else 0.25 + draw.random() / 4
            cancelled = (booked + lead * share).replace(microsecond=0)
            rows.append(item | change("REMOVE", cancelled, old=text))
        return rows


def change(name: str, at: datetime, new: str | None = None, old: str | None = None) -> Row:
    return {"event_name": name, "event_time": at.replace(microsecond=0), "new_image": new, "old_image": old}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=100_000, help="about this many changes")
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--rows-per-object", type=int, default=20)
    parser.add_argument("--start", type=date.fromisoformat, default=date(2025, 8, 1))
    parser.add_argument("--zone", type=ZoneInfo, default=ZoneInfo("Europe/Berlin"))
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    example = Example(
        given.directory,
        given.rows,
        given.days,
        given.rows_per_object,
        given.start,
        given.zone,
        random.Random(given.seed),
    )
    example.write()
    facts = {
        "rows": example.written,
        "objects": len(example.entries),
        "peak": {"weekday": PEAK_WEEKDAY, "hour": PEAK_HOUR},
        "on_leave": {"advisor": ON_LEAVE, "month": LEAVE_MONTH},
        "often_late": OFTEN_LATE,
    }
    (given.directory / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
