//! The HTTP clients, and the URL that is sent byte for byte as it was signed.
//!
//! Not for what is sent or what the answer means: that is `exchange`.

use std::net::IpAddr;
use std::time::Duration;

use url::{Host, Url};

use super::sign::{encode_query, encode_segment};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What all clients have in common: no redirects (reqwest would carry tokens to another host), no silent retries, the ring provider.
pub(super) fn builder() -> reqwest::ClientBuilder {
    // Fails when one is installed already, by main or by an earlier client: that one is used then.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("rds-retentiond/", env!("CARGO_PKG_VERSION")))
}

/// A client for one endpoint.
pub(super) fn client(endpoint: &Url, timeout: Duration) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = builder().connect_timeout(CONNECT_TIMEOUT).timeout(timeout).gzip(true);
    if is_loopback(endpoint) {
        // A proxy would look for the simulator on its own machine.
        builder = builder.no_proxy();
    }
    if endpoint.scheme() == "http" {
        // Else building fails on a machine without a CA store, although nothing would be verified.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

fn is_loopback(endpoint: &Url) -> bool {
    match endpoint.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

/// Where a request goes, as it is signed and as it is sent.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) host: String,
    pub(super) path: String,
}

impl Target {
    /// `Err` when the URL library would change what was signed (a segment that is `..`).
    pub(super) fn new(endpoint: &Url, segments: &[&str], query: &[(&str, &str)]) -> Result<Self, String> {
        let host = endpoint
            .host_str()
            .ok_or_else(|| format!("the endpoint {endpoint} has no host"))?;
        let host = endpoint
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut path = endpoint.path().trim_end_matches('/').to_owned();
        for segment in segments {
            path.push('/');
            path.push_str(&encode_segment(segment));
        }
        let query = encode_query(query);
        let mark = if query.is_empty() { "" } else { "?" };
        let text = format!("{}://{host}{path}{mark}{query}", endpoint.scheme());
        let url = Url::parse(&text).map_err(|error| format!("{text}: {error}"))?;
        if url.as_str() == text {
            Ok(Self { url, host, path })
        } else {
            Err(format!("{text} would be sent as {url}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_sent_as_it_is_signed() {
        let endpoint = Url::parse("https://rds.example:8443/gate/").unwrap();
        let query = [
            ("name", "ünï*~'"),
            ("begin_time", "2026-01-01T00:00:00+0800"),
            ("empty", ""),
        ];
        let target = Target::new(&endpoint, &["v3", "p q", "a/b+c"], &query).unwrap();
        assert_eq!(
            target.url.as_str(),
            "https://rds.example:8443/gate/v3/p%20q/a%2Fb%2Bc?begin_time=2026-01-01T00%3A00%3A00%2B0800&empty=&name=%C3%BCn%C3%AF%2A~%27"
        );
        assert_eq!(
            (target.host.as_str(), target.path.as_str()),
            ("rds.example:8443", "/gate/v3/p%20q/a%2Fb%2Bc")
        );
        assert!(Target::new(&endpoint, &["v3", ".."], &[]).is_err());
        let plain = Target::new(&Url::parse("https://rds.example").unwrap(), &["v3"], &[]).unwrap();
        assert_eq!(
            (plain.host.as_str(), plain.url.as_str()),
            ("rds.example", "https://rds.example/v3")
        );
    }

    #[test]
    fn only_loopback_goes_around_the_proxy() {
        for (url, loopback) in [
            ("http://127.0.0.1:8080", true),
            ("http://127.9.9.9", true),
            ("http://[::1]:1", true),
            ("http://LOCALHOST", true),
            ("https://rds.example", false),
            ("http://169.254.169.254", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), loopback, "{url}");
        }
    }
}
