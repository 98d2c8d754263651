//! Why there was no answer, and what may be done about it.
//!
//! Not for answers, whatever their status: that is `reply`.

/// The cause under an error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// There was no answer, or none that could be read to its end.
#[derive(Debug)]
pub(super) struct TransportFailure {
    /// What a read may do next.
    pub(super) kind: FailureKind,
    pub(super) why: String,
    pub(super) source: Option<Cause>,
}

/// What a read may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// Try again after a pause.
    Passing,
    /// The same; the answer was not there, or not whole, in time.
    TimeOut,
    /// The connection broke before any answer: try again at once, on a new one.
    Broke,
    /// The server's certificate was refused: try again only when the CA certificates have changed.
    Certificate,
    /// Trying again would end the same.
    Final,
}

impl TransportFailure {
    /// Of an HTTP client; `proxy` is the variable that names the proxy on the way.
    pub(super) fn of(error: reqwest::Error, proxy: Option<&'static str>) -> Self {
        let not_sent = error.is_connect() || error.is_builder();
        let (kind, why) = if error.is_timeout() {
            (
                FailureKind::TimeOut,
                if not_sent { "no connection in time" } else { "time-out" }.to_owned(),
            )
        } else if let Some(found) = not_sent.then(|| lasting(&error, proxy)).flatten() {
            found
        } else if not_sent {
            (FailureKind::Passing, "no connection".to_owned())
        } else if error.is_decode() {
            (FailureKind::Passing, "the answer cannot be decoded".to_owned())
        } else if error.is_request() {
            (FailureKind::Broke, "the connection broke".to_owned())
        } else {
            (FailureKind::Passing, "the connection broke".to_owned())
        };
        // The place says what was asked; the URL would only repeat it.
        Self {
            kind,
            why,
            source: Some(error.without_url().into()),
        }
    }

    /// The answer is longer than any answer to this can be.
    pub(super) fn too_long(most: usize) -> Self {
        Self {
            kind: FailureKind::Passing,
            why: format!(
                "the answer is larger than {} KiB, which no answer to this needs",
                most >> 10
            ),
            source: None,
        }
    }
}

/// What keeps a connection from being made and does not pass by itself: TLS, or the proxy.
fn lasting(error: &reqwest::Error, proxy: Option<&'static str>) -> Option<(FailureKind, String)> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = tls_error(error) {
            return Some(match tls {
                rustls::Error::InvalidCertificate(_) => (
                    FailureKind::Certificate,
                    "the server's certificate is not accepted; if a CA of your own signed it, or a proxy that looks into TLS, put that CA's \
                     certificate into the host's CA store, or name a PEM file with all CAs in SSL_CERT_FILE"
                        .to_owned(),
                ),
                _ => (
                    FailureKind::Final,
                    "TLS with the server failed; check that the endpoint is an HTTPS service, and SSL_CERT_FILE where it is set".to_owned(),
                ),
            });
        }
        // The type is private to the HTTP client.
        if let (Some(variable), Some(said)) = (proxy, error.to_string().strip_prefix("tunnel error: ")) {
            match said {
                "proxy authorization required" => {
                    let why = format!(
                        "the proxy that {variable} names wants a user name and a password (407): write http://USER:PASSWORD@HOST:PORT, or \
                         correct them"
                    );
                    return Some((FailureKind::Final, why));
                }
                "unsuccessful" => {
                    let why = format!(
                        "the proxy that {variable} names refused to connect to the endpoint: let it through there, or add the host to \
                         NO_PROXY"
                    );
                    return Some((FailureKind::Final, why));
                }
                _ => {}
            }
        }
        cause = error.source();
    }
    None
}

/// The TLS library's own error, which travels inside I/O errors.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    error
        .downcast_ref()
        .or_else(|| tls_error(error.downcast_ref::<std::io::Error>()?.get_ref()?))
}
