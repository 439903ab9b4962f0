//! Cleans text that was typed or pasted.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, JoiningType, Script, VariationSelector};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// The combining class of viramas: after one, a joiner selects the form of a consonant.
const VIRAMA: u8 = 9;

/// The text in NFC, with single spaces, and without the invisible characters that pasted text often has: direction marks,
/// soft hyphens, zero-width spaces and the like. Invisible characters that change how a word is written are kept.
pub fn tidy(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut visible = String::new();
    for (place, &character) in characters.iter().enumerate() {
        if !is_invisible(character) || changes_a_word(&visible, character, &characters[place + 1..]) {
            visible.push(character);
        }
    }
    visible.nfc().collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_invisible(character: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(character)
        || CodePointMapData::<GeneralCategory>::new().get(character) == GeneralCategory::Format
}

/// Whether an invisible character changes how a word is written, between the text kept so far and the rest.
///
/// Joiners do where a domain may have them (RFC 5892, appendix A.1 and A.2) and before a virama; variation selectors do
/// after an ideograph or a Mongolian letter; the Mongolian vowel separator does after a Mongolian letter.
fn changes_a_word(kept: &str, character: char, rest: &[char]) -> bool {
    let Some(last) = kept.chars().next_back().filter(|last| !is_invisible(*last)) else { return false };
    let script = CodePointMapData::<Script>::new().get(last);
    let mut before = kept.chars().rev();
    let mut after = rest.iter().copied().filter(|next| !is_invisible(*next));
    match character {
        '\u{200c}' | '\u{200d}' => {
            has_virama(before.clone())
                || has_virama(after.clone())
                || (is_joined(before.find(is_base)) && is_joined(after.find(is_base)))
        }
        '\u{180e}' => script == Script::Mongolian,
        _ => {
            CodePointSetData::new::<VariationSelector>().contains(character)
                && [Script::Han, Script::Mongolian].contains(&script)
        }
    }
}

/// Whether the marks at the start of a text include a virama, in any order.
fn has_virama(text: impl Iterator<Item = char>) -> bool {
    text.map(canonical_combining_class).take_while(|class| *class != 0).any(|class| class == VIRAMA)
}

fn is_base(character: &char) -> bool {
    joining_type(*character) != JoiningType::Transparent
}

/// Whether a letter joins to its neighbours, as in Arabic.
fn is_joined(character: Option<char>) -> bool {
    let joined = [JoiningType::DualJoining, JoiningType::LeftJoining, JoiningType::RightJoining];
    character.is_some_and(|character| joined.contains(&joining_type(character)))
}

fn joining_type(character: char) -> JoiningType {
    CodePointMapData::<JoiningType>::new().get(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_removed_unless_a_word_needs_them() {
        for (text, tidied) in [
            ("\u{feff}A\u{200b}d\u{ad}a\u{200f}\u{200e}", "Ada"),
            ("\u{202a}Ada\u{202c} \u{2067}Ada\u{2069}\u{2060}", "Ada Ada"),
            ("e\u{34f}\u{301}\u{3164}\u{e0041}\u{fe0f}", "é"),
            ("\u{a0}Ada\u{3000}\u{2028}\tAda ", "Ada Ada"),
            // Neither Latin letters nor the end of an Arabic word need joiners.
            ("A\u{200c}d\u{200d}a", "Ada"),
            ("رضا\u{200c}\u{200c}", "رضا"),
            ("علی\u{200c}\u{200c}رضا", "علی\u{200c}رضا"),
            ("مَه\u{200c}َسا", "مَه\u{200c}َسا"),
            // Sinhala, Malayalam in the spelling before Unicode 5.1, and Bengali.
            ("ශ්\u{200d}රී", "ශ්\u{200d}රී"),
            ("ഹരികൃഷ്ണന്\u{200d}", "ഹരികൃഷ്ണന്\u{200d}"),
            ("র\u{200d}্যাব", "র\u{200d}্যাব"),
            // An ideograph whose variant matters in family names; Mongolian.
            ("葛\u{e0100}\u{e0101}城", "葛\u{e0100}城"),
            ("a\u{e0100}b\u{fe00}", "ab"),
            ("ᠠᠷᠢᠭᠤᠨ\u{180e}ᠠ", "ᠠᠷᠢᠭᠤᠨ\u{180e}ᠠ"),
        ] {
            assert_eq!(tidy(text), tidied, "{text:?}");
        }
    }
}
