"""Charts as SVG, without a library."""

from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 650, 60, 340
SPEED, COST = "#2364aa", "#c8553d"
STEPS = 4
STYLE = "text { font: 13px sans-serif; fill: #333 } .title { font-size: 16px }"


def power_chart(results: dict[str, Any], path: Path) -> None:
    """Draws duration and cost against memory.

    ``results`` are what AWS Lambda Power Tuning answers, with a ``title``: ``stats`` has, for each ``value`` in MB,
    ``averageDuration`` in milliseconds and ``averagePrice`` in USD for an invocation; ``power`` is the memory to take.
    """
    stats = sorted(results["stats"], key=lambda one: int(one["value"]))
    places = [LEFT + (RIGHT - LEFT) * (number + 0.5) / len(stats) for number in range(len(stats))]
    best = next(x for x, one in zip(places, stats, strict=True) if int(one["value"]) == int(results["power"]))
    parts = [
        f'<text class="title" x="{LEFT}" y="25">{escape(results["title"])}</text>',
        f'<rect x="{best - 22:.1f}" y="{TOP}" width="44" height="{BOTTOM - TOP}" fill="#eee"/>',
        f'<line x1="{LEFT}" y1="{BOTTOM}" x2="{RIGHT}" y2="{BOTTOM}" stroke="#333"/>',
        f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 15}" text-anchor="middle">memory in MB</text>',
    ]
    for x, one in zip(places, stats, strict=True):
        parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 20}" text-anchor="middle">{one["value"]}</text>')
    durations = [one["averageDuration"] for one in stats]
    parts += line("milliseconds", SPEED, places, durations, LEFT)
    prices = [one["averagePrice"] * 1e6 for one in stats]
    parts += line("USD for a million", COST, places, prices, RIGHT)
    body = "\n".join(parts)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">\n'
        f'<style>{STYLE}</style>\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )


def line(label: str, color: str, places: list[float], values: list[float], axis: int) -> list[str]:
    """A line with points, and its scale, which begins at zero."""
    top = max(values)
    outside, inside = ("end", "start") if axis == LEFT else ("start", "end")
    scale = axis - 8 if axis == LEFT else axis + 8

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * value / top

    points = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in zip(places, values, strict=True))
    parts = [
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>',
        f'<text x="{axis}" y="{TOP - 10}" text-anchor="{inside}" style="fill: {color}">{label}</text>',
    ]
    parts += [
        f'<circle cx="{x:.1f}" cy="{y(value):.1f}" r="4" fill="{color}"><title>{value:.3g} {label}</title></circle>'
        for x, value in zip(places, values, strict=True)
    ]
    parts += [
        f'<text x="{scale}" y="{y(top * step / STEPS) + 4:.1f}" text-anchor="{outside}" style="fill: {color}">'
        f"{top * step / STEPS:.3g}</text>"
        for step in range(STEPS + 1)
    ]
    return parts
