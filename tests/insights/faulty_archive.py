"""Plants faults into an example archive: python faulty_archive.py DIRECTORY DAY=FAULT…"""

import gzip
import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from example_archive import SCHEMA, write_object

Row = dict[str, Any]


def change(rows: list[Row], name: str, value: Any) -> list[Row]:
    """The second row with another value in one column."""
    return [rows[0], rows[1] | {name: value}, *rows[2:]]


def newer(row: Row) -> str:
    return "new_image" if row["new_image"] else "old_image"


ROWS: dict[str, Callable[[list[Row]], list[Row]]] = {
    "removed row": lambda rows: [rows[0], *rows[2:]],
    "doubled row": lambda rows: [rows[0], rows[1], *rows[1:]],
    "altered advisor": lambda rows: change(rows, "advisor_id", "advisor-9999"),
    "altered start": lambda rows: change(rows, "starts_at", rows[1]["starts_at"] + timedelta(minutes=15)),
    "altered student": lambda rows: change(rows, "student_id", "student-x"),
    "altered topic": lambda rows: change(rows, "topic", "x"),
    "altered name": lambda rows: change(rows, "event_name", "MODIFY"),
    "altered time": lambda rows: change(rows, "event_time", rows[1]["event_time"] + timedelta(days=1)),
    "altered image": lambda rows: change(rows, newer(rows[1]), rows[1][newer(rows[1])].replace("{", "{ ", 1)),
}


def later(net: str) -> str:
    """A sum of the ledger with another last digit."""
    return net[:-1] + format((int(net[-1], 16) + 1) % 16, "x")


def falsified(entry: dict[str, Any]) -> dict[str, Any]:
    day = min(entry["days"]["M"])
    return entry | {"days": {"M": entry["days"]["M"] | {day: {"S": later(entry["days"]["M"][day]["S"])}}}}


ENTRIES: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
    "falsified sum": falsified,
    "falsified count": lambda entry: entry | {"row_count": {"N": str(int(entry["row_count"]["N"]) + 1)}},
    "missing entry": lambda entry: None,
}


def rewrite(path: Path, rows: list[Row], schema: pa.Schema = SCHEMA) -> None:
    """Other rows, with the footer's figures as before."""
    figures = pq.read_metadata(path).metadata
    pq.write_table(pa.Table.from_pylist(rows, schema.with_metadata(figures)), path, store_schema=False)


def older(path: Path, missing: str) -> None:
    """As if the object had been written before the column was."""
    rows = pq.read_table(path, partitioning=None).to_pylist()
    index = SCHEMA.get_field_index(missing)
    rewrite(path, [{name: row[name] for name in row if name != missing} for row in rows], SCHEMA.remove(index))


def damage(path: Path) -> None:
    """Half of the object, without its footer."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_column(path: Path, name: str) -> None:
    """The beginning of a column's values; the footer is as before."""
    group = pq.read_metadata(path).row_group(0)
    [column] = [group.column(index) for index in range(group.num_columns) if group.column(index).path_in_schema == name]
    with path.open("r+b") as file:
        file.seek(column.data_page_offset)
        file.write(b"\xff" * 16)


def add(root: Path, like: Path) -> None:
    """An object more, as a redrive writes it into a closed day, with its entry in the ledger."""
    [first, *_] = pq.read_table(like, partitioning=None).to_pylist()
    row = first | {"event_id": "0" * 32, "sequence_number": str(int(first["sequence_number"]) + 1)}
    entry = write_object(root, [row])
    items = read_ledger(root)
    example = next(iter(items))
    figures = {"row_count": {"N": "1"}, "size_bytes": {"N": str(entry["size_bytes"])}}
    texts = {"dt": {"S": entry["dt"]}, "object_key": {"S": entry["object_key"]}}
    items.append(example | figures | texts | {"days": {"M": {day: {"S": net} for day, net in entry["days"].items()}}})
    save_ledger(root, items)


def read_ledger(root: Path) -> list[dict[str, Any]]:
    with gzip.open(root / "ledger/items.json.gz", "rt") as file:
        return [json.loads(line)["Item"] for line in file]


def save_ledger(root: Path, entries: list[dict[str, Any]]) -> None:
    with gzip.open(root / "ledger/items.json.gz", "wt") as file:
        file.writelines(json.dumps({"Item": entry}) + "\n" for entry in entries)


def plant(root: Path, dt: str, fault: str) -> None:
    path = sorted((root / f"appointments/dt={dt}").glob("*.parquet"))[1]
    if fault in ROWS:
        rewrite(path, ROWS[fault](pq.read_table(path, partitioning=None).to_pylist()))
    elif fault in ENTRIES:
        key = str(path.relative_to(root))
        entries = [ENTRIES[fault](one) if one["object_key"]["S"] == key else one for one in read_ledger(root)]
        save_ledger(root, [entry for entry in entries if entry])
    elif fault == "missing object":
        path.unlink()
    elif fault == "damaged object":
        damage(path)
    elif fault == "damaged image":
        damage_column(path, "old_image")
    elif fault == "without topic":
        older(path, "topic")
    elif fault == "without student":
        older(path, "student_id")
    elif fault == "empty day":
        for one in path.parent.iterdir():
            one.unlink()
        path.parent.rmdir()
    elif fault == "added object":
        add(root, path)
    else:
        sys.exit(f"unknown fault: {fault}")


if __name__ == "__main__":
    for word in sys.argv[2:]:
        plant(Path(sys.argv[1]), *word.split("=", 1))
