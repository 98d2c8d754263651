//! The request signature SDK-HMAC-SHA256 (API reference, section 6.1; `tests/data/signing_vectors.json` comes from the official signer).
//!
//! Pure: text and bytes in, text out. What is signed must equal what is sent, so [`encode_query`] and [`encode_segment`] are also
//! what the client builds its URLs with. Not for where keys come from: that is `auth`.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// Name of the algorithm, first word of the Authorization header.
pub const ALGORITHM: &str = "SDK-HMAC-SHA256";
/// A header with the body's hash, or `UNSIGNED-PAYLOAD`, which is then used as it stands.
const CONTENT_HASH: &str = "x-sdk-content-sha256";

/// What is signed of a request.
#[derive(Clone, Copy, Debug)]
pub struct Signable<'a> {
    /// The method, upper case.
    pub method: &'a str,
    /// The path as it is sent (percent-encoded).
    pub path: &'a str,
    /// The query's names and values, not encoded, in any order.
    pub query: &'a [(&'a str, &'a str)],
    /// The headers to sign; those with an underscore in their name are left out, as the SDK does.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl Signable<'_> {
    /// The six parts, joined by line feeds.
    pub fn canonical_request(&self) -> String {
        let mut lines = String::new();
        for (name, value) in self.signed_headers() {
            lines.push_str(&name);
            lines.push(':');
            lines.push_str(value.trim());
            lines.push('\n');
        }
        format!(
            "{}\n{}\n{}\n{lines}\n{}\n{}",
            self.method,
            canonical_path(self.path),
            encode_query(self.query),
            self.signed_names(),
            self.body_hash()
        )
    }

    /// What is put under the key; `date` is the value of X-Sdk-Date.
    pub fn string_to_sign(&self, date: &str) -> String {
        let hash = hex::encode(Sha256::digest(self.canonical_request().as_bytes()));
        format!("{ALGORITHM}\n{date}\n{hash}")
    }

    /// The value of the Authorization header.
    pub fn authorization(&self, access_key: &str, secret_key: &SecretString, date: &str) -> String {
        let signature = hmac(
            secret_key.expose_secret().as_bytes(),
            self.string_to_sign(date).as_bytes(),
        );
        format!(
            "{ALGORITHM} Access={access_key}, SignedHeaders={}, Signature={signature}",
            self.signed_names()
        )
    }

    fn signed_headers(&self) -> Vec<(String, &str)> {
        let mut headers: Vec<(String, &str)> = self
            .headers
            .iter()
            .filter(|(name, _)| !name.contains('_'))
            .map(|(name, value)| (name.to_ascii_lowercase(), *value))
            .collect();
        headers.sort();
        headers
    }

    fn signed_names(&self) -> String {
        let names: Vec<String> = self.signed_headers().into_iter().map(|(name, _)| name).collect();
        names.join(";")
    }

    fn body_hash(&self) -> String {
        let given = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_HASH));
        match given {
            // With no body the SDK hashes the empty string whatever the header says.
            Some((_, value)) if !self.body.is_empty() => (*value).to_owned(),
            _ => hex::encode(Sha256::digest(self.body)),
        }
    }
}

fn hmac(key: &[u8], message: &[u8]) -> String {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mut mac) => {
            mac.update(message);
            hex::encode(mac.finalize().into_bytes())
        }
        // HMAC takes keys of any length; an empty signature is refused by the API, which is the safe failure.
        Err(_) => String::new(),
    }
}

/// Encodes one path segment, query name or query value: everything but `A-Z a-z 0-9 - _ . ~`, in upper-case hex.
pub fn encode_segment(text: &str) -> String {
    encode_bytes(text.as_bytes())
}

/// Names and values sorted by code point, then encoded; an empty value keeps its `=`.
pub fn encode_query(pairs: &[(&str, &str)]) -> String {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    let encoded: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode_segment(name), encode_segment(value)))
        .collect();
    encoded.join("&")
}

fn encode_bytes(bytes: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// Decoded, split at `/` (an encoded slash becomes a separator: the official signer does so), encoded again, `/` at the end.
fn canonical_path(path: &str) -> String {
    let decoded = decode(path.as_bytes());
    let mut out: String = decoded
        .split(|byte| *byte == b'/')
        .map(encode_bytes)
        .collect::<Vec<_>>()
        .join("/");
    if !out.ends_with('/') {
        out.push('/');
    }
    out
}

fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| {
        text.get(at)
            .and_then(|byte| char::from(*byte).to_digit(16))
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte == b'%'
            && let (Some(high), Some(low)) = (digit(at + 1), digit(at + 2))
        {
            out.push(high * 16 + low);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const VECTORS: &str = include_str!("../../tests/data/signing_vectors.json");

    fn pairs<'a>(vector: &'a Value, key: &str) -> Vec<(&'a str, &'a str)> {
        let pairs = vector[key].as_array().unwrap();
        pairs
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect()
    }

    #[test]
    fn agrees_with_every_vector_of_the_official_signer() {
        let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
        assert_eq!(vectors.len(), 22);
        for vector in &vectors {
            let text = |key: &str| vector[key].as_str().unwrap();
            let query = pairs(vector, "query");
            let mut headers = pairs(vector, "headers");
            headers.extend(pairs(vector, "headers_added_by_signer"));
            let signable = Signable {
                method: text("method"),
                path: text("path"),
                query: &query,
                headers: &headers,
                body: text("body").as_bytes(),
            };
            let name = text("name");
            assert_eq!(
                signable.canonical_request(),
                text("expected_canonical_request"),
                "{name}"
            );
            assert_eq!(
                signable.string_to_sign(text("date")),
                text("expected_string_to_sign"),
                "{name}"
            );
            let authorization = signable.authorization(text("ak"), &text("sk").into(), text("date"));
            assert_eq!(authorization, text("expected_authorization"), "{name}");
            let target = match encode_query(&query) {
                query if query.is_empty() => text("path").to_owned(),
                query => format!("{}?{query}", text("path")),
            };
            assert_eq!(target, text("sdk_request_target"), "{name}");
        }
    }

    #[test]
    fn encodes_all_but_the_unreserved() {
        assert_eq!(encode_segment("aZ0-_.~"), "aZ0-_.~");
        assert_eq!(encode_segment("a b+c:d/é*"), "a%20b%2Bc%3Ad%2F%C3%A9%2A");
        assert_eq!(encode_query(&[("b", ""), ("a", "2"), ("a", "1")]), "a=1&a=2&b=");
        assert_eq!(
            canonical_path("/x%zz%4"),
            "/x%25zz%254/",
            "what is no escape is a percent sign"
        );
    }
}
