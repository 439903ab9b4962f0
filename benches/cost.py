"""The costs of the system, and the rate at which each limit is reached: `make cost`.

Computes benches/results/cost.md from the figures beside it, prices.json, limits.json and the templates.
"""

import json
import sys

from measuring import FIGURES, RESULTS, ROOT, modules
from pricing import provenance

PAGE = RESULTS / "cost.md"


def page(results: dict) -> str:
    made = results["made"]
    sections = [
        "# Costs and limits",
        f"`make cost` wrote this page from what was measured on {made['date']}, at commit {made['commit']}. The model: "
        "[cost.md](../../docs/cost.md).",
        provenance(),
        *(section for room in modules("cost") if room.MEASURED in results for section in room.sections(results)),
    ]
    return "\n\n".join(section.rstrip("\n") for section in sections) + "\n"


def main() -> None:
    if not FIGURES.exists():
        sys.exit(f"{FIGURES.relative_to(ROOT)} is missing: run make bench first")
    written = page(json.loads(FIGURES.read_text()))
    PAGE.write_text(written)
    print(written)
    print(f"==> {PAGE.relative_to(ROOT)} is written")


if __name__ == "__main__":
    main()
