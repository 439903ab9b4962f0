use std::ops::RangeInclusive;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::error::ApiError;

/// The form in which texts are searched and sorted: lower case, without diacritics, words separated by one space.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        for character in word.nfkd().filter(|character| !is_combining_mark(*character)).flat_map(char::to_lowercase) {
            match character {
                'æ' => folded.push_str("ae"),
                'đ' => folded.push('d'),
                'ı' => folded.push('i'),
                'ł' => folded.push('l'),
                'ø' => folded.push('o'),
                'œ' => folded.push_str("oe"),
                'ß' => folded.push_str("ss"),
                _ => folded.push(character),
            }
        }
    }
    folded
}

/// Whether a text has the form of all ids: the one that appointments use for an advisor's.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|character: char| character.is_ascii_alphanumeric())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_'))
}

pub(crate) fn check_id(field: &str, id: &str) -> Result<(), ApiError> {
    let rule = "has to be 1 to 64 letters, digits, hyphens and underscores, and begin with a letter or digit";
    is_id(id).then_some(()).ok_or_else(|| ApiError::bad_value(field, rule))
}

pub(crate) fn check_ids(field: &str, ids: &[String], limit: usize) -> Result<(), ApiError> {
    if ids.len() > limit {
        return Err(ApiError::bad_value(field, &format!("has to be at most {limit} ids")));
    }
    for (index, id) in ids.iter().enumerate() {
        check_id(field, id)?;
        if ids[..index].contains(id) {
            return Err(ApiError::bad_value(field, "has to be ids that differ"));
        }
    }
    Ok(())
}

/// Line breaks are the only control characters that a text may have; Postgres stores no U+0000.
pub(crate) fn check_text(field: &str, text: &str, limit: usize) -> Result<(), ApiError> {
    let length = text.chars().count();
    if text.trim().is_empty() || length > limit {
        return Err(ApiError::bad_value(field, &format!("has to be 1 to {limit} characters, not only spaces")));
    }
    if text.chars().any(|character| character.is_control() && character != '\n') {
        return Err(ApiError::bad_value(field, "has a control character"));
    }
    Ok(())
}

pub(crate) fn check_number(field: &str, number: i32, range: RangeInclusive<i32>) -> Result<(), ApiError> {
    let rule = || format!("has to be a whole number from {} to {}", range.start(), range.end());
    range.contains(&number).then_some(()).ok_or_else(|| ApiError::bad_value(field, &rule()))
}

/// Only what a person would mistype: mail is not sent to it.
pub(crate) fn check_email(field: &str, email: &str) -> Result<(), ApiError> {
    let is_email = email.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.contains('@') && !domain.starts_with('.')
    });
    if !is_email
        || email.len() > 254
        || email.chars().any(|character| character.is_whitespace() || character.is_control())
    {
        return Err(ApiError::bad_value(field, "has to be an e-mail address"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_removes_case_diacritics_and_extra_spaces() {
        assert_eq!(fold("  Łukasz   Müller-Strauß\n"), "lukasz muller-strauss");
        assert_eq!(fold("Ærø Đorđe ŒUVRE Yılmaz İnönü"), "aero dorde oeuvre yilmaz inonu");
        // Composed and decomposed forms are the same text.
        assert_eq!(fold("e\u{301}"), fold("é"));
    }

    #[test]
    fn ids_are_those_of_appointments() {
        for id in ["a", "ada-lovelace", "A_1", &"a".repeat(64)] {
            assert!(is_id(id), "{id}");
        }
        for id in ["", "-a", "_a", "a b", "a\n", "ä", "a/b", &"a".repeat(65)] {
            assert!(!is_id(id), "{id}");
        }
    }

    #[test]
    fn an_email_address_has_a_name_and_a_domain() {
        assert!(check_email("email", "ada@school.example").is_ok());
        for email in ["", "ada", "@school.example", "ada@school", "ada@.example", "a@b@c.example", "a b@c.example"] {
            assert!(check_email("email", email).is_err(), "{email}");
        }
    }
}
