//! A request with any text. It is refused field by field, or becomes an account that is its own normal form.

use accounts::{AccountRequest, validate};
use arbitrary::Arbitrary;
use chrono::NaiveDate;

#[derive(Arbitrary, Debug)]
struct Request {
    email: String,
    given_name: String,
    family_name: String,
    date_of_birth: String,
    programme: String,
    /// The fields that are replaced by good ones, so that good accounts are frequent.
    good: u8,
}

const TODAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 11, 21).expect("the date exists");

/// Checks the promise above.
pub fn check(data: &[u8]) {
    let Some(request) = fuzzing::input::<Request>(data) else { return };
    let field = |place: u8, text, good: &str| if request.good & (1 << place) == 0 { text } else { good.into() };
    let request = AccountRequest {
        email: field(0, request.email, "ada@school.example"),
        given_name: field(1, request.given_name, "Ada"),
        family_name: field(2, request.family_name, "Lovelace"),
        date_of_birth: field(3, request.date_of_birth, "2005-12-10"),
        programme: field(4, request.programme, "mathematics"),
    };
    match validate(&request, TODAY) {
        Ok(account) => {
            assert!(account.email.is_ascii() && !account.email.contains(|c: char| c.is_control() || c == ' '));
            let names = format!("{}{}", account.given_name, account.family_name);
            assert!(!names.contains(|c: char| c.is_control() || "<>&@{}|\\".contains(c)));
            let again = AccountRequest {
                email: account.email.clone(),
                given_name: account.given_name.clone(),
                family_name: account.family_name.clone(),
                date_of_birth: account.date_of_birth.to_string(),
                programme: account.programme.clone(),
            };
            assert_eq!(validate(&again, TODAY), Ok(account));
        }
        Err(problems) => assert!((1..=5).contains(&problems.len())),
    }
}
