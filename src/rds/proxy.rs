//! Which proxy the environment names for an endpoint.
//!
//! The HTTP client ignores a variable that it cannot use and connects directly, which a firewall then drops without a word. So it
//! is an error here. Not for connecting: the HTTP client reads the same variables.

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use super::credentials::Env;
use super::transport::is_loopback;

/// The variable that names the proxy for this endpoint, if any does. `Err` when its value cannot be used; the value, which may hold a
/// password, is never shown.
pub(crate) fn variable(endpoint: &Url, env: &Env) -> Result<Option<&'static str>, String> {
    if is_loopback(endpoint) {
        return Ok(None);
    }
    let own = match endpoint.scheme() {
        "http" => ["HTTP_PROXY", "http_proxy"],
        _ => ["HTTPS_PROXY", "https_proxy"],
    };
    // As the client looks: the first of a pair that is set counts, and an empty one is none.
    let named = |pair: [&'static str; 2]| {
        let set = pair.into_iter().find_map(|name| Some((name, env(name)?)));
        set.filter(|(_, value)| !value.is_empty())
    };
    let Some((name, value)) = named(own).or_else(|| named(["ALL_PROXY", "all_proxy"])) else {
        return Ok(None);
    };
    let excluded = named(["NO_PROXY", "no_proxy"]).map_or_else(String::new, |(_, value)| value);
    let any = Matcher::builder().all("http://proxy.invalid").no(excluded).build();
    let target = endpoint
        .as_str()
        .parse()
        .map_err(|_| format!("{endpoint} is no address"))?;
    if any.intercept(&target).is_none() {
        return Ok(None);
    }
    if is_usable(&value) {
        return Ok(Some(name));
    }
    let host = endpoint.host_str().unwrap_or_default();
    Err(format!(
        "the environment variable {name} does not name a proxy that can be used: write http://HOST:PORT (http and https proxies work, \
         SOCKS proxies do not), unset it, or add {host} to NO_PROXY"
    ))
}

fn is_usable(value: &str) -> bool {
    value.parse::<hyper::Uri>().is_ok_and(|uri| {
        let port = uri.authority().map(|authority| {
            let after = authority
                .as_str()
                .rsplit_once('@')
                .map_or(authority.as_str(), |(_, host)| host);
            // The parser takes `host:` and `host:99999` for a host without a port.
            after.ends_with(']') || !after.contains(':') || uri.port_u16().is_some()
        });
        matches!(uri.scheme_str(), None | Some("http" | "https"))
            && port == Some(true)
            && uri.host().is_some_and(|it| !it.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::*;

    fn found(endpoint: &str, pairs: &[(&str, &str)]) -> Result<Option<&'static str>, String> {
        let map: HashMap<String, String> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let env: Env = Arc::new(move |name| map.get(name).cloned());
        variable(&Url::parse(endpoint).unwrap(), &env)
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_an_error_that_names_the_variable_and_no_password() {
        for value in [
            "socks5://user:hunter2@proxy:1080",
            "http://user:hunter2@proxy:99999",
            "http://",
            "http://proxy:port",
            "://",
            "http//pro xy",
        ] {
            let error = found("https://rds.example", &[("https_proxy", value)]).unwrap_err();
            assert!(error.contains("https_proxy") && error.contains("NO_PROXY"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_variable_is_found_as_the_client_finds_it() {
        let good = "http://user:pw@proxy:3128";
        assert_eq!(
            found("https://rds.example", &[("HTTPS_PROXY", good)]),
            Ok(Some("HTTPS_PROXY"))
        );
        assert_eq!(
            found("https://rds.example", &[("ALL_PROXY", "proxy:3128")]),
            Ok(Some("ALL_PROXY"))
        );
        assert_eq!(found("https://rds.example", &[("HTTP_PROXY", "socks5://x")]), Ok(None));
        assert_eq!(found("https://rds.example", &[("HTTPS_PROXY", "")]), Ok(None));
        assert_eq!(found("http://127.0.0.1:1", &[("HTTP_PROXY", "socks5://x")]), Ok(None));
        for no in ["*", ".example", "x, rds.example"] {
            let pairs = [("HTTPS_PROXY", "socks5://x"), ("no_proxy", no)];
            assert_eq!(found("https://rds.example", &pairs), Ok(None), "{no}");
        }
    }
}
