//! By what a connection to PostgreSQL proves who it is, and the server who that is.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Error, Fault};

/// The password: of this file, else what `PGPASSWORD` says, if it does.
pub(super) fn password(file: Option<&Path>) -> Result<Option<Vec<u8>>, Error> {
    let Some(file) = file else {
        return Ok(std::env::var_os("PGPASSWORD").map(std::ffi::OsString::into_encoded_bytes));
    };
    let file = match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(dir) if file.is_relative() => Path::new(&dir).join(file),
        _ => file.to_owned(),
    };
    let password = read_secret(&file).map_err(|why| {
        Error::of_file(Fault::Credentials(format!(
            "the password_file {} cannot be used: {why}",
            file.display()
        )))
    })?;
    Ok(Some(password.trim_ascii_end().to_vec()))
}

/// Reads a secret file unless another user may have written it, by the same rule as for those of the API's keys.
fn read_secret(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| error.to_string();
    // Opening a pipe would wait for a writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    let mode = found.mode() & 0o7777;
    if mode & 0o002 != 0 || (mode & 0o020 != 0 && found.gid() != 0) {
        return Err(format!("others may write it (mode {mode:04o}): chmod go-w"));
    }
    if mode & 0o004 != 0 {
        tracing::warn!(file = %path.display(), mode = format_args!("{mode:04o}"), "everybody may read this secret file: chmod o-r");
    }
    let mut secret = Vec::new();
    file.read_to_end(&mut secret).map_err(failed)?;
    Ok(secret)
}

/// Which servers are trusted: those of these authorities, else the host's.
pub(super) fn trusted(ca: Option<&Path>, is_tls: bool) -> Result<rustls::ClientConfig, Error> {
    let fault = |what: String| Error::of_file(Fault::Tls(what));
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(path) => {
            let failed =
                |error: &dyn fmt::Display| fault(format!("the certificates in `ca` {}: {error}", path.display()));
            let found = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| failed(&error))?;
                roots.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        None if is_tls => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| fault(error.to_string()))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}
