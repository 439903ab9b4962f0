use std::env::{self, VarError};
use std::error::Error;
use std::fmt::{self, Debug, Display, Formatter};
use std::str::FromStr;

/// A required environment variable is not set or not valid.
///
/// Its `Debug` form is the message, because Rust prints the `Debug` form of an error that `main` returns.
pub struct InvalidVariable {
    name: String,
    problem: String,
}

impl Display for InvalidVariable {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "the environment variable {} {}", self.name, self.problem)
    }
}

impl Debug for InvalidVariable {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, formatter)
    }
}

impl Error for InvalidVariable {}

/// Reads a required environment variable as a string or as any type that can be parsed from one.
///
/// ```no_run
/// # fn main() -> Result<(), powertools::InvalidVariable> {
/// let table: String = powertools::environment_variable("TABLE")?;
/// let seconds: u64 = powertools::environment_variable("SECONDS")?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If it is not set, empty, or not a valid `T`. The message contains the variable's name, not its value.
pub fn environment_variable<T: FromStr<Err: Display>>(name: &str) -> Result<T, InvalidVariable> {
    let invalid = |problem| InvalidVariable { name: name.to_owned(), problem };
    let value = match env::var(name) {
        Ok(value) if !value.is_empty() => value,
        Ok(_) | Err(VarError::NotPresent) => return Err(invalid("is not set".into())),
        Err(VarError::NotUnicode(_)) => return Err(invalid("is not valid Unicode".into())),
    };
    value.parse().map_err(|error| invalid(format!("is not valid: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_is_missing_or_unreadable_is_named() {
        let missing = environment_variable::<String>("POWERTOOLS_TEST_MISSING").map_err(|error| format!("{error:?}"));
        assert_eq!(missing, Err("the environment variable POWERTOOLS_TEST_MISSING is not set".into()));
        // Cargo sets it for tests.
        let unreadable = environment_variable::<u64>("CARGO_PKG_NAME").map_err(|error| error.to_string());
        assert_eq!(
            unreadable,
            Err("the environment variable CARGO_PKG_NAME is not valid: invalid digit found in string".into())
        );
        assert_eq!(environment_variable("CARGO_PKG_NAME").ok(), Some("powertools".to_owned()));
    }
}
