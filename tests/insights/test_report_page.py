"""The page, rendered from answers of the jobs, in a real browser."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import browsers
import engines
import pytest
import tools
from browsers import check_view, quiet_page, visit
from measuring import TARGET
from playwright.sync_api import Browser, Page, expect

RENDER = TARGET / "debug/examples/report_page"
FAULTS = {"2026-10-06": "damaged object", "2026-10-09": "empty day", "2026-10-13": "removed row"}


@pytest.fixture(scope="module")
def file(sail: engines.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of an archive with faults."""
    if not RENDER.exists():
        tools.skip(f"{RENDER} is not there: cargo test --workspace --all-features")
    root = tmp_path_factory.mktemp("page")
    engines.example_archive(root, rows=6_000, days=40, start="2026-09-28")
    engines.plant(root, FAULTS)
    given = {"archive": root / "appointments", "before": "2026-12-01"}
    against = {"ledger": root / "ledger"}
    sail.run("report", root / "answers/report", **given, zone="Europe/Berlin")
    sail.run("check", root / "answers/check", **given, **against)
    folders = {"compacted": root / "compacted", "staging": root / "staging"}
    sail.run("compact", root / "answers/compact", **given, **against, **folders)
    page = root / "report.html"
    page.write_bytes(subprocess.check_output([RENDER, root / "answers"]))
    return page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.running("chromium") as browser:
        yield browser


def rows(page: Page, caption: str) -> list[str]:
    return page.get_by_role("table", name=caption).get_by_role("row").all_inner_texts()


def test_the_page_shows_the_facts_of_the_archive_and_its_faults(browser: Browser, file: Path) -> None:
    with visit(browser, file.parent.as_uri()) as context, quiet_page(context) as page:
        page.goto(file.as_uri())
        expect(page.get_by_role("definition").filter(has_text="Tuesday 10:00")).to_be_visible()
        expect(page.get_by_role("img", name="Most are on Tuesdays at 10:00")).to_be_visible()
        expect(page.get_by_role("listitem").filter(has_text="advisor-0007")).to_have_text("advisor-0007 2026-10")
        page.get_by_text("The same as a table").click()
        [_, *hours] = rows(page, "Appointments by weekday and hour")
        assert [row.split("\t")[0] for row in hours] == [f"{hour:02}:00" for hour in range(8, 18)]
        # Late cancellations, as a part of all.
        shares = {
            row.split("\t")[0]: int(row.rpartition(" ")[2].removesuffix("%"))
            for row in rows(page, "Bookings and cancellations by advisor, the busiest first")
            if row.endswith("%")
        }
        assert max(shares, key=shares.__getitem__) == "advisor-0003"
        page.get_by_role("link", name="What and where").click()
        differences, problems = (
            rows(page, "Where the archive and the ledger differ"),
            rows(page, "What the jobs could not count"),
        )
        assert any(row.startswith("2026-10-13\trows\t") for row in differences)
        assert any(
            row.startswith("object left out\tdt=2026-10-06/") and row.endswith("report, check, compaction")
            for row in problems
        )
        assert "empty day\t2026-10-09\treport, check" in problems
        [_, *left_out] = rows(page, "Days that were not compacted, because their numbers of rows differ")
        assert [row.split("\t")[0] for row in left_out] == sorted(FAULTS)
        expect(page.get_by_text("student-")).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_the_page(browser: Browser, file: Path, scheme: str, width: int) -> None:
    settings = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    with visit(browser, file.parent.as_uri(), **settings) as context, quiet_page(context) as page:
        page.goto(file.as_uri())
        check_view(page, "report", scheme, width)
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
