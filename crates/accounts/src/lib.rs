//! A student's account: what a form may say, and how it is stored.

mod email;
mod name;
mod text;
mod validation;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

pub use email::canonical_email;
pub use validation::{PROGRAMMES, validate};

/// An account as a student or a registrar asks for it: the body of the API, a message, a row of an import.
///
/// A field that is missing is empty, so that [`validate`] can name it beside all other problems.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct AccountRequest {
    /// The student's e-mail address, as typed.
    pub email: String,
    /// The given name, as typed.
    pub given_name: String,
    /// The family name, as typed.
    pub family_name: String,
    /// The date of birth, ISO 8601: `2007-03-14`.
    pub date_of_birth: String,
    /// One of [`PROGRAMMES`].
    pub programme: String,
}

/// An account whose fields are valid and written in one way only.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Account {
    /// ASCII, lower case, the domain in punycode: equal for all spellings of one mailbox's address.
    pub email: String,
    /// Unicode NFC, single spaces.
    pub given_name: String,
    /// Unicode NFC, single spaces.
    pub family_name: String,
    /// The date of birth.
    pub date_of_birth: NaiveDate,
    /// One of [`PROGRAMMES`].
    pub programme: String,
}

/// The fields of an [`Account`] that say who a student is, or could be.
pub const PERSONAL_FIELDS: [&str; 4] = ["date_of_birth", "email", "family_name", "given_name"];

/// Why a field can't be accepted.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Problem {
    /// The field's name in [`AccountRequest`].
    pub field: String,
    /// For programs: `REQUIRED`, `TOO_LONG`, `INVALID_EMAIL`, `INVALID_NAME`, `INVALID_DATE`, `TOO_YOUNG` or
    /// `UNKNOWN_PROGRAMME`.
    pub code: String,
    /// For people; doesn't quote what was typed.
    pub message: String,
}

/// The item of the accounts table that holds an account. A second item, below [`email_key`], makes its address unique.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct StudentItem {
    /// [`student_key`] of `student_id`.
    pub account_key: String,
    /// Names the student everywhere: a UUID, drawn by the workflow before anything is written.
    pub student_id: String,
    /// The account.
    #[serde(flatten)]
    pub account: Account,
    /// When the workflow that created it began.
    pub created_at: DateTime<Utc>,
    /// [`UNFINISHED`] until the account is announced; the key of the index `unfinished`, which is therefore sparse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
}

/// The one value of [`StudentItem::unfinished`].
pub const UNFINISHED: &str = "yes";

/// Key of the item that holds a student's account.
pub fn student_key(student_id: &str) -> String {
    format!("STUDENT:{student_id}")
}

/// Key of the item that makes an address unique; it names the student in `student_id`.
pub fn email_key(email: &str) -> String {
    format!("EMAIL:{email}")
}
