//! Where keys are read from, in which order, and which files are refused.

use super::*;
use secrecy::ExposeSecret;
use std::collections::HashMap;
use std::os::unix::fs::{PermissionsExt, chown};
use std::sync::Arc;

fn env(pairs: &[(&str, &str)]) -> Env {
    let map: HashMap<String, String> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Arc::new(move |name| map.get(name).cloned())
}

async fn read(source: CredentialSource, pairs: &[(&str, &str)]) -> Result<(String, String, Option<String>), String> {
    let reader = Reader {
        source,
        env: env(pairs),
    };
    match reader.read().await {
        Ok(keys) => Ok((
            keys.access_key.clone(),
            keys.secret_key.expose_secret().to_owned(),
            keys.security_token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
        )),
        Err(error) => Err(error.to_string()),
    }
}

fn secret(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    path
}

#[expect(clippy::unnecessary_wraps, reason = "it is compared with what `read` returns")]
fn keys(access: &str, secret: &str, token: Option<&str>) -> Result<(String, String, Option<String>), String> {
    Ok((access.into(), secret.into(), token.map(Into::into)))
}

const AK: &str = "HUAWEICLOUD_SDK_AK";
const SK: &str = "HUAWEICLOUD_SDK_SK";

#[tokio::test]
async fn the_environment_needs_both_halves() {
    let token = ("HUAWEICLOUD_SDK_SECURITY_TOKEN", "env-token");
    let full = [(AK, "env-ak"), (SK, "env-sk"), token];
    assert_eq!(
        read(CredentialSource::Environment, &full).await,
        keys("env-ak", "env-sk", Some("env-token"))
    );
    assert_eq!(
        read(CredentialSource::Environment, &full[..2]).await,
        keys("env-ak", "env-sk", None)
    );
    for source in [CredentialSource::Environment, CredentialSource::Chain] {
        let error = read(source, &[(AK, "env-ak"), (SK, "")]).await.unwrap_err();
        assert!(error.contains("HUAWEICLOUD_SDK_SK is not"), "{error}");
    }
    assert!(read(CredentialSource::Environment, &[]).await.is_err());
}

#[tokio::test]
async fn the_chain_goes_from_environment_to_systemd_to_profile() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".huaweicloud")).unwrap();
    let profile = "; mine\n[global]\nak = wrong\n[basic]\nak = ini-ak\nsk=ini=sk\nsecurity_token =\n# sk = no\n";
    secret(home.path(), ".huaweicloud/credentials", profile);
    let systemd = tempfile::tempdir().unwrap();
    secret(systemd.path(), "access_key", "sd-ak\n");
    secret(systemd.path(), "secret_key", "sd-sk\r\n");
    let home = ("HOME", home.path().to_str().unwrap());
    let directory = ("CREDENTIALS_DIRECTORY", systemd.path().to_str().unwrap());
    let all = [home, directory, (AK, "env-ak"), (SK, "env-sk")];
    assert_eq!(
        read(CredentialSource::Chain, &all).await,
        keys("env-ak", "env-sk", None)
    );
    assert_eq!(
        read(CredentialSource::Chain, &all[..2]).await,
        keys("sd-ak", "sd-sk", None)
    );
    secret(systemd.path(), "security_token", "sd-token");
    assert_eq!(
        read(CredentialSource::Chain, &all[..2]).await,
        keys("sd-ak", "sd-sk", Some("sd-token"))
    );
    assert_eq!(
        read(CredentialSource::Chain, &all[..1]).await,
        keys("ini-ak", "ini=sk", None)
    );
    for (missing, left) in [("secret_key", "access_key"), ("access_key", "secret_key")] {
        secret(systemd.path(), left, "here");
        std::fs::remove_file(systemd.path().join(missing)).unwrap();
        let error = read(CredentialSource::Chain, &all[..2])
            .await
            .expect_err("half of a source is an error, not the next source");
        assert!(error.contains(missing), "{error}");
    }
}

#[tokio::test]
async fn a_profile_section_can_be_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = secret(
        directory.path(),
        "ini",
        "[a]\nak=1\nsk=2\n[ b ]\nak=3\nsk=4\nsecurity_token=5\n[c]\nak=6\n[e]\nAK: 7\nsk : a=b:c\n",
    );
    let profile = |name: &str| CredentialSource::Profile {
        path: Some(path.clone()),
        profile: Some(name.into()),
    };
    assert_eq!(read(profile("b"), &[]).await, keys("3", "4", Some("5")));
    assert_eq!(
        read(profile("e"), &[]).await,
        keys("7", "a=b:c", None),
        "as Python's reader takes it"
    );
    assert!(read(profile("c"), &[]).await.unwrap_err().ends_with("[c] has no sk"));
    assert!(
        read(profile("d"), &[])
            .await
            .unwrap_err()
            .ends_with("has no section [d]")
    );
}

#[tokio::test]
async fn files_that_others_may_write_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let access_key_file = secret(directory.path(), "ak", "file-ak\n");
    let secret_key = secret(directory.path(), "sk", "file-sk\n");
    let source = CredentialSource::Files {
        access_key_file,
        secret_key_file: "sk".into(),
        security_token_file: None,
    };
    let pairs = [("CREDENTIALS_DIRECTORY", directory.path().to_str().unwrap())];
    assert_eq!(read(source.clone(), &pairs).await, keys("file-ak", "file-sk", None));
    let error = read(source.clone(), &[]).await.unwrap_err();
    assert!(error.contains("$CREDENTIALS_DIRECTORY is not set"), "{error}");
    let set = |mode| std::fs::set_permissions(&secret_key, PermissionsExt::from_mode(mode)).unwrap();
    set(0o602);
    let error = read(source.clone(), &pairs).await.unwrap_err();
    assert!(
        error.contains("written by everybody (mode 0602)") && !error.contains("file-sk"),
        "{error}"
    );
    set(0o644);
    assert!(
        read(source.clone(), &pairs).await.is_ok(),
        "readable by all draws a warning only"
    );
    set(0o660);
    let group = std::fs::metadata(&secret_key).unwrap().gid();
    assert_eq!(
        read(source.clone(), &pairs).await.is_ok(),
        group == 0,
        "root's own group may write"
    );
    // Only root can give a file away; elsewhere the case above is that of a foreign group already.
    if chown(&secret_key, None, Some(65534)).is_ok() {
        assert!(
            read(source.clone(), &pairs)
                .await
                .unwrap_err()
                .contains("written by its group")
        );
    }
    secret(directory.path(), "ak", "one\ntwo\n");
    assert!(read(source, &pairs).await.unwrap_err().contains("more than one line"));
}

/// Opening a pipe waits for a writer, and a run for ever.
#[tokio::test]
async fn a_secret_is_a_regular_file() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("sk");
    let made = std::process::Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(&pipe)
        .status();
    assert!(made.unwrap().success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::write(pipe, "file-sk\n")
    });
    let source = |secret_key_file: &Path| CredentialSource::Files {
        access_key_file: secret(directory.path(), "ak", "file-ak\n"),
        secret_key_file: secret_key_file.to_owned(),
        security_token_file: None,
    };
    for odd in [&*pipe, Path::new("/dev/null"), directory.path()] {
        let error = read(source(odd), &[]).await.unwrap_err();
        let wanted = format!("{}: it is no regular file", odd.display());
        assert!(error.contains(&wanted), "{error}");
    }
    // Open for both, a pipe does not wait: and lets go the writer, whom nobody may have read.
    let _both = std::fs::File::options().read(true).write(true).open(&pipe);
    drop(writer.join());
}
