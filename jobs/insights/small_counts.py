"""Counts that could tell about a person are merged. EMR Serverless gets this file by `--py-files`."""

from typing import Any

# Smaller counts are merged.
LEAST = 5
Cell = dict[str, Any]


def merged(cells: list[Cell], keys: list[str], measures: list[str]) -> dict[str, Any]:
    """The cells in the order of their keys, and the sum of those counts below LEAST, which are None in the cells.

    If that sum is itself below LEAST, the next smallest count is merged, too: otherwise, the difference between the
    total and the cells would tell.
    """
    shown = [{name: cell[name] for name in [*keys, *measures]} for cell in cells]
    shown.sort(key=lambda cell: [cell[key] for key in keys])
    rest: Cell = {}
    for name in measures:
        pool = 0
        for cell in sorted(shown, key=lambda cell: cell[name]):
            if 0 < cell[name] < LEAST or 0 < pool < LEAST:
                pool += cell[name]
                cell[name] = None
        rest[name] = None if 0 < pool < LEAST else pool
    return {"cells": shown, "rest": rest}
