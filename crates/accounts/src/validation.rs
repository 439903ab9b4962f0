//! From what was typed to an [`Account`], or to all that is wrong with it.

use std::borrow::Cow;

use chrono::{Months, NaiveDate};
use email_address::{EmailAddress, Options};
use idna::AsciiDenyList;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::{Account, AccountRequest, Problem};

/// What can be studied. The web page offers the same list.
pub const PROGRAMMES: [&str; 5] = ["computer-science", "history", "literature", "mathematics", "physics"];

/// Age that a student has to have reached, in years.
const MINIMUM_AGE_YEARS: u32 = 14;

/// The longest user name that Cognito takes, in characters.
/// <https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_AdminCreateUser.html>
const MAXIMUM_EMAIL_LENGTH: usize = 128;

const MAXIMUM_NAME_LENGTH: usize = 100;

/// Nobody who applies was born before.
const EARLIEST_DATE_OF_BIRTH: NaiveDate = match NaiveDate::from_ymd_opt(1900, 1, 1) {
    Some(date) => date,
    None => NaiveDate::MIN,
};

type Rejection = (&'static str, Cow<'static, str>);

/// Checks and normalises a request; `today` is the date at the school.
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

/// The one form of an address, in which an account is stored; `None` when no account can have it.
pub fn canonical_email(text: &str) -> Option<String> {
    email(text).ok()
}

fn keep<T>(problems: &mut Vec<Problem>, field: &str, result: Result<T, Rejection>) -> Option<T> {
    let (code, message) = match result {
        Ok(value) => return Some(value),
        Err(rejection) => rejection,
    };
    problems.push(Problem { field: field.into(), code: code.into(), message: message.into() });
    None
}

fn required(text: &str) -> Result<&str, Rejection> {
    match text.trim() {
        "" => Err(("REQUIRED", "This can't be empty.".into())),
        text => Ok(text),
    }
}

/// The local part has to be ASCII, because SES sends to no other; the domain may be written in any script.
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Destination.html>
fn email(text: &str) -> Result<String, Rejection> {
    let invalid = || ("INVALID_EMAIL", "This is not an e-mail address that we can write to.".into());
    let (local, domain) = required(text)?.rsplit_once('@').ok_or_else(invalid)?;
    let domain = idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::STD3).map_err(|_| invalid())?;
    let address = format!("{local}@{domain}").to_ascii_lowercase();
    let plain = Options::default().with_required_tld().without_domain_literal().without_display_text();
    if !address.is_ascii() || address.contains('"') || EmailAddress::parse_with_options(&address, plain).is_err() {
        return Err(invalid());
    }
    if address.len() > MAXIMUM_EMAIL_LENGTH {
        return Err(("TOO_LONG", format!("Use an address of at most {MAXIMUM_EMAIL_LENGTH} characters.").into()));
    }
    Ok(address)
}

/// Letters and what joins them. Nothing that a mail program would make a link of: a name goes into an e-mail to an
/// address that nobody has confirmed yet.
fn name(text: &str) -> Result<String, Rejection> {
    let name = required(text)?.nfc().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    if name.chars().count() > MAXIMUM_NAME_LENGTH {
        return Err(("TOO_LONG", format!("Use at most {MAXIMUM_NAME_LENGTH} characters.").into()));
    }
    let joins = |c: char| c.is_alphabetic() || is_combining_mark(c) || " '’-.,·".contains(c);
    let dot_in_a_word = name.split('.').skip(1).any(|rest| rest.starts_with(char::is_alphabetic));
    if !name.chars().all(joins) || !name.starts_with(char::is_alphabetic) || dot_in_a_word {
        return Err(("INVALID_NAME", "Use letters, spaces, hyphens and apostrophes.".into()));
    }
    Ok(name)
}

fn date_of_birth(text: &str, today: NaiveDate) -> Result<NaiveDate, Rejection> {
    let date = NaiveDate::parse_from_str(required(text)?, "%Y-%m-%d")
        .ok()
        .filter(|date| (EARLIEST_DATE_OF_BIRTH..=today).contains(date))
        .ok_or(("INVALID_DATE", "Use a date in the past, written as 2007-03-14.".into()))?;
    match date.checked_add_months(Months::new(12 * MINIMUM_AGE_YEARS)) {
        Some(birthday) if birthday <= today => Ok(date),
        _ => Err(("TOO_YOUNG", format!("Students have to be {MINIMUM_AGE_YEARS} years old.").into())),
    }
}

/// Takes the programme's name as well: `Computer science` is `computer-science`.
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

    fn email_of(email: &str) -> Option<String> {
        validate(&AccountRequest { email: email.into(), ..ada() }, TODAY).ok().map(|account| account.email)
    }

    fn name_of(given_name: &str) -> Option<String> {
        validate(&AccountRequest { given_name: given_name.into(), ..ada() }, TODAY).ok().map(|a| a.given_name)
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let empty = codes(&AccountRequest::default());
        let fields = ["email", "given_name", "family_name", "date_of_birth", "programme"];
        assert_eq!(empty, fields.map(|field| (field.to_owned(), "REQUIRED".to_owned())));
    }

    #[test]
    fn an_address_has_one_spelling() {
        for spelling in [
            "jo@münchen.example",
            " JO@MÜNCHEN.EXAMPLE\n",
            "jo@xn--mnchen-3ya.example",
            "Jo@mu\u{308}nchen.example",
            "jo@ｍünchen.example",
        ] {
            assert_eq!(email_of(spelling).as_deref(), Some("jo@xn--mnchen-3ya.example"), "{spelling}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@{}.example", "a".repeat(64), "b".repeat(60));
        for text in [
            "ada",
            "@school.example",
            "ada@",
            "ada@school",
            "ada@@school.example",
            "a da@school.example",
            "\"a b\"@school.example",
            "ada@[127.0.0.1]",
            "Ada <ada@school.example>",
            "ada@school.example, eve@x.example",
            "ádá@school.example",
            "ada@school_.example",
            "ada@-school.example",
            "ada\u{0}@school.example",
            "ada@school.example\r\nBcc: eve@x.example",
            &long,
        ] {
            assert_eq!(email_of(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_name_is_composed_and_trimmed() {
        for (text, name) in [
            ("  Rene\u{301}e \u{a0} Marie ", "Renée Marie"),
            ("O’Neill-D'Arcy", "O’Neill-D'Arcy"),
            ("J. R. R.", "J. R. R."),
            ("अदिति", "अदिति"),
            ("李", "李"),
        ] {
            assert_eq!(name_of(text).as_deref(), Some(name));
        }
    }

    #[test]
    fn a_name_can_not_carry_a_link_or_a_line() {
        for text in [
            "evil.example",
            "http://evil",
            "a@b",
            "Ada\u{0}",
            "Ada\u{202e}adA",
            "<b>Ada</b>",
            "4da",
            "-",
            &"a".repeat(101),
        ] {
            assert_eq!(name_of(text), None, "{text:?}");
        }
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

    proptest! {
        /// What is stored can be sent through the workflow again, and finds itself.
        #[test]
        fn a_valid_account_is_its_own_normal_form(local in "[a-zA-Z0-9.+_-]{1,20}", domain in "[a-zà-ü]{1,10}", name in "\\PC{1,30}") {
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
