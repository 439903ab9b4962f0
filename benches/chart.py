"""Charts for the documentation, as SVG that fits light and dark pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

GREY = "#808080"
COLOURS = ["#d1495b", "#3d7ea6", "#e8a13a", "#5a9367", "#8f6bb3"]
plt.rcParams |= {
    "svg.fonttype": "none",
    # Makes the same file from the same figures.
    "svg.hashsalt": "registrar",
    "font.family": "sans-serif",
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def save(path: Path) -> None:
    plt.tight_layout()
    plt.savefig(path, transparent=True, metadata={"Date": None})
    plt.close()


def lines(path: Path, title: str, x_label: str, y_label: str, series: Mapping[str, Mapping[float, float]]) -> None:
    """A line for each name, from x to y, both logarithmic."""
    _, axes = plt.subplots(figsize=(7.5, 4))
    for (name, points), colour in zip(series.items(), COLOURS, strict=False):
        axes.plot(list(points), list(points.values()), marker="o", color=colour, label=name)
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    save(path)


def stacked_bars(
    path: Path, title: str, x_label: str, parts: Sequence[str], bars: Mapping[str, Sequence[float]]
) -> None:
    """A bar for each name, made of its parts."""
    _, axes = plt.subplots(figsize=(7.5, 0.45 * len(bars) + 1.2))
    begins = [0.0] * len(bars)
    for index, part in enumerate(parts):
        widths = [values[index] for values in bars.values()]
        axes.barh(list(bars), widths, left=begins, color=COLOURS[index], label=part)
        begins = [begin + width for begin, width in zip(begins, widths, strict=True)]
    for row, end in enumerate(begins):
        axes.text(end, row, f" {end:.0f}", va="center")
    axes.set(title=title, xlabel=x_label)
    axes.invert_yaxis()
    axes.legend()
    save(path)


def power_chart(results: Mapping[str, Any], path: Path) -> None:
    """Duration and cost against memory.

    ``results`` are what AWS Lambda Power Tuning answers, with a ``title``: ``stats`` has, for each ``value`` in MB,
    ``averageDuration`` in milliseconds and ``averagePrice`` in USD for an invocation; ``power`` is the memory to take.
    """
    stats = sorted(results["stats"], key=lambda one: int(one["value"]))
    sizes = [str(one["value"]) for one in stats]
    _, speed = plt.subplots(figsize=(7.5, 4))
    cost = speed.twinx()
    cost.spines["right"].set_visible(True)
    durations = [one["averageDuration"] for one in stats]
    prices = [one["averagePrice"] * 1e6 for one in stats]
    for axes, values, label, colour in (
        (speed, durations, "ms", COLOURS[1]),
        (cost, prices, "USD for a million", COLOURS[0]),
    ):
        axes.plot(sizes, values, marker="o", color=colour)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(label, color=colour)
    speed.axvspan(*(sizes.index(str(results["power"])) + side for side in (-0.3, 0.3)), color=GREY, alpha=0.15)
    speed.set(title=results["title"], xlabel="memory, MB")
    save(path)
