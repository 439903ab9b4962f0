//! Stripe's signatures of events: <https://docs.stripe.com/webhooks/signature>.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use thiserror::Error;

/// Maximum age of a signature in seconds: the default of Stripe's libraries.
pub const TOLERANCE_SECONDS: i64 = 300;

/// Why an event does not count as Stripe's.
#[derive(Debug, Error, PartialEq)]
pub enum SignatureError {
    #[error("the header Stripe-Signature is missing, or has no time")]
    NoTime,
    #[error("no signature is that of the body: check that the secret is this endpoint's")]
    NoMatch,
    #[error("the signature is older than {TOLERANCE_SECONDS} seconds")]
    TooOld,
}

/// Checks that the header, such as `t=1795170600,v1=5257a869…`, has a signature of the body by the endpoint's secret. `now`
/// is a Unix time in seconds.
///
/// There can be several signatures: after the secret was changed, Stripe signs with the old and the new one for up to a day.
/// Those of other schemes than `v1` don't count.
pub fn verify(header: &str, body: &[u8], secret: &str, now: i64) -> Result<(), SignatureError> {
    let fields = || header.split(',').filter_map(|field| field.split_once('='));
    let (_, time) = fields().find(|(name, _)| *name == "t").ok_or(SignatureError::NoTime)?;
    let signed_at: i64 = time.parse().map_err(|_| SignatureError::NoTime)?;
    let key = Key::new(HMAC_SHA256, secret.as_bytes());
    let expected = hmac::sign(&key, &[time.as_bytes(), b".", body].concat());
    let is_signature =
        |text| hex::decode(text).is_ok_and(|tag| verify_slices_are_equal(expected.as_ref(), &tag).is_ok());
    if !fields().any(|(name, text)| name == "v1" && is_signature(text)) {
        return Err(SignatureError::NoMatch);
    }
    if now.saturating_sub(signed_at) > TOLERANCE_SECONDS {
        return Err(SignatureError::TooOld);
    }
    Ok(())
}
