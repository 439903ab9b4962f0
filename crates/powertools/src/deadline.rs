use std::time::{Duration, SystemTime};

use lambda_runtime::Context;

const MILLISECONDS_PER_DAY: u64 = 24 * 60 * 60 * 1000;

/// The time until Lambda ends this invocation; zero after that.
///
/// Lambda sets the deadline as a time, `cargo lambda watch` as a duration; both are supported.
pub fn remaining_time(context: &Context) -> Duration {
    // A deadline on the first day of 1970 is a duration.
    if context.deadline < MILLISECONDS_PER_DAY {
        return Duration::from_millis(context.deadline);
    }
    context.deadline().duration_since(SystemTime::now()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn context(deadline: u64) -> Context {
        let mut context = Context::default();
        context.deadline = deadline;
        context
    }

    #[test]
    fn a_time_counts_down_and_a_duration_is_taken_as_it_is() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis() as u64;
        let remaining = remaining_time(&context(now + 60_000));
        assert!(remaining > Duration::from_secs(50) && remaining <= Duration::from_secs(60), "{remaining:?}");
        assert_eq!(remaining_time(&context(now - 1)), Duration::ZERO);
        assert_eq!(remaining_time(&context(600_000)), Duration::from_secs(600));
    }
}
