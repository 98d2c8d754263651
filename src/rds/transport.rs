//! The HTTP clients, the URL that is sent byte for byte as it was signed, and bodies of bounded size.
//!
//! Not for what is sent or what the answer means: that is `exchange`.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::{Host, Url};

use super::sign::{encode_query, encode_segment};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection is closed after this time: well before a server or a gateway does so without notice.
const IDLE: Duration = Duration::from_secs(10);
/// After a reused connection broke, every request has a connection of its own for this time.
const UNPOOLED_FOR: Duration = Duration::from_secs(300);
/// After a certificate was refused the CA certificates are read again, but not more often than this.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// What all clients have in common: no redirects (reqwest would carry tokens to another host), no silent retries, the ring provider.
pub(super) fn builder() -> reqwest::ClientBuilder {
    // Fails when one is installed already, by main or by an earlier client: that one is used then.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("rds-retentiond/", env!("CARGO_PKG_VERSION")))
}

/// The HTTP client of one endpoint. It is rebuilt when the CA certificates may have changed, and reuses no connections for a
/// while after one broke.
pub(super) struct Http {
    pub(super) endpoint: Url,
    /// The environment variable that names the proxy on the way, if there is one.
    pub(super) proxy: Option<&'static str>,
    timeout: Duration,
    made: Mutex<Made>,
}

struct Made {
    client: reqwest::Client,
    /// Counts rebuilds, so that a request knows whether its client is still the current one.
    generation: u64,
    unpooled_until: Option<Instant>,
    /// When a refused certificate last led to a rebuild.
    renewed: Option<Instant>,
}

impl Http {
    pub(super) fn new(endpoint: Url, timeout: Duration, proxy: Option<&'static str>) -> Result<Self, reqwest::Error> {
        let made = Made {
            client: client(&endpoint, timeout, true)?,
            generation: 0,
            unpooled_until: None,
            renewed: None,
        };
        Ok(Self {
            endpoint,
            proxy,
            timeout,
            made: Mutex::new(made),
        })
    }

    /// The client to use now, and its generation.
    pub(super) fn client(&self) -> (reqwest::Client, u64) {
        let mut made = self.made();
        if made.unpooled_until.is_some_and(|until| Instant::now() >= until) {
            made.unpooled_until = None;
            self.rebuild(&mut made);
        }
        (made.client.clone(), made.generation)
    }

    /// A connection of this generation broke before any answer: the next requests reuse none.
    pub(super) fn broke(&self, generation: u64) {
        let mut made = self.made();
        if made.generation == generation && made.unpooled_until.is_none() {
            made.unpooled_until = Some(Instant::now() + UNPOOLED_FOR);
            self.rebuild(&mut made);
        }
    }

    /// Reads the CA certificates again.
    pub(super) fn renew(&self) {
        self.rebuild(&mut self.made());
    }

    /// A certificate was refused by a client of this generation: reads the CA certificates again. Whether another try makes sense.
    pub(super) fn renew_after(&self, generation: u64) -> bool {
        let mut made = self.made();
        if made.generation != generation {
            return true;
        }
        if made.renewed.is_some_and(|at| at.elapsed() < RENEW_EVERY) {
            return false;
        }
        made.renewed = Some(Instant::now());
        self.rebuild(&mut made)
    }

    /// Connections that are in use are not touched; idle ones are closed.
    fn rebuild(&self, made: &mut Made) -> bool {
        match client(&self.endpoint, self.timeout, made.unpooled_until.is_none()) {
            Ok(client) => {
                made.client = client;
                made.generation += 1;
                true
            }
            Err(error) => {
                tracing::warn!(endpoint = %self.endpoint, %error, "the HTTP client cannot be rebuilt; the old one, with the CA certificates it read, stays in use");
                false
            }
        }
    }

    fn made(&self) -> MutexGuard<'_, Made> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a body up to `most` bytes, decoded; and whether that is all of it. No more than that is ever held.
pub(super) async fn body(answer: &mut reqwest::Response, most: usize) -> Result<(Vec<u8>, bool), reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let left = most - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(left)]);
        if chunk.len() > left {
            return Ok((body, false));
        }
    }
    Ok((body, true))
}

/// A client for one endpoint: TLS, proxy and redirects as for every request of this program.
pub(crate) fn client(endpoint: &Url, timeout: Duration, pooled: bool) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        // Else the kernel would send what it has buffered once a broken network works again, long after the request was given up.
        .tcp_user_timeout(timeout)
        .pool_idle_timeout(IDLE)
        .gzip(true);
    if !pooled {
        builder = builder.pool_max_idle_per_host(0);
    }
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

pub(super) fn is_loopback(endpoint: &Url) -> bool {
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
