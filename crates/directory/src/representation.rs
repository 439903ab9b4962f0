//! What a resource looks like to a client: its JSON, and an ETag that changes with any byte of it.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Characters of an ETag within its quotes: 126 bits of the hash.
const TAG_LENGTH: usize = 21;

/// JSON with its ETag before it, which the cache keeps, too: hashing takes longer than a hit.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Representation(Bytes);

impl Representation {
    pub fn new(value: &impl Serialize) -> Self {
        let mut bytes = vec![0; TAG_LENGTH];
        serde_json::to_writer(&mut bytes, value).expect("texts, numbers and lists can be serialised");
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&bytes[TAG_LENGTH..]));
        bytes[..TAG_LENGTH].copy_from_slice(&hash.as_bytes()[..TAG_LENGTH]);
        Self(bytes.into())
    }

    /// From the bytes that the cache kept.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    fn tag(&self) -> &[u8] {
        &self.0[..TAG_LENGTH]
    }

    fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&[b"\"", self.tag(), b"\""].concat()).expect("the tag is base64")
    }

    /// The answer to a read: 304 if the client has these bytes.
    pub fn read_response(&self, headers: &HeaderMap) -> Response {
        let is_known = Tags::of(headers, &IF_NONE_MATCH).is_some_and(|tags| tags.match_weakly(self));
        let status = if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        self.response(status)
    }

    /// May be kept, but not used without asking: so no read is older than a write.
    pub fn response(&self, status: StatusCode) -> Response {
        let body = if status == StatusCode::NOT_MODIFIED { Bytes::new() } else { self.0.slice(TAG_LENGTH..) };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(ETAG, self.header());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if status != StatusCode::NOT_MODIFIED {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        response
    }
}

/// The value of `If-Match` or `If-None-Match`: <https://www.rfc-editor.org/rfc/rfc9110#section-13.1>
#[derive(Debug)]
pub(crate) struct Tags(String);

impl Tags {
    /// `None` without the header.
    pub fn of(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        headers.contains_key(name).then(|| Self(values.join(",")))
    }

    /// For `If-Match`: a weak tag never matches.
    pub fn match_strongly(&self, representation: &Representation) -> bool {
        self.any(|tag| tag.as_bytes() == representation.header().as_bytes())
    }

    fn match_weakly(&self, representation: &Representation) -> bool {
        self.any(|tag| tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == representation.header().as_bytes())
    }

    /// Our tags have no comma; another's that has one is split and does not match.
    fn any(&self, matches: impl FnMut(&str) -> bool) -> bool {
        self.0.trim() == "*" || self.0.split(',').map(str::trim).any(matches)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::IF_MATCH;

    use super::*;

    fn tags(value: &str) -> Tags {
        let headers = HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_str(value).expect("it is a header's value"))]);
        Tags::of(&headers, &IF_MATCH).expect("it has the header")
    }

    #[test]
    fn a_tag_changes_with_the_representation_only() {
        let representation = Representation::new(&["a"]);
        assert_eq!(representation, Representation::new(&["a"]));
        assert_ne!(representation.tag(), Representation::new(&["b"]).tag());
    }

    #[test]
    fn tags_match_as_http_says() {
        let representation = Representation::new(&["a"]);
        let tag = representation.header().to_str().expect("it is ASCII").to_owned();
        for value in [tag.clone(), format!("\"x\", {tag}"), "*".to_owned()] {
            assert!(tags(&value).match_strongly(&representation), "{value}");
        }
        for value in [format!("W/{tag}"), "\"x\"".to_owned(), String::new(), tag.trim_matches('"').to_owned()] {
            assert!(!tags(&value).match_strongly(&representation), "{value}");
        }
        assert!(tags(&format!("W/{tag}")).match_weakly(&representation));
    }
}
