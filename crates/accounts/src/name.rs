//! Refuses texts that can't be a name. There is no list of valid names to check against.

use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;
use unicode_normalization::UnicodeNormalization;

use crate::text::tidy;
use crate::validation::Rejection;

/// In Unicode characters; one visible letter can consist of several.
const MAXIMUM_LENGTH: usize = 100;

/// Characters of addresses, markup, templates and lists, and those that replace a letter which could not be converted.
const NOT_IN_NAMES: &str = "#%&*;?@[\\]_{}";

/// The name in NFC with single spaces. Names go into tables and pages, so texts that a program could interpret are refused.
pub fn name(text: &str) -> Result<String, Rejection> {
    let name = tidy(text);
    if name.is_empty() {
        return Err(("REQUIRED", "This can't be empty. If you have only one name, enter it in both fields.".into()));
    }
    if name.chars().count() > MAXIMUM_LENGTH {
        return Err(("TOO_LONG", format!("Use at most {MAXIMUM_LENGTH} characters.").into()));
    }
    // Programs that don't distinguish full-width from ASCII characters read it so.
    let plain: Vec<char> = name.nfkc().collect();
    let message = if !plain.iter().any(|c| c.is_alphabetic()) {
        "A name needs at least one letter."
    } else if !plain.iter().enumerate().all(|(place, c)| can_be_in_a_name(*c, &plain[..place])) {
        "Leave out characters that are not part of a name, such as @ # & < > { } or emoji."
    } else if is_like_an_address(&plain) {
        "This looks like a web address. If it is a name, put a space after each full stop."
    } else {
        return Ok(name);
    };
    Err(("INVALID_NAME", message.into()))
}

fn can_be_in_a_name(character: char, before: &[char]) -> bool {
    use GeneralCategory::{Control, CurrencySymbol, MathSymbol, OtherSymbol, PrivateUse, Unassigned};
    if character == '=' {
        // Japanese texts join the parts of foreign names with it.
        return before.last().is_some_and(|last| last.is_alphabetic());
    }
    let category = CodePointMapData::<GeneralCategory>::new().get(character);
    !NOT_IN_NAMES.contains(character)
        && ![Control, CurrencySymbol, MathSymbol, OtherSymbol, PrivateUse, Unassigned].contains(&category)
}

/// True for `http://school` and `school.example`, not for `J.R.R.`, `M.Karthik`, `Ma.Teresa` or `ม.ร.ว.คึกฤทธิ์`.
fn is_like_an_address(name: &[char]) -> bool {
    let is_domain = |window: &[char]| match window {
        [a, b, '.', c, d] => [a, b].iter().all(|c| c.is_alphanumeric()) && [c, d].iter().all(|c| c.is_lowercase()),
        _ => false,
    };
    name.windows(3).any(|window| window == [':', '/', '/']) || name.windows(5).any(is_domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Real names, many of them from the lists of Faker and names-dataset.
    const NAMES: &[&str] = &[
        "'t Hooft",
        "’t Hooft",
        "'s-Gravesande",
        "d’Arcy",
        "D`Angelo",
        "O´Brien",
        "Kaʻiulani",
        "Ulug‘bek",
        "J.R.R.",
        "J. R. R.",
        "j.r.r.",
        "K.S.Ravikumar",
        "m.karthik",
        "Ma.Teresa",
        "MOHD.FAIZAL",
        "St. John",
        "Jr., Martin",
        "Ramasamy a/l Muthu",
        "Kavitha A/P Raman",
        "S:t Cyr",
        "Ramón \"Moncho\"",
        "Robert (Bob)",
        "John 3rd",
        "Mª José",
        "!Nqate",
        "ǃXóõ",
        "Nuñez‐García",
        "Smith‑Jones",
        "Anne–Marie",
        "Gal·la",
        "Ó Súilleabháin",
        "Nguyễn Thị Bích Ngọc",
        "İpek",
        "Þórdís",
        "Łukasz",
        "П.Добрев",
        "Дар'я",
        "Чжан-эр",
        "Ελένη",
        "Հակոբ՚",
        "ג׳ורג׳",
        "ח׳אלד",
        "בן־גוריון",
        "علی\u{200c}رضا",
        "عبدالـرحمن",
        "د.حسين",
        "ශ්\u{200d}රීමාලි",
        "കൃഷ്ണന്\u{200d}",
        "எஸ்.ராமகிருஷ்ணன்",
        "अदिति",
        "अनन्\u{200d}त",
        "के.सी.",
        "བསྟན་འཛིན་",
        "በላይ፡ዘለቀ",
        "ሮቤል።አክሊሉ",
        "ม.ร.ว.คึกฤทธิ์",
        "សុខា",
        "နန်းခမ်း",
        "レオナルド・ディカプリオ",
        "アンリ＝ルイ",
        "ﾖｼﾀﾞ･ﾀﾛｳ",
        "佐々木",
        "葛\u{e0100}城",
        "阿卜杜拉·买买提",
        "아나스타샤",
        "李",
        "𠮷野",
        "ᠪᠠᠲᠤ",
    ];

    #[test]
    fn real_names_are_accepted_unchanged() {
        for text in NAMES {
            assert_eq!(name(text).as_deref(), Ok(*text));
        }
    }

    #[test]
    fn a_name_is_composed_and_trimmed() {
        assert_eq!(name("  Rene\u{301}e \u{a0} Mar\u{ad}ie\u{200b}\u{200f} ").as_deref(), Ok("Renée Marie"));
    }

    #[test]
    fn a_text_that_can_not_be_a_name_is_refused_and_the_message_says_why() {
        for (text, why) in [
            (" \u{200b}\u{3164}", "can't be empty"),
            ("-", "letter"),
            ("...", "letter"),
            ("\u{301}", "letter"),
            ("12-34", "letter"),
            ("Ada\u{0}", "Leave out"),
            ("Ada\u{9b}", "Leave out"),
            ("Ada\u{ffff}", "Leave out"),
            ("Ada\u{e000}", "Leave out"),
            ("Fran\u{fffd}ois", "Leave out"),
            ("Fran?ois", "Leave out"),
            ("Ada 🙂", "Leave out"),
            ("a@b", "Leave out"),
            ("a＠b", "Leave out"),
            ("<b>Ada</b>", "Leave out"),
            ("＜b＞", "Leave out"),
            ("Ada &amp; Eve", "Leave out"),
            ("{% $states.context %}", "Leave out"),
            ("${x}", "Leave out"),
            ("a|b", "Leave out"),
            ("a\\b", "Leave out"),
            ("=A1", "Leave out"),
            ("+Ada", "Leave out"),
            ("http://evil", "web address"),
            ("evil.example", "web address"),
            ("evil․example", "web address"),
            ("Ada evil.example/x", "web address"),
            (&"a".repeat(101), "at most 100"),
        ] {
            let (_, message) = name(text).expect_err(text);
            assert!(message.contains(why), "{text:?}: {message}");
        }
    }
}
