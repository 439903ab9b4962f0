//! Turns a request into an [`Account`], or into the list of its problems.

use std::borrow::Cow;

use chrono::{Months, NaiveDate};

use crate::email::email;
use crate::name::name;
use crate::text::tidy;
use crate::{Account, AccountRequest, Problem};

/// The programmes of the school. The web page offers the same list.
pub const PROGRAMMES: [&str; 5] = ["computer-science", "history", "literature", "mathematics", "physics"];

/// Minimum age of a student, in years.
const MINIMUM_AGE_YEARS: u32 = 14;

/// Earlier dates of birth are typing errors.
const EARLIEST_DATE_OF_BIRTH: NaiveDate = match NaiveDate::from_ymd_opt(1900, 1, 1) {
    Some(date) => date,
    None => NaiveDate::MIN,
};

/// A problem's code and its message.
pub type Rejection = (&'static str, Cow<'static, str>);

/// Validates and normalises a request; `today` is the date at the school.
///
/// # Errors
/// All problems, in the order of the fields.
pub fn validate(request: &AccountRequest, today: NaiveDate) -> Result<Account, Vec<Problem>> {
    let mut problems = Vec::new();
    let email = keep(&mut problems, "email", email(&request.email));
    let given_name = keep(&mut problems, "given_name", name(&request.given_name));
    let family_name = keep(&mut problems, "family_name", name(&request.family_name));
    let date_of_birth = keep(&mut problems, "date_of_birth", date_of_birth(&request.date_of_birth, today));
    let programme = keep(&mut problems, "programme", programme(&request.programme));
    match (email, given_name, family_name, date_of_birth, programme) {
        (Some(email), Some(given_name), Some(family_name), Some(date_of_birth), Some(programme)) => {
            Ok(Account { email, given_name, family_name, date_of_birth, programme })
        }
        _ => Err(problems),
    }
}

fn keep<T>(problems: &mut Vec<Problem>, field: &str, result: Result<T, Rejection>) -> Option<T> {
    let (code, message) = match result {
        Ok(value) => return Some(value),
        Err(rejection) => rejection,
    };
    problems.push(Problem { field: field.into(), code: code.into(), message: message.into() });
    None
}

/// The cleaned text, if it is not empty.
pub fn required(text: &str) -> Result<String, Rejection> {
    let text = tidy(text);
    if text.is_empty() {
        return Err(("REQUIRED", "This can't be empty.".into()));
    }
    Ok(text)
}

fn date_of_birth(text: &str, today: NaiveDate) -> Result<NaiveDate, Rejection> {
    let date = NaiveDate::parse_from_str(&required(text)?, "%Y-%m-%d")
        .ok()
        .filter(|date| (EARLIEST_DATE_OF_BIRTH..=today).contains(date))
        .ok_or(("INVALID_DATE", "Use a date in the past, written as 2007-03-14.".into()))?;
    match date.checked_add_months(Months::new(12 * MINIMUM_AGE_YEARS)) {
        Some(birthday) if birthday <= today => Ok(date),
        _ => Err(("TOO_YOUNG", format!("Students must be at least {MINIMUM_AGE_YEARS} years old.").into())),
    }
}

/// Accepts the programme's name, too: `Computer science` is `computer-science`.
fn programme(text: &str) -> Result<String, Rejection> {
    let lowercase = required(text)?.to_lowercase();
    let words = lowercase.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let programme = words.collect::<Vec<_>>().join("-");
    if PROGRAMMES.contains(&programme.as_str()) {
        return Ok(programme);
    }
    Err(("UNKNOWN_PROGRAMME", format!("Choose one of {}.", PROGRAMMES.join(", ")).into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TODAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 11, 21).expect("the date exists");

    fn ada() -> AccountRequest {
        AccountRequest {
            email: "ada@school.example".into(),
            given_name: "Ada".into(),
            family_name: "Lovelace".into(),
            date_of_birth: "2005-12-10".into(),
            programme: "mathematics".into(),
        }
    }

    fn codes(request: &AccountRequest) -> Vec<(String, String)> {
        let problems = validate(request, TODAY).err().unwrap_or_default();
        problems.into_iter().map(|problem| (problem.field, problem.code)).collect()
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let empty = codes(&AccountRequest::default());
        let fields = ["email", "given_name", "family_name", "date_of_birth", "programme"];
        assert_eq!(empty, fields.map(|field| (field.to_owned(), "REQUIRED".to_owned())));
    }

    #[test]
    fn a_date_of_birth_exists_and_is_old_enough() {
        for (text, code) in [
            ("2005-02-29", Some("INVALID_DATE")),
            ("10.12.2005", Some("INVALID_DATE")),
            ("1899-12-31", Some("INVALID_DATE")),
            ("2026-11-22", Some("INVALID_DATE")),
            ("2012-11-22", Some("TOO_YOUNG")),
            ("2012-11-21", None),
            ("2004-02-29", None),
        ] {
            let request = AccountRequest { date_of_birth: text.into(), ..ada() };
            assert_eq!(codes(&request).first().map(|(_, code)| code.as_str()), code, "{text}");
        }
    }

    /// Any characters, and those that can be lost, composed or put into another order.
    const NAME: &str = "(\\PC|[a=. '\u{300}\u{323}\u{34f}\u{5b0}\u{627}\u{628}\u{654}\u{93c}\u{94d}\u{915}\u{180e}\u{1820}\u{200b}-\u{200f}\u{845b}\u{e0100}]){1,30}";

    proptest! {
        /// A stored account can go through the workflow again and stays the same.
        #[test]
        fn a_valid_account_is_its_own_normal_form(local in "[a-zA-Z0-9.+_-]{1,20}", domain in "[a-zà-ü]{1,10}", name in NAME) {
            let request = AccountRequest { email: format!("{local}@{domain}.example"), given_name: name, ..ada() };
            if let Ok(account) = validate(&request, TODAY) {
                let again = AccountRequest {
                    email: account.email.clone(),
                    given_name: account.given_name.clone(),
                    family_name: account.family_name.clone(),
                    date_of_birth: account.date_of_birth.to_string(),
                    programme: account.programme.clone(),
                };
                prop_assert_eq!(validate(&again, TODAY), Ok(account));
            }
        }
    }
}
