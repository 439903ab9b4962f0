//! What was typed or pasted, as it is meant.

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, JoiningType, Script, VariationSelector};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

/// The combining class of viramas, with which a joiner chooses a consonant's form.
const VIRAMA: u8 = 9;

/// The text in NFC, with single spaces, and without characters that nobody sees: marks of direction, soft hyphens, spaces
/// without width and the like, which come along when a text is pasted. Those stay that change how a word is written.
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

/// Whether an invisible character belongs where it is, after what has been kept and before the rest.
///
/// Joiners do as in a domain (RFC 5892, appendix A.1 and A.2), and before a virama; variation selectors after an ideograph
/// or a Mongolian letter, and the Mongolian vowel separator there as well.
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

/// Whether there is a virama among the marks with which a text begins, in whatever order they are.
fn has_virama(text: impl Iterator<Item = char>) -> bool {
    text.map(canonical_combining_class).take_while(|class| *class != 0).any(|class| class == VIRAMA)
}

fn is_base(character: &char) -> bool {
    joining_type(*character) != JoiningType::Transparent
}

/// Whether a letter is joined to its neighbours, as those of Arabic are.
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
    fn what_nobody_sees_is_removed_but_not_what_a_word_needs() {
        for (text, tidied) in [
            ("\u{feff}A\u{200b}d\u{ad}a\u{200f}\u{200e}", "Ada"),
            ("\u{202a}Ada\u{202c} \u{2067}Ada\u{2069}\u{2060}", "Ada Ada"),
            ("e\u{34f}\u{301}\u{3164}\u{e0041}\u{fe0f}", "é"),
            ("\u{a0}Ada\u{3000}\u{2028}\tAda ", "Ada Ada"),
            // Latin letters need no joiners, nor does the end of an Arabic word.
            ("A\u{200c}d\u{200d}a", "Ada"),
            ("رضا\u{200c}\u{200c}", "رضا"),
            ("علی\u{200c}\u{200c}رضا", "علی\u{200c}رضا"),
            ("مَه\u{200c}َسا", "مَه\u{200c}َسا"),
            // Sinhala, Malayalam as it was written before Unicode 5.1, and Bengali.
            ("ශ්\u{200d}රී", "ශ්\u{200d}රී"),
            ("ഹരികൃഷ്ണന്\u{200d}", "ഹരികൃഷ്ണന്\u{200d}"),
            ("র\u{200d}্যাব", "র\u{200d}্যাব"),
            // Ideographs of which a family has one form and not the other; Mongolian.
            ("葛\u{e0100}\u{e0101}城", "葛\u{e0100}城"),
            ("a\u{e0100}b\u{fe00}", "ab"),
            ("ᠠᠷᠢᠭᠤᠨ\u{180e}ᠠ", "ᠠᠷᠢᠭᠤᠨ\u{180e}ᠠ"),
        ] {
            assert_eq!(tidy(text), tidied, "{text:?}");
        }
    }
}
