//! Which `Host` the page and the API answer to. A page elsewhere whose name is made to resolve to this address (DNS rebinding) would
//! otherwise let a browser inside the network read them for it.

use std::net::IpAddr;

use crate::http::header::HOST;
use crate::http::{Bytes, Request};

/// Whether every host that a request names is an address, `localhost`, this machine's name, or one of the configured names. A request
/// that names none is no browser's.
pub(super) fn is_answered(request: &Request<Bytes>, own: impl Fn() -> String, allowed: &[String]) -> bool {
    let named = request.headers().get_all(HOST).iter().map(|host| host.to_str().ok());
    // `GET http://name/` comes before the header (RFC 9112, 3.2.2).
    let target = request.uri().authority().map(|authority| Some(authority.as_str()));
    named
        .chain(target)
        .all(|host| host.is_some_and(|host| is_known(host, &own, allowed)))
}

fn is_known(host: &str, own: impl Fn() -> String, allowed: &[String]) -> bool {
    let host = without_port(host).to_ascii_lowercase();
    // A name may end in the dot of the root.
    let host = host.strip_suffix('.').unwrap_or(&host);
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if address.unwrap_or(host).parse::<IpAddr>().is_ok() || host == "localhost" {
        return true;
    }
    if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host)) {
        return true;
    }
    let own = own().to_ascii_lowercase();
    let short = own.split('.').next().unwrap_or_default();
    !short.is_empty() && host.split('.').next() == Some(short)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(hosts: &[&str]) -> bool {
        let mut request = Request::builder();
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let allowed = ["Retention.example.com".to_owned()];
        is_answered(
            &request.body(Bytes::new()).unwrap(),
            || "db1.corp.example".to_owned(),
            &allowed,
        )
    }

    #[test]
    fn addresses_localhost_this_host_and_what_is_allowed_are_answered() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9465",
            "10.1.2.3:80",
            "[::1]:9465",
            "[::1]",
            "localhost",
            "LocalHost:9465",
            "localhost.",
            "db1",
            "DB1:9465",
            "db1.corp.example",
            "db1.other.domain:1",
            "retention.example.com",
            "RETENTION.example.com.:443",
        ] {
            assert!(answers(&[host]), "{host}");
        }
        assert!(answers(&[]), "no browser");
    }

    #[test]
    fn names_of_others_are_not() {
        for host in [
            "evil.example",
            "evil.example:9465",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "db10",
            "db1x.corp.example",
            "corp.example",
            "a.retention.example.com",
            "",
            ":9465",
            "[::1",
            "user@localhost",
        ] {
            assert!(!answers(&[host]), "{host}");
        }
        assert!(!answers(&["localhost", "evil.example"]), "either of two");
    }

    #[test]
    fn a_target_with_a_host_counts_as_well_as_the_header() {
        let request = |target: &str| {
            let request = Request::builder().uri(target).header(HOST, "localhost");
            is_answered(&request.body(Bytes::new()).unwrap(), String::new, &[])
        };
        assert!(request("http://127.0.0.1:9465/"));
        assert!(!request("http://evil.example/"));
    }
}
