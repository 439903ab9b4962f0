"""Plants bugs into a copy of the sources, one at a time, and shows that the simulation finds each within a minute."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
COPY = TARGET / "planted"
SOURCES = [".cargo", "Cargo.toml", "Cargo.lock", "benches/harness", "crates", "handlers", "tests/simulation"]
SEED = 1
SECONDS = 60

ARCHIVE = "handlers/appointments/archive-appointments/src"
ROWS = "crates/archive/src"
ACCOUNTS = "handlers/accounts/create-account/src/handler.rs"
NOTIFICATIONS = "handlers/notifications/send-notification/src/handler.rs"
IDEMPOTENCY = "crates/powertools/src/idempotency"


@dataclass
class Bug:
    name: str
    file: str
    old: str
    new: str


BUGS = [
    Bug(
        "name objects by last record",
        f"{ROWS}/run.rs",
        "let event = &self.first.change.event;",
        "let event = &self.last().change.event;",
    ),
    Bug(
        "acknowledge before writing",
        f"{ARCHIVE}/handler.rs",
        "response.add_failure(group.first().record);",
        "let _ = &mut response;",
    ),
    Bug(
        "drop poison",
        f"{ARCHIVE}/handler.rs",
        "let (count, run) = (group.records().len(), group.run());",
        "let (count, run) = (group.records().len(), group.run()); if run.is_none() { continue; }",
    ),
    Bug(
        "split runs by batch index",
        f"{ARCHIVE}/group.rs",
        "!b.is_nameless()).map(move |records| {",
        "!b.is_nameless()).flat_map(|group| group.chunks(2)).map(move |records| {",
    ),
    Bug(
        "no deadline on PUT",
        f"{ROWS}/store.rs",
        "TimeoutConfig::builder().operation_timeout(time_left)",
        "TimeoutConfig::builder()",
    ),
    Bug(
        "no condition on the account's items",
        ACCOUNTS,
        '.condition_expression("attribute_not_exists(account_key)")',
        "",
    ),
    Bug(
        "leave an account unfinished that was found so",
        ACCOUNTS,
        "if student.unfinished.is_some() {",
        "if student.unfinished.is_some() && student.student_id == student_id {",
    ),
    Bug(
        "set the password of any user",
        ACCOUNTS,
        "if user.user_status() == Some(&UserStatusType::ForceChangePassword) {",
        "{",
    ),
    Bug(
        "no condition on the idempotency record",
        f"{IDEMPOTENCY}/store.rs",
        """            .condition_expression(
                "attribute_not_exists(#id) OR #expiry < :now OR (#status = :inprogress \\
                 AND attribute_exists(#in_progress_expiry) AND #in_progress_expiry < :now_in_millis)",
            )
""",
        "",
    ),
    Bug(
        "a record in progress ends before its invocation",
        f"{IDEMPOTENCY}.rs",
        "let in_progress_for = crate::remaining_time(context).max(self.in_progress_for);",
        "let in_progress_for = self.in_progress_for; let _ = context;",
    ),
    Bug(
        "a failed body deletes anybody's record",
        f"{IDEMPOTENCY}/store.rs",
        '.condition_expression("#attempt = :attempt")',
        "",
    ),
    Bug(
        "take an e-mail that could not be noted for not sent",
        NOTIFICATIONS,
        'Err(error) => Err(NotifyError::Unknown(Unavailable::from_sdk("DynamoDB", &error))),',
        'Err(error) => Err(Unavailable::from_sdk("DynamoDB", &error).into()),',
    ),
    Bug(
        "take a call without an answer for refused",
        NOTIFICATIONS,
        "is_some_and(|response| response.status().is_client_error())",
        "is_none_or(|response| response.status().is_client_error())",
    ),
    Bug(
        "no time-out on SendEmail",
        NOTIFICATIONS,
        "TimeoutConfig::builder().operation_timeout(SEND_TIMEOUT)",
        "TimeoutConfig::builder()",
    ),
    Bug(
        "let the SDK retry SendEmail",
        NOTIFICATIONS,
        ".retry_config(RetryConfig::disabled())",
        ".retry_config(RetryConfig::standard())",
    ),
]


def main() -> None:
    shutil.rmtree(COPY, ignore_errors=True)
    for source in SOURCES:
        destination = COPY / source
        destination.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            # With new times, or what an earlier run has compiled with a bug would pass for what is here.
            shutil.copytree(ROOT / source, destination, copy_function=shutil.copy)
        else:
            shutil.copy(ROOT / source, destination)
    # With another version, what has a bug is never taken for what has none; compiled dependencies are shared.
    for manifest in COPY.rglob("Cargo.toml"):
        manifest.write_text(re.sub(r'(?m)^(version = "\d+\.\d+\.)', r"\g<1>9", manifest.read_text()))
    wanted = sys.argv[1:]
    missed = []
    print("| planted | schedules | seconds | shortest schedule |\n|---|---|---|---|", flush=True)
    for bug in BUGS:
        if wanted and bug.name not in wanted:
            continue
        path = COPY / bug.file
        source = path.read_text()
        if source.count(bug.old) != 1:
            sys.exit(f"{bug.file} does not have this once: say in {__file__} how to plant the bug now.\n{bug.old}")
        path.write_text(source.replace(bug.old, bug.new))
        result = simulate()
        path.write_text(source)
        print(f"| {bug.name} | {result or 'NOT FOUND | |'} |", flush=True)
        if not result:
            missed.append(bug.name)
    if missed:
        sys.exit(f"Not found within {SECONDS} s: {', '.join(missed)}")


def simulate() -> str:
    """The row of the table, empty when the bug was not found in time."""
    cargo = ["cargo", "test", "--workspace", "--all-features", "--quiet", "--bin", "simulation"]
    environment = os.environ | {
        "CARGO_TARGET_DIR": str(TARGET),
        "SEED": str(SEED),
        "SCHEDULES": "1000000000",
    }
    build = subprocess.run([*cargo, "--no-run"], cwd=COPY, env=environment, capture_output=True, text=True)
    if build.returncode:
        sys.exit(build.stderr)
    # It also looks for a shorter schedule.
    command = ["timeout", str(4 * SECONDS), *cargo]
    output = subprocess.run(command, cwd=COPY, env=environment, capture_output=True, text=True).stdout
    found = re.search(r"Found after (\d+) schedules, ([\d.]+) s", output)
    shortest = re.search(r"has (\d+) numbers", output)
    if not found or not shortest or float(found[2]) > SECONDS:
        return ""
    return f"{int(found[1]):,} | {found[2]} | {shortest[1]} numbers"


if __name__ == "__main__":
    main()
