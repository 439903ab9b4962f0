"""Counts that could tell about a person are merged. EMR Serverless gets this file by `--py-files`."""

from typing import Any

# Smaller counts are merged.
LEAST = 5
Cell = dict[str, Any]


def merged(cells: list[Cell], keys: list[str], measures: list[str]) -> dict[str, Any]:
    """The sums of the cells by their keys, in the order of the keys, and `rest`; without keys, there is one sum.

    Counts below LEAST are None, and added up in `rest`. If that sum is itself below LEAST, the next smallest count is
    merged, too: otherwise, the difference between the total and the cells would tell.
    """
    sums: dict[tuple[Any, ...], Cell] = {} if keys else {(): dict.fromkeys(measures, 0)}
    for cell in cells:
        key = tuple(cell[name] for name in keys)
        of_key = sums.setdefault(key, dict(zip(keys, key, strict=True)) | dict.fromkeys(measures, 0))
        for name in measures:
            of_key[name] += cell[name]
    shown = [sums[key] for key in sorted(sums)]
    rest: Cell = {}
    for name in measures:
        pool = 0
        for cell in sorted(shown, key=lambda cell: cell[name]):
            if 0 < cell[name] < LEAST or 0 < pool < LEAST:
                pool += cell[name]
                cell[name] = None
        rest[name] = None if 0 < pool < LEAST else pool
    return {"cells": shown, "rest": rest}
