//! The text of a configuration as the record keeps it: without what may be a secret.
//!
//! No key holds a secret but `notify: {url: …}`, whose path is a password; but people write more into comments.

use secrecy::ExposeSecret as _;

use super::diagnostics::{mask_secrets, mask_urls_by};
use super::notify::{NotifyTarget, NotifyUrl};

/// The text of a file without secrets; `None` where a URL of `notify` is written otherwise than it reads, so that it may be left in.
/// The rest of the file reads as before.
pub(super) fn without_secrets(text: &str, notify: &[NotifyTarget]) -> Option<String> {
    let given = notify.iter().filter_map(|target| match &target.url {
        NotifyUrl::Given(url) => Some(url.expose_secret()),
        NotifyUrl::File(_) => None,
    });
    if given.clone().any(|url| !text.contains(url)) {
        return None;
    }
    let masked: String = text.split_inclusive('\n').map(masked_line).collect();
    let has_path = |url: &str| {
        let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
        behind.split_once(['/', '?']).is_some_and(|(_, path)| !path.is_empty())
    };
    let mut given = given;
    (!given.any(|url| has_path(url) && masked.contains(url))).then_some(masked)
}

/// URLs everywhere; in comments, whatever is called a secret.
fn masked_line(line: &str) -> String {
    let is_comment =
        |(at, c): &(usize, char)| *c == '#' && line[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let comment = line.char_indices().find(is_comment).map_or(line.len(), |(at, _)| at);
    let (code, comment) = line.split_at(comment);
    // What ends a URL in YAML stays.
    let mask = |c| if ",{}[]".contains(c) { c } else { 'x' };
    mask_urls_by(code, mask) + &mask_secrets(comment)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use secrecy::SecretString;

    use super::*;
    use crate::config::NotifyFormat;

    fn target(url: &str) -> NotifyTarget {
        NotifyTarget {
            url: NotifyUrl::Given(SecretString::from(url)),
            format: NotifyFormat::Json,
            on: BTreeSet::new(),
        }
    }

    #[test]
    fn no_token_of_a_webhook_and_no_secret_of_a_comment_is_recorded_and_the_rest_is() {
        let url = "https://hooks.example/T0/s3cret?k=s3cret";
        let text = format!(
            "version: 1  # token: s3cret\nnotify: [{{url: {url}, format: slack}}]\n# was {url}\n# HUAWEICLOUD_SDK_SK=s3cret\n\
             projects: [{{endpoint: https://rds.example}}]\n"
        );
        let masked = without_secrets(&text, &[target(url)]).unwrap();
        assert!(!masked.contains("s3cret"), "{masked}");
        for kept in [
            "version: 1",
            "https://hooks.example/x",
            "format: slack}]",
            "{endpoint: https://rds.example}",
        ] {
            assert!(masked.contains(kept), "no {kept} in {masked}");
        }
    }

    #[test]
    fn a_url_that_is_written_with_escapes_withholds_the_text() {
        let text = r#"notify: [{url: "https:\x2f\x2fhooks.example/s3cret"}]"#;
        assert_eq!(without_secrets(text, &[target("https://hooks.example/s3cret")]), None);
    }
}
