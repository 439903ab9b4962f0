//! The canonical spelling of an e-mail address.

use email_address::{EmailAddress, Options};
use idna::AsciiDenyList;
use unicode_normalization::UnicodeNormalization;

use crate::validation::{Rejection, required};

/// Longest user name that Cognito accepts, in characters.
/// <https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_AdminCreateUser.html>
const MAXIMUM_LENGTH: usize = 128;

/// Reserved top-level names for private networks: e-mail on the Internet can't reach them.
/// <https://www.iana.org/assignments/special-use-domain-names/> and, for `internal`,
/// <https://www.icann.org/en/public-comment/proceeding/proposed-top-level-domain-string-for-private-use-24-01-2024>
///
/// `example` is reserved for documentation and tests; it is accepted because no network uses it.
const NOT_ON_THE_INTERNET: [&str; 7] = ["alt", "internal", "invalid", "local", "localhost", "onion", "test"];

/// The canonical spelling of an address, or `None` if an account can't have the address.
pub fn canonical_email(text: &str) -> Option<String> {
    email(text).ok()
}

/// The local part must be ASCII, because SES sends to no other; the domain may be written in any script.
/// <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Destination.html>
pub fn email(text: &str) -> Result<String, Rejection> {
    let invalid = || ("INVALID_EMAIL", "This is not an e-mail address that we can write to.".into());
    let text = required(text)?;
    let (local, domain) = text.rsplit_once(['@', '＠', '﹫']).ok_or_else(invalid)?;
    // Some input methods write full-width letters.
    let local: String = local.nfkc().collect();
    let domain = idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::STD3).map_err(|_| invalid())?;
    let address = format!("{local}@{domain}").to_ascii_lowercase();
    let plain = Options::default().with_required_tld().without_domain_literal().without_display_text();
    if !address.is_ascii()
        || address.contains('"')
        || EmailAddress::parse_with_options(&address, plain).is_err()
        || !is_on_the_internet(&domain)
    {
        return Err(invalid());
    }
    if address.len() > MAXIMUM_LENGTH {
        return Err(("TOO_LONG", format!("Use an address of at most {MAXIMUM_LENGTH} characters.").into()));
    }
    Ok(address)
}

/// Whether a domain could be delegated: its top-level name has letters only (RFC 1123, section 2.1), or is punycode.
fn is_on_the_internet(domain: &str) -> bool {
    let top = domain.rsplit('.').next().unwrap_or_default();
    (top.starts_with("xn--") || top.bytes().all(|byte| byte.is_ascii_alphabetic()))
        && !NOT_ON_THE_INTERNET.contains(&top)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// An entry of `crates/accounts/addresses.json`, which the tests of the pages read, too.
    #[derive(Deserialize)]
    struct Address {
        canonical: String,
        spellings: Vec<String>,
    }

    #[test]
    fn an_address_has_one_spelling() {
        let addresses = include_str!("../addresses.json");
        let addresses: Vec<Address> = serde_json::from_str(addresses).expect("it is a list of addresses");
        for Address { canonical, spellings } in addresses {
            for spelling in spellings.iter().chain([&canonical]) {
                assert_eq!(canonical_email(spelling).as_ref(), Some(&canonical), "{spelling:?}");
            }
        }
    }

    #[test]
    fn an_address_that_e_mail_can_not_reach_is_refused() {
        let long = format!("{}@{}.example", "a".repeat(64), "b".repeat(60));
        for text in [
            "ada",
            "@school.example",
            "ada@",
            "ada@school",
            "ada@@school.example",
            "ada@school..example",
            "ada@school.example.",
            "a da@school.example",
            "\"a b\"@school.example",
            "Ada <ada@school.example>",
            "mailto:ada@school.example",
            "ada@school.example, eve@x.example",
            "ádá@school.example",
            "ada@school_.example",
            "ada@-school.example",
            "ada@xn--0.example",
            "ada\u{0}@school.example",
            "ada@school.example\r\nBcc: eve@x.example",
            "ada@[127.0.0.1]",
            "ada@[IPv6:::1]",
            "ada@1.2.3.4",
            "ada@１.２.３.４",
            "ada@2130706433",
            "ada@127.0.0.0x1",
            "ada@school.123",
            "ada@school.c0m",
            "ada@school.a-b",
            "ada@localhost",
            "ada@mail.localhost",
            "ada@school.Local",
            "ada@school.internal",
            "ada@school.invalid",
            "ada@school.test",
            "ada@school.onion",
            "ada@school.alt",
            &long,
        ] {
            assert_eq!(canonical_email(text), None, "{text:?}");
        }
    }
}
