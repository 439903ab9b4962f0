//! The page: one file without scripts, which loads nothing. Each chart has its numbers in a table.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use crate::answers::{Bookings, Cell, Check, Compact, Count, Difference, Hour, Kept, Months, Problem, Report, Section};

const STYLE: &str = include_str!("page.css");

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Most rows of a table. The answers have the others.
const MOST_ROWS: usize = 500;

/// Most months that a page is wide enough for.
const MOST_MONTHS: usize = 12;

/// Shades of a heat map, besides that of nothing.
const SHADES: i64 = 6;

/// The answers to all jobs of a run.
#[derive(Debug)]
pub struct Answers {
    pub report: Report,
    pub check: Check,
    pub compact: Compact,
}

impl Answers {
    /// Distinct problems of all jobs, and days that were not compacted.
    pub fn number_of_problems(&self) -> usize {
        self.problems().len() + self.compact.left_out.len()
    }

    /// Each problem, and the jobs that have it.
    fn problems(&self) -> BTreeMap<&Problem, Vec<&'static str>> {
        let jobs = [
            ("report", &self.report.problems),
            ("check", &self.check.problems),
            ("compaction", &self.compact.problems),
        ];
        let mut problems = BTreeMap::<_, Vec<_>>::new();
        for (job, found) in jobs {
            for problem in found.iter().collect::<BTreeSet<_>>() {
                problems.entry(problem).or_default().push(job);
            }
        }
        problems
    }
}

/// The page of these answers, which are in this folder.
pub fn render(answers: &Answers, folder: &str, made_at: DateTime<Utc>) -> Markup {
    let report = &answers.report;
    let title = format!("Appointments, {}", made_at.format("%Y-%m-%d"));
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Registrar" }
                // Otherwise, browsers ask S3 for one.
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        h1 { (title) }
                        p.lead {
                            (period(report)) ", by the clocks of " (report.zone) ". Changes from " (report.before)
                            " on (UTC) are left out. Made " (made_at.format("%Y-%m-%d %H:%M")) " UTC."
                        }
                        (verdict(answers))
                        (figures(report))
                    }
                    section #hours { (hours(report)) }
                    section #advisors { (advisors(report, folder)) }
                    section #months { (months(report, folder)) }
                    div.pair {
                        section #leads { (leads(report)) }
                        section #repeats { (repeats(report)) }
                    }
                    section #archive { (archive(answers, folder)) }
                }
            }
        }
    }
}

/// Nothing but the page's own style.
fn policy() -> String {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'sha256-{hash}'")
}

fn period(Report { first, last, .. }: &Report) -> String {
    // The job's own values for "no limit".
    match (first.as_str(), last.as_str()) {
        ("0001-01-01", "9999-12-31") => "All appointments".into(),
        ("0001-01-01", last) => format!("Appointments until {last}"),
        (first, "9999-12-31") => format!("Appointments since {first}"),
        (first, last) => format!("Appointments from {first} to {last}"),
    }
}

fn verdict(answers: &Answers) -> Markup {
    let (differences, problems) = (answers.check.differences.len(), answers.number_of_problems());
    html! {
        @if differences == 0 && problems == 0 {
            p.notice { "Every change is counted: the archive agrees with its ledger, and all of it could be read." }
        } @else {
            p.notice.warning {
                strong { "Read with care. " }
                @if differences > 0 {
                    "The archive and its ledger differ in " (counted(differences, "place")) ". "
                }
                @if problems > 0 {
                    "Left out: " (if problems == 1 { "1 object or day".into() } else { format!("{} objects or days", grouped(problems as i64)) }) ". "
                }
                a href="#archive" { "What and where" }
            }
        }
    }
}

fn figures(report: &Report) -> Markup {
    let [Cell { counts: totals, .. }] = &report.totals.cells[..] else { return html! {} };
    let Bookings { bookings, cancellations, late_cancellations } = totals.timed;
    let late = format!("of cancellations; fewer than {} hours before", report.late_hours);
    html! {
        dl.figures {
            (figure("Bookings", html! { (shown(bookings)) }, format!("in {}", counted(report.rows, "change"))))
            (figure("Cancelled", html! { (shown(cancellations)) }, share(cancellations, bookings, "of bookings")))
            (figure("Cancelled late", html! { (shown(late_cancellations)) }, share(late_cancellations, cancellations, &late)))
            @if let Some(Cell { key, counts }) = busiest(&report.hours) {
                (figure("Busiest hour", html! { (weekday(key)) " " (clock(key.hour)) }, format!("{} appointments", grouped(counts.kept.unwrap_or_default()))))
            }
        }
        @let untimed = [(totals.untimed_bookings, "bookings"), (totals.untimed_cancellations, "cancellations")];
        @if untimed.iter().any(|(count, _)| *count != Some(0)) {
            p.aside {
                "The time of " (or_few(untimed[0].0, report.least)) " " (untimed[0].1) " and "
                (or_few(untimed[1].0, report.least)) " " (untimed[1].1) " is unknown: these have no lead time, and are not late."
            }
        }
    }
}

fn figure(name: &str, value: Markup, about: String) -> Markup {
    html! {
        div {
            dt { (name) }
            dd {
                span.value { (value) }
                span.about { (about) }
            }
        }
    }
}

// ---- Weekdays and hours

fn busiest(hours: &Section<Hour, Kept>) -> Option<&Cell<Hour, Kept>> {
    hours.cells.iter().filter(|cell| cell.counts.kept > Some(0)).max_by_key(|cell| cell.counts.kept)
}

fn weekday(hour: &Hour) -> &'static str {
    WEEKDAYS.get(hour.weekday.wrapping_sub(1)).copied().unwrap_or("Another day")
}

fn clock(hour: u32) -> String {
    format!("{hour:02}:00")
}

fn hours(report: &Report) -> Markup {
    let section = &report.hours;
    let kept: BTreeMap<_, _> =
        section.cells.iter().map(|Cell { key, counts }| ((key.hour, key.weekday), counts.kept)).collect();
    let (Some(((first, _), _)), Some(((last, _), _)), Some(busiest)) =
        (kept.first_key_value(), kept.last_key_value(), busiest(section))
    else {
        return html! { h2 { "Weekdays and hours" } (nothing()) };
    };
    let weekdays = section.cells.iter().map(|cell| cell.key.weekday).max().unwrap_or_default().clamp(5, 7);
    let count = |hour, weekday| kept.get(&(hour, weekday)).copied().unwrap_or(Some(0));
    let most = busiest.counts.kept.unwrap_or_default();
    let (label, width, height) = (52, 60, 30);
    let size = format!("0 0 {} {}", label + weekdays * width, (last - first + 2) * height);
    let description = format!(
        "Appointments by weekday and hour. Most are on {}s at {}: {}. The table below has all counts.",
        weekday(&busiest.key),
        clock(busiest.key.hour),
        grouped(most),
    );
    html! {
        h2 { "Weekdays and hours" }
        p { "Appointments that were not cancelled, by the hour in which they start." }
        svg.heat viewBox=(size) role="img" aria-label=(description) {
            @for (column, name) in WEEKDAYS.iter().take(weekdays).enumerate() {
                text.head x=(label + column * width + width / 2) y=(height - 10) { (name[..3]) }
            }
            @for (row, hour) in (*first..=*last).enumerate() {
                @let top = (row + 1) * height as usize;
                text.side x=(label - 8) y=(top + 19) { (clock(hour)) }
                @for weekday in 1..=weekdays {
                    @let left = label + (weekday - 1) * width;
                    @let kept = count(hour, weekday);
                    g class=(shade(kept, most)) {
                        rect x=(left + 1) y=(top + 1) width=(width - 2) height=(height - 2) rx="3" {}
                        @if kept != Some(0) {
                            text x=(left + width / 2) y=(top + 19) { (kept.map_or("·".into(), short)) }
                        }
                    }
                }
            }
        }
        (merged_note(section.rest.kept, report.least))
        details {
            summary { "The same as a table" }
            (scrolling("hours-table", html! {
                table aria-labelledby="hours-table" {
                    caption #hours-table { "Appointments by weekday and hour" }
                    thead { tr { th scope="col" { "Hour" } @for name in WEEKDAYS.iter().take(weekdays) { th scope="col" { (name) } } } }
                    tbody {
                        @for hour in *first..=*last {
                            tr {
                                th scope="row" { (clock(hour)) }
                                @for weekday in 1..=weekdays { td { (shown(count(hour, weekday))) } }
                            }
                        }
                    }
                }
            }))
        }
    }
}

// ---- Advisors

/// The busiest first; those whose bookings are merged last.
fn by_load(report: &Report) -> Vec<(&str, &Bookings)> {
    let mut advisors: Vec<_> =
        report.advisors.cells.iter().map(|Cell { key, counts }| (key.advisor.as_str(), counts)).collect();
    advisors.sort_by_key(|(_, counts)| -counts.bookings.unwrap_or_default());
    advisors
}

fn advisors(report: &Report, folder: &str) -> Markup {
    let advisors = by_load(report);
    let most = advisors.first().and_then(|(_, counts)| counts.bookings).unwrap_or_default();
    let Bookings { bookings, cancellations, late_cancellations } = report.advisors.rest;
    let late = format!("Late: fewer than {} hours before", report.late_hours);
    html! {
        h2 { "Advisors" }
        @if advisors.is_empty() { (nothing()) } @else {
            p.legend {
                "Bookings of each advisor: "
                span { (swatch("kept")) " kept" } ", " span { (swatch("cancelled")) " cancelled." }
            }
            (scrolling("advisors-table", html! {
                table.measures aria-labelledby="advisors-table" {
                    caption #advisors-table { "Bookings and cancellations by advisor, the busiest first" }
                    thead {
                        tr {
                            th scope="col" { "Advisor" }
                            th scope="col" { "Bookings" }
                            th scope="col" { "Cancelled" }
                            th scope="col" { abbr title=(late) { "Late" } }
                        }
                    }
                    tbody {
                        @for (advisor, counts) in advisors.iter().take(MOST_ROWS) {
                            @let cancelled = counts.cancellations.unwrap_or_default();
                            tr {
                                th scope="row" { (advisor) }
                                td { (measure(counts.bookings, &[("kept", counts.bookings.unwrap_or_default() - cancelled), ("cancelled", cancelled)], most)) }
                                td { (with_share(counts.cancellations, counts.bookings)) }
                                td { (with_share(counts.late_cancellations, counts.cancellations)) }
                            }
                        }
                    }
                    (merged_row(&[bookings, cancellations, late_cancellations], report.least))
                }
            }))
            (cut(advisors.len(), "advisors", folder, "report"))
        }
    }
}

// ---- Months

fn months(report: &Report, folder: &str) -> Markup {
    let all: BTreeSet<_> = report.months.iter().flat_map(|of| &of.section.cells).map(|cell| &cell.key.month).collect();
    let columns: Vec<_> = all.iter().copied().skip(all.len().saturating_sub(MOST_MONTHS)).collect();
    let kept: BTreeMap<_, BTreeMap<_, _>> = report
        .months
        .iter()
        .map(|Months { advisor, section }| {
            (advisor.as_str(), section.cells.iter().map(|cell| (&cell.key.month, cell.counts.kept)).collect())
        })
        .collect();
    let rests: BTreeMap<_, _> = report.months.iter().map(|of| (of.advisor.as_str(), of.section.rest.kept)).collect();
    let gaps: BTreeMap<_, Vec<_>> = kept
        .iter()
        .map(|(advisor, months)| (*advisor, gaps(months, &all).into_iter().filter(|it| columns.contains(it)).collect()))
        .collect();
    let most = kept.values().flat_map(|months| months.values()).filter_map(|kept| *kept).max().unwrap_or_default();
    let advisors: Vec<_> = by_load(report).into_iter().map(|(advisor, _)| advisor).collect();
    let has_rests = rests.values().any(|rest| *rest != Some(0));
    let with_gaps: Vec<_> = gaps.iter().filter(|(_, months)| !months.is_empty()).collect();
    html! {
        h2 { "Months" }
        @if columns.is_empty() { (nothing()) } @else {
            @if columns.len() < all.len() {
                p { "The last " (MOST_MONTHS) " of " (all.len()) " months; " code { (folder) "/report" } " has all." }
            }
            @if !with_gaps.is_empty() {
                p { "Months in which an advisor had no appointment, but had some before and after:" }
                ul.gaps {
                    @for (advisor, months) in with_gaps.iter().take(MOST_ROWS) {
                        li { strong { (advisor) } " " (months.iter().map(|month| month.as_str()).collect::<Vec<_>>().join(", ")) }
                    }
                }
                (cut(with_gaps.len(), "advisors", folder, "report"))
            }
            (scrolling("months-table", html! {
                table.shaded aria-labelledby="months-table" {
                    caption #months-table { "Appointments that were not cancelled, by advisor and month" }
                    thead {
                        tr {
                            th scope="col" { "Advisor" }
                            @for month in &columns { th scope="col" { (month) } }
                            @if has_rests { th scope="col" { "merged" } }
                        }
                    }
                    tbody {
                        @for advisor in advisors.iter().take(MOST_ROWS) {
                            tr {
                                th scope="row" { (advisor) }
                                @for month in &columns {
                                    @let count = kept.get(advisor).and_then(|months| months.get(month)).copied().unwrap_or(Some(0));
                                    @let is_gap = gaps.get(advisor).is_some_and(|months| months.contains(month));
                                    @let class = if is_gap { "gap".into() } else { shade(count, most) };
                                    td class=(class) { (shown(count)) }
                                }
                                @if has_rests { td { (or_few(rests.get(advisor).copied().unwrap_or(Some(0)), report.least)) } }
                            }
                        }
                    }
                }
            }))
            (cut(advisors.len(), "advisors", folder, "report"))
        }
    }
}

/// The months without appointments between two that have some.
fn gaps<'a>(kept: &BTreeMap<&String, Count>, all: &BTreeSet<&'a String>) -> Vec<&'a String> {
    let has_some = |month: &&String| kept.get(month).is_some_and(|kept| kept.is_none_or(|kept| kept > 0));
    let first = all.iter().position(has_some).unwrap_or_default();
    let last = all.iter().rposition(has_some).unwrap_or_default();
    all.iter().take(last).skip(first).filter(|month| !has_some(month)).copied().collect()
}

// ---- Lead times and repeated bookings

fn leads(report: &Report) -> Markup {
    let mut lower = None;
    let mut rows = Vec::new();
    for Cell { key, counts } in &report.leads.cells {
        let name = match (lower, key.below_hours) {
            (_, Some(0)) => "after the start".into(),
            (None, Some(upper)) => format!("less than {} before", duration(upper)),
            (Some(lower), Some(upper)) => format!("{} to {} before", duration(lower), duration(upper)),
            (lower, None) => format!("{} before, or more", duration(lower.unwrap_or_default())),
        };
        rows.push((name, counts.bookings));
        lower = key.below_hours.filter(|upper| *upper > 0);
    }
    html! {
        h2 { "Lead times" }
        p { "How long before its start an appointment is booked." }
        (distribution("leads", "Bookings by lead time", ["Booked", "Bookings"], &rows, report.leads.rest.bookings, report.least))
    }
}

fn duration(hours: i64) -> String {
    let (number, unit) = if hours % 24 == 0 && hours > 0 { (hours / 24, "day") } else { (hours, "hour") };
    counted(number as usize, unit)
}

fn repeats(report: &Report) -> Markup {
    let mut lower = 1;
    let mut rows = Vec::new();
    for Cell { key, counts } in &report.repeats.cells {
        let name = match key.bookings_up_to {
            Some(upper) if upper == lower => upper.to_string(),
            Some(upper) => format!("{lower} to {upper}"),
            None => format!("{lower} or more"),
        };
        rows.push((name, counts.students));
        lower = key.bookings_up_to.unwrap_or_default() + 1;
    }
    html! {
        h2 { "Repeated bookings" }
        p { "How many appointments a student has booked, cancelled ones among them." }
        (distribution("repeats", "Students by number of bookings", ["Bookings", "Students"], &rows, report.repeats.rest.students, report.least))
    }
}

fn distribution(
    name: &str,
    caption: &str,
    heads: [&str; 2],
    rows: &[(String, Count)],
    rest: Count,
    least: i64,
) -> Markup {
    let most = rows.iter().filter_map(|(_, count)| *count).max().unwrap_or_default();
    let id = format!("{name}-table");
    html! {
        @if rows.is_empty() { (nothing()) } @else {
            (scrolling(&id, html! {
                table.measures aria-labelledby=(id) {
                    caption #(id) { (caption) }
                    thead { tr { @for head in heads { th scope="col" { (head) } } } }
                    tbody {
                        @for (name, count) in rows {
                            tr {
                                th scope="row" { (name) }
                                td { (measure(*count, &[("kept", count.unwrap_or_default())], most)) }
                            }
                        }
                    }
                    (merged_row(&[rest], least))
                }
            }))
        }
    }
}

// ---- The archive

fn archive(answers: &Answers, folder: &str) -> Markup {
    let Answers { check, compact, .. } = answers;
    let (differences, problems) = (rows_of(&check.differences), answers.problems());
    html! {
        h2 { "The archive" }
        p {
            (counted(check.rows, "change")) " of " (counted(check.days, "day")) " before " (check.before)
            " were compared with the ledger, row by row."
        }
        @if check.differences.is_empty() { p { "No difference was found." } } @else {
            (scrolling("differences-table", html! {
                table.texts aria-labelledby="differences-table" {
                    caption #differences-table { "Where the archive and the ledger differ" }
                    thead { tr { @for head in ["Day", "What", "Archive", "Ledger"] { th scope="col" { (head) } } } }
                    tbody {
                        @for [dt, what, archive, ledger] in differences.iter().take(MOST_ROWS) {
                            tr { th scope="row" { (dt) } td { (what) } td { (archive) } td { (ledger) } }
                        }
                    }
                }
            }))
            (cut(differences.len(), "rows", folder, "check"))
        }
        h3 { "Left out" }
        @if problems.is_empty() { p { "Nothing: all objects could be read, and each day has one." } } @else {
            (scrolling("problems-table", html! {
                table.texts aria-labelledby="problems-table" {
                    caption #problems-table { "What the jobs could not count" }
                    thead { tr { @for head in ["Problem", "Which", "Missing in"] { th scope="col" { (head) } } } }
                    tbody {
                        @for (problem, jobs) in problems.iter().take(MOST_ROWS) {
                            tr { td { (problem.kind) } th scope="row" { (problem.what) } td { (jobs.join(", ")) } }
                        }
                    }
                }
            }))
            (cut(problems.len(), "problems", folder, "{report,check,compact}"))
        }
        h3 { "Compaction" }
        p {
            @let rows: usize = compact.days.iter().map(|day| day.rows).sum();
            (counted(compact.days.len(), "day")) " with " (counted(rows, "change")) " "
            (if compact.days.len() == 1 { "was" } else { "were" }) " compacted into an object each."
        }
        @if !compact.left_out.is_empty() {
            (scrolling("left-out-table", html! {
                table aria-labelledby="left-out-table" {
                    caption #left-out-table { "Days that were not compacted, because their numbers of rows differ" }
                    thead { tr { @for head in ["Day", "Archive", "Ledger"] { th scope="col" { (head) } } } }
                    tbody {
                        @for day in compact.left_out.iter().take(MOST_ROWS) {
                            tr { th scope="row" { (day.dt) } td { (grouped(day.archive)) } td { (grouped(day.ledger)) } }
                        }
                    }
                }
            }))
            (cut(compact.left_out.len(), "days", folder, "compact"))
        }
    }
}

/// Rows of a table by day: day, what, archive, ledger. A lost row changes the sums of its date, a lost day those of many
/// dates: these are one row.
fn rows_of(differences: &[Difference]) -> Vec<[String; 4]> {
    let none = || "–".to_owned();
    let bytes = |size: &Option<i64>| size.map_or_else(none, |size| format!("{} bytes", grouped(size)));
    let mut sums = BTreeMap::<_, Vec<_>>::new();
    let mut rows = Vec::new();
    for difference in differences {
        match difference {
            Difference::Rows { dt, archive, ledger } => {
                rows.push([dt.clone(), "rows".into(), grouped(*archive), grouped(*ledger)]);
            }
            Difference::Sums { dt, day, archive, ledger } => sums.entry(dt).or_default().push((day, archive, ledger)),
            Difference::Repeated { dt, day, archive, distinct } => {
                let found = format!("{}, {} distinct", grouped(*archive), grouped(*distinct));
                rows.push([dt.clone(), format!("repeated rows, for appointments on {day}"), found, none()]);
            }
            Difference::Altered { dt, day, archive } => {
                let what = format!("altered rows, for appointments on {day}");
                rows.push([dt.clone(), what, grouped(*archive), none()]);
            }
            Difference::Object { object, archive, ledger } => {
                let folder = object.strip_prefix("dt=").and_then(|rest| rest.split_once('/'));
                let (dt, name) = folder.map_or_else(|| (none(), object.as_str()), |(dt, name)| (dt.to_owned(), name));
                rows.push([dt, format!("object {name}"), bytes(archive), bytes(ledger)]);
            }
        }
    }
    for (dt, dates) in sums {
        let (what, archive, ledger) = match &dates[..] {
            [(day, archive, ledger)] => (format!("on {day}"), archive.to_string(), ledger.to_string()),
            dates => (format!("on {} dates", dates.len()), none(), none()),
        };
        rows.push([dt.clone(), format!("sums of changes, for appointments {what}"), archive, ledger]);
    }
    rows.sort_by(|one, other| one[0].cmp(&other[0]));
    rows
}

// ---- Parts that sections share

fn nothing() -> Markup {
    html! { p { "There are no appointments." } }
}

/// A part that is wider than a phone. It takes the focus, so that keys can scroll it.
fn scrolling(label: &str, content: Markup) -> Markup {
    html! { div.scrolling role="region" aria-labelledby=(label) tabindex="0" { (content) } }
}

/// A count with a bar of its parts; `most` is as wide as the bar gets.
fn measure(count: Count, parts: &[(&str, i64)], most: i64) -> Markup {
    let percent = |part: i64| 100.0 * part.max(0) as f64 / most.max(1) as f64;
    let mut left = 0.0;
    let rects = parts.iter().map(|(class, part)| {
        let (x, width) = (left, percent(*part));
        left += width;
        html! { rect class=(class) x=(format!("{x:.2}%")) width=(format!("{width:.2}%")) height="100%" {} }
    });
    html! {
        div.measure {
            svg aria-hidden="true" { @for rect in rects { (rect) } }
            span { (shown(count)) }
        }
    }
}

fn swatch(class: &str) -> Markup {
    html! { svg.swatch aria-hidden="true" { rect class=(class) width="100%" height="100%" {} } }
}

fn shade(count: Count, most: i64) -> String {
    match count {
        None => "merged".into(),
        Some(count) if count <= 0 => "shade-0".into(),
        Some(count) => format!("shade-{}", (count * SHADES - 1) / most.max(1) + 1),
    }
}

fn shown(count: Count) -> Markup {
    html! {
        @match count {
            Some(count) => (grouped(count)),
            None => { span aria-hidden="true" { "·" } span.unseen { "merged" } },
        }
    }
}

fn with_share(part: Count, whole: Count) -> Markup {
    html! { (shown(part)) @if let Some(percent) = percent(part, whole) { " " span.share { (percent) } } }
}

fn share(part: Count, whole: Count, about: &str) -> String {
    percent(part, whole).map_or_else(|| about.to_owned(), |percent| format!("{percent} {about}"))
}

fn percent(part: Count, whole: Count) -> Option<String> {
    let (part, whole) = (part?, whole.filter(|whole| *whole > 0)?);
    Some(format!("{:.0}%", 100.0 * part as f64 / whole as f64))
}

/// The last row of a table: the sums of merged counts, if there are some.
fn merged_row(rests: &[Count], least: i64) -> Markup {
    html! {
        @if rests.iter().any(|rest| *rest != Some(0)) {
            tfoot { tr { th scope="row" { "merged (·)" } @for rest in rests { td { (or_few(*rest, least)) } } } }
        }
    }
}

fn merged_note(rest: Count, least: i64) -> Markup {
    html! {
        @if rest != Some(0) {
            p.aside { "· stands for counts that are merged, because they are small: together " (or_few(rest, least)) "." }
        }
    }
}

fn or_few(rest: Count, least: i64) -> String {
    rest.map_or_else(|| format!("fewer than {least}"), grouped)
}

/// Says that a table lacks rows, and where they are.
fn cut(number: usize, what: &str, folder: &str, job: &str) -> Markup {
    html! {
        @if number > MOST_ROWS {
            p.aside { "These are " (MOST_ROWS) " of " (grouped(number as i64)) " " (what) "; " code { (folder) "/" (job) } " has all." }
        }
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(number as i64), if number == 1 { "" } else { "s" })
}

/// With a comma before each group of three digits.
fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In the width of a cell.
fn short(number: i64) -> String {
    if number < 1_000_000 { grouped(number) } else { format!("{:.1} M", number as f64 / 1e6) }
}
