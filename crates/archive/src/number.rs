//! DynamoDB's numbers: decimal texts with up to 38 digits.

use crate::table::DIGITS;

/// The number, multiplied by ten to the power of `scale`; `None` if the result is not an integer, or has more than 38
/// digits.
pub fn scaled(number: &str, scale: u32) -> Option<i128> {
    let (number, exponent) = match number.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (is_negative, number) = match number.strip_prefix('-') {
        Some(number) => (true, number),
        None => (false, number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut value: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        let digit = char::from(digit).to_digit(10)?;
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if value == 0 {
        return Some(0);
    }
    let shift = exponent.checked_add_unsigned(scale)?.checked_sub_unsigned(fraction.len().try_into().ok()?)?;
    let factor = 10_i128.checked_pow(shift.unsigned_abs())?;
    let value = match shift {
        ..0 if value % factor != 0 => return None,
        ..0 => value / factor,
        0.. => value.checked_mul(factor)?,
    };
    (value < 10_i128.pow(DIGITS)).then_some(if is_negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_scaled_exactly_or_not_at_all() {
        let digits = "9".repeat(38);
        let largest = 10_i128.pow(38) - 1;
        for (number, scale, expected) in [
            ("0", 2, Some(0)),
            ("12.5", 2, Some(1250)),
            ("-12.50", 2, Some(-1250)),
            ("12.505", 2, None),
            ("1.2E+3", 0, Some(1200)),
            ("5e-2", 2, Some(5)),
            ("5e-3", 2, None),
            ("1E-130", 2, None),
            ("0E+999", 2, Some(0)),
            (&digits, 0, Some(largest)),
            (&format!("-{digits}"), 0, Some(-largest)),
            (&digits, 1, None),
            ("1E+125", 0, None),
            (&format!("1{}", "0".repeat(125)), 0, None),
            ("100000000000000000000000000000000000000", 0, None),
            ("9223372036854775808", 0, Some(1 << 63)),
            ("", 0, None),
            (".", 0, None),
            ("-", 0, None),
            ("+1", 0, None),
            ("1.2.3", 2, None),
            ("NaN", 0, None),
            ("1E", 0, None),
            ("1E99999999999", 0, None),
        ] {
            assert_eq!(scaled(number, scale), expected, "{number} with {scale} decimal places");
        }
    }
}
