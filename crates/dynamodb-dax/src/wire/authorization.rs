//! The signature (version 4) that a connection is authorised with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use sha2::{Digest, Sha256};

use super::cbor::Encoder;
use super::method;

/// How long an authorisation is valid.
pub const VALIDITY: Duration = Duration::from_secs(300);

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const HOST: &str = "dax.amazonaws.com";
const SERVICE: &str = "dax";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is signed at this time.
pub fn string_to_sign(at: SystemTime, region: &str) -> String {
    let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time =
        DateTime::from_secs(seconds as i64).fmt(DateTimeFormat::DateTime).unwrap_or_default().replace(['-', ':'], "");
    let date = time.get(..8).unwrap_or_default();
    let nothing = hex(&Sha256::digest(b""));
    let request = format!("POST\n/\n\nhost:{HOST}\nx-amz-date:{time}\n\nhost;x-amz-date\n{nothing}");
    let request = hex(&Sha256::digest(request.as_bytes()));
    format!("{ALGORITHM}\n{time}\n{date}/{region}/{SERVICE}/aws4_request\n{request}")
}

/// The signature of a string.
pub fn signature(secret: &str, at: SystemTime, region: &str, string: &str) -> String {
    calculate_signature(generate_signing_key(secret, at, region, SERVICE), string.as_bytes())
}

/// Writes the request that authorises a connection. The node answers it only if it refuses.
pub fn write(encoder: &mut Encoder, credentials: &Credentials, region: &str, at: SystemTime, user_agent: Option<&str>) {
    let string = string_to_sign(at, region);
    encoder.int(super::SERVICE);
    encoder.int(method::AUTHORIZE_CONNECTION);
    encoder.text(credentials.access_key_id());
    encoder.text(&signature(credentials.secret_access_key(), at, region, &string));
    encoder.bytes(string.as_bytes());
    for text in [credentials.session_token(), user_agent] {
        match text {
            Some(text) => encoder.text(text),
            None => encoder.null(),
        }
    }
}

/// The time and the region of a string that was signed. None unless it has the form of one.
pub fn read_string(string: &str) -> Option<(SystemTime, &str)> {
    let [ALGORITHM, time, scope, _] = string.split('\n').collect::<Vec<_>>()[..] else { return None };
    let [date, region, SERVICE, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else { return None };
    if time.len() != 16 || !time.is_ascii() || date != &time[..8] {
        return None;
    }
    let [year, month, day] = [&time[..4], &time[4..6], &time[6..8]];
    let text = format!("{year}-{month}-{day}T{}:{}:{}", &time[9..11], &time[11..13], &time[13..]);
    let time = DateTime::from_str(&text, DateTimeFormat::DateTime).ok()?;
    Some((UNIX_EPOCH + Duration::from_secs(u64::try_from(time.secs()).ok()?), region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_can_be_read() {
        let at = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert_eq!(read_string(&string_to_sign(at, "eu-west-1")), Some((at, "eu-west-1")));
    }
}
