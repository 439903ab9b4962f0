//! DynamoDB's numbers: as CBOR, and as keys that sort by their bytes.

use super::cbor::{Decoder, Encoder, Kind, Malformed};

const POSITIVE_BIG: u64 = 2;
const NEGATIVE_BIG: u64 = 3;
const DECIMAL: u64 = 4;

/// DynamoDB's limits: digits that count, and the largest and smallest power of ten of the first of them.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html#limits-data-types-number>
const SIGNIFICANT: usize = 38;
const LARGEST: i64 = 125;
const SMALLEST: i64 = -130;

/// A decimal number: ± digits × 10^exponent.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Number {
    negative: bool,
    /// ASCII digits without leading zeros; "0" for zero.
    digits: Vec<u8>,
    exponent: i32,
    /// Written without point and exponent, and therefore sent as an integer.
    integer: bool,
}

impl Number {
    /// Reads a number as DynamoDB writes it. None unless it is one that DynamoDB can store.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.as_bytes() {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (mantissa, power) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&unsigned[..at], Some(std::str::from_utf8(&unsigned[at + 1..]).ok()?.parse::<i32>().ok()?)),
            None => (unsigned, None),
        };
        let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
            Some(at) => (&mantissa[..at], Some(&mantissa[at + 1..])),
            None => (mantissa, None),
        };
        let all = [whole, fraction.unwrap_or_default()].concat();
        if all.is_empty() || !all.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let exponent = i64::from(power.unwrap_or_default()) - fraction.unwrap_or_default().len() as i64;
        Self::new(negative, all, exponent, fraction.is_none() && power.is_none())
    }

    fn new(negative: bool, mut digits: Vec<u8>, exponent: i64, integer: bool) -> Option<Self> {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros.min(digits.len().saturating_sub(1)));
        if digits != b"0" {
            let significant = digits.len() - digits.iter().rev().take_while(|digit| **digit == b'0').count();
            let magnitude = exponent + digits.len() as i64 - 1;
            if significant > SIGNIFICANT || !(SMALLEST..=LARGEST).contains(&magnitude) {
                return None;
            }
        }
        // A zero has no magnitude that would bound its exponent.
        let exponent = i32::try_from(exponent).ok().filter(|exponent| exponent.abs() <= 1_000)?;
        Some(Self { negative, digits, exponent, integer })
    }

    fn is_zero(&self) -> bool {
        self.digits == b"0"
    }

    /// Writes an integer (tags 2 and 3 beyond 64 bits), or a decimal fraction (tag 4).
    pub(crate) fn encode(&self, encoder: &mut Encoder) {
        if !self.integer {
            encoder.tag(DECIMAL);
            encoder.array(2);
            encoder.int(i64::from(self.exponent));
        }
        let mut magnitude = bytes_of_digits(&self.digits);
        let negative = self.negative && !self.is_zero();
        if negative {
            // CBOR's negative numbers are -1 - n.
            for byte in magnitude.iter_mut().rev() {
                let (less, borrow) = byte.overflowing_sub(1);
                *byte = less;
                if !borrow {
                    break;
                }
            }
            let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
            magnitude.drain(..zeros);
        }
        if magnitude.len() > 8 {
            encoder.tag(if negative { NEGATIVE_BIG } else { POSITIVE_BIG });
            encoder.bytes(&magnitude);
        } else {
            let value = magnitude.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            if negative { encoder.negative(value) } else { encoder.unsigned(value) }
        }
    }

    /// Reads an integer, a decimal fraction or a float, which is what the Node client sends for short fractions.
    pub(crate) fn decode(decoder: &mut Decoder) -> Result<Self, Malformed> {
        const TOO_LARGE: Malformed = Malformed("a number that DynamoDB cannot store");
        if decoder.kind()? == Kind::Tag {
            let mut ahead = decoder.clone();
            if ahead.tag()? == DECIMAL {
                *decoder = ahead;
                if decoder.array()? != 2 {
                    return Err(Malformed("a decimal that has no two parts"));
                }
                let exponent = decoder.int()?;
                let (negative, digits) = integer(decoder)?;
                return Self::new(negative, digits, exponent, false).ok_or(TOO_LARGE);
            }
        } else if decoder.major()? == 7 {
            let value = decoder.float()?;
            return Self::parse(&value.to_string()).ok_or(TOO_LARGE);
        }
        let (negative, digits) = integer(decoder)?;
        Self::new(negative, digits, 0, true).ok_or(TOO_LARGE)
    }

    /// Appends the LexDecimal form, which sorts as the numbers do.
    pub(crate) fn encode_lexical(&self, to: &mut Vec<u8>) {
        if self.is_zero() {
            to.push(0x80);
            return;
        }
        // The value is 0.digits × 10^exponent.
        let exponent = self.exponent + self.digits.len() as i32;
        match (self.negative, (-0x3e..0x3e).contains(&exponent)) {
            (false, true) => to.push((exponent + 0xc0) as u8),
            (true, true) => to.push((0x3f - exponent) as u8),
            (false, false) => {
                to.push(if exponent < 0 { 0x81 } else { 0xfe });
                to.extend((exponent as u32 ^ 0x8000_0000).to_be_bytes());
            }
            (true, false) => {
                to.push(if exponent < 0 { 0x7e } else { 0x01 });
                to.extend((exponent as u32 ^ 0x7fff_ffff).to_be_bytes());
            }
        }
        // Groups of three digits in 10 bits each, 12 to 1011. The terminator says how many digits the last group has.
        let groups = self.digits.chunks(3).map(|chunk| {
            let group =
                (0..3).fold(0, |group, at| group * 10 + u32::from(chunk.get(at).map_or(0, |digit| digit - b'0')));
            if self.negative { 999 + 12 - group } else { group + 12 }
        });
        let terminator = ((self.digits.len() + 2) % 3) as u32;
        let terminator = if self.negative { 1023 - terminator } else { terminator };
        let (mut bits, mut count) = (0u32, 0);
        for group in groups.chain([terminator]) {
            bits = bits << 10 | group;
            count += 10;
            while count >= 8 {
                count -= 8;
                to.push((bits >> count) as u8);
            }
        }
        if count > 0 {
            to.push((bits << (8 - count)) as u8);
        }
    }

    /// Reads the LexDecimal form, which is all of `bytes`.
    pub(crate) fn decode_lexical(bytes: &[u8]) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("a key that is no number");
        let (&header, rest) = bytes.split_first().ok_or(WRONG)?;
        let far = |rest: &[u8], mask: u32| -> Result<i32, Malformed> {
            let bytes = rest.get(..4).and_then(|bytes| bytes.try_into().ok()).ok_or(WRONG)?;
            Ok((u32::from_be_bytes(bytes) ^ mask) as i32)
        };
        let (negative, exponent, rest) = match header {
            0x7f | 0x80 => return Self::new(false, b"0".to_vec(), 0, true).ok_or(WRONG),
            0x00 | 0xff => return Err(WRONG),
            0x01 | 0x7e => (true, far(rest, 0x7fff_ffff)?, &rest[4..]),
            0x81 | 0xfe => (false, far(rest, 0x8000_0000)?, &rest[4..]),
            0x82.. => (false, i32::from(header) - 0xc0, rest),
            _ => (true, 0x3f - i32::from(header), rest),
        };
        let mut digits = Vec::new();
        let (mut bits, mut count) = (0u32, 0);
        for byte in rest {
            bits = bits << 8 | u32::from(*byte);
            count += 8;
            if count < 10 {
                continue;
            }
            count -= 10;
            let group = bits >> count & 0x3ff;
            let terminator = if negative { 1023 - group } else { group };
            if terminator <= 2 {
                let surplus = 2 - terminator as usize;
                let length = digits.len().checked_sub(surplus).filter(|length| *length > 0).ok_or(WRONG)?;
                digits.truncate(length);
                return Self::new(negative, digits, i64::from(exponent) - length as i64, false).ok_or(WRONG);
            }
            let group = if negative { (999 + 12u32).checked_sub(group) } else { group.checked_sub(12) };
            let group = group.filter(|group| *group <= 999).ok_or(WRONG)?;
            if digits.len() > 3 * SIGNIFICANT {
                return Err(WRONG);
            }
            digits.extend([group / 100, group / 10 % 10, group % 10].map(|digit| b'0' + digit as u8));
        }
        Err(WRONG)
    }
}

/// As DynamoDB writes it: without exponent, without zeros at the end of a fraction.
impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_zero() {
            return f.write_str("0");
        }
        let mut text = String::new();
        if self.negative {
            text.push('-');
        }
        let digits = self.digits.iter().map(|digit| char::from(*digit));
        let whole = self.digits.len() as i64 + i64::from(self.exponent);
        if self.exponent >= 0 {
            text.extend(digits);
            text.extend(std::iter::repeat_n('0', self.exponent as usize));
        } else {
            if whole <= 0 {
                text.push('0');
            }
            text.extend(digits.clone().take(whole.max(0) as usize));
            text.push('.');
            text.extend(std::iter::repeat_n('0', (-whole).max(0) as usize));
            text.extend(digits.skip(whole.max(0) as usize));
            text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        }
        f.write_str(&text)
    }
}

/// An integer's sign and decimal digits.
fn integer(decoder: &mut Decoder) -> Result<(bool, Vec<u8>), Malformed> {
    let (negative, magnitude) = if decoder.is_tag()? {
        let negative = match decoder.tag()? {
            POSITIVE_BIG => false,
            NEGATIVE_BIG => true,
            _ => return Err(Malformed("no number")),
        };
        (negative, decoder.bytes()?.into_owned())
    } else {
        let (negative, value) = decoder.any_int()?;
        (negative, value.to_be_bytes().to_vec())
    };
    // 10^126 has 53 bytes.
    if magnitude.len() > 64 {
        return Err(Malformed("a number that DynamoDB cannot store"));
    }
    Ok((negative, digits_of_bytes(&magnitude, negative)))
}

/// A big-endian integer of decimal digits, without leading zeros.
fn bytes_of_digits(digits: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(8);
    for digit in digits {
        let mut carry = u32::from(digit - b'0');
        for byte in bytes.iter_mut().rev() {
            let value = u32::from(*byte) * 10 + carry;
            *byte = value as u8;
            carry = value >> 8;
        }
        if carry > 0 {
            bytes.insert(0, carry as u8);
        }
    }
    bytes
}

/// The decimal digits of a big-endian integer, plus one if asked.
fn digits_of_bytes(bytes: &[u8], plus_one: bool) -> Vec<u8> {
    let mut digits: Vec<u8> = Vec::with_capacity(20);
    let mut times_plus = |factor: u32, plus: u32| {
        let mut carry = plus;
        for digit in digits.iter_mut().rev() {
            let value = u32::from(*digit - b'0') * factor + carry;
            *digit = b'0' + (value % 10) as u8;
            carry = value / 10;
        }
        while carry > 0 {
            digits.insert(0, b'0' + (carry % 10) as u8);
            carry /= 10;
        }
    };
    for byte in bytes {
        times_plus(256, u32::from(*byte));
    }
    if plus_one {
        times_plus(1, 1);
    }
    if digits.is_empty() {
        digits.push(b'0');
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = String> {
        ("-?[1-9][0-9]{0,37}", -120i32..80).prop_map(|(digits, exponent)| format!("{digits}e{exponent}"))
    }

    fn lexical(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        Number::parse(text).expect("a number").encode_lexical(&mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn numbers_come_back_in_both_forms(text in number()) {
            let number = Number::parse(&text).expect("a number");
            let written = number.to_string();
            prop_assert_eq!(Number::parse(&written).expect("a number").to_string(), written.clone());
            let mut encoder = Encoder::default();
            number.encode(&mut encoder);
            let mut decoder = Decoder::new(&encoder.buffer);
            prop_assert_eq!(Number::decode(&mut decoder).expect("a number").to_string(), written.clone());
            prop_assert!(decoder.is_empty());
            prop_assert_eq!(Number::decode_lexical(&lexical(&text)).expect("a number").to_string(), written);
        }

        #[test]
        fn keys_sort_as_their_numbers_do(one in -1_000_000i64..1_000_000, other in -1_000_000i64..1_000_000, scale in -100..100) {
            let (a, b) = (lexical(&format!("{one}e{scale}")), lexical(&format!("{other}e{scale}")));
            // Numbers that are equal may have other bytes (1 and 1.0).
            if one != other {
                prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            }
        }

        #[test]
        fn any_bytes_are_a_number_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Number::decode_lexical(&bytes);
            let _ = Number::decode(&mut Decoder::new(&bytes));
        }
    }

    #[test]
    fn numbers_are_written_as_dynamodb_writes_them() {
        for (text, written) in [
            ("3.140", "3.14"),
            ("1e2", "100"),
            ("-0.0", "0"),
            ("1.5e-3", "0.0015"),
            ("007", "7"),
            ("-12.50", "-12.5"),
            ("1E+3", "1000"),
        ] {
            assert_eq!(Number::parse(text).expect(text).to_string(), written);
        }
    }

    #[test]
    fn what_dynamodb_cannot_store_is_no_number() {
        for text in
            ["", "-", ".", "e5", "1e", "NaN", "1_000", "1e126", "1e-131", "123456789012345678901234567890123456789"]
        {
            assert!(Number::parse(text).is_none(), "{text}");
        }
        assert!(Number::parse("9.9999999999999999999999999999999999999E+125").is_some());
    }
}
