//! Lines for CloudWatch Logs.

/// Writes a line, which ends with a line feed, to the standard output in one call, so that lines don't mix.
#[cfg(not(test))]
pub(crate) fn write_line(line: &[u8]) {
    use std::io::{self, Write};

    // An error can't be reported anywhere, and is no reason to fail the invocation.
    let _ = io::stdout().lock().write_all(line);
}

/// Keeps a line for [`tests::take_lines`].
#[cfg(test)]
pub(crate) fn write_line(line: &[u8]) {
    tests::LINES.with_borrow_mut(|lines| lines.extend_from_slice(line));
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;
    use std::mem;

    use serde_json::Value;

    thread_local! {
        pub(super) static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }

    /// The text that this thread has written since the last call.
    pub(crate) fn take_text() -> String {
        String::from_utf8(LINES.with_borrow_mut(mem::take)).expect("lines are UTF-8")
    }

    /// The same, parsed.
    pub(crate) fn take_lines() -> Vec<Value> {
        take_text().lines().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect()
    }
}
