//! How each format looks: the URL, the type and the body of the request.

use serde_json::{Value, json};
use url::Url;

use super::notification::Notification;
use crate::config::{NotifyFormat, NotifyOn};
use crate::wording::sanitize;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// A request: where, of which type, and what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WebhookRequest {
    pub(super) url: Url,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
}

/// The request for a message.
pub(super) fn request(format: NotifyFormat, base: Url, message: &Notification) -> WebhookRequest {
    match format {
        NotifyFormat::Json => of_json(base, message),
        NotifyFormat::Slack => of_json(base, &slack(message)),
        NotifyFormat::Teams => of_json(base, &teams(message)),
        NotifyFormat::Ping => WebhookRequest {
            url: ping(base, message.on),
            content_type: TEXT,
            body: message.text().into_bytes(),
        },
    }
}

fn of_json(url: Url, value: &impl serde::Serialize) -> WebhookRequest {
    let mut body = Vec::new();
    // Writing texts and numbers to memory cannot fail.
    let _ = sanitize::write_json(&mut body, value);
    WebhookRequest {
        url,
        content_type: JSON,
        body,
    }
}

/// As healthchecks.io: `URL/start`, `URL`, `URL/fail`. A query stays where it is.
fn ping(mut url: Url, on: Option<NotifyOn>) -> Url {
    let suffix = match on {
        Some(NotifyOn::Start) => "/start",
        Some(NotifyOn::Failed) => "/fail",
        _ => return url,
    };
    let path = format!("{}{suffix}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

/// Slack reads `<…>` as links and mentions; `&`, `<` and `>` are all that has to be escaped
/// (<https://docs.slack.dev/messaging/formatting-message-text>).
fn slack(message: &Notification) -> Value {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let command = message.command.as_deref().map_or_else(String::new, |command| {
        format!("\nWhat to do: `{}`", escaped(&command.replace('`', "'")))
    });
    json!({"text": format!("rds-retentiond: {}{command}", escaped(&message.words))})
}

/// The message with one Adaptive Card that webhooks of Workflows take
/// (<https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>).
fn teams(message: &Notification) -> Value {
    // Its text is Markdown: a link needs these two side by side.
    let block = |text: &str| json!({"type": "TextBlock", "text": text.replace("](", "] ("), "wrap": true});
    let mut blocks = vec![block(&format!("rds-retentiond: {}", message.words))];
    blocks.extend(
        message
            .command
            .as_deref()
            .map(|command| block(&format!("What to do: {command}"))),
    );
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.2",
                "body": blocks,
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn message() -> Notification {
        Notification {
            words: "a <!channel> & [x](https://evil) \u{202e}".to_owned(),
            command: Some("rds-retentiond approve `p` --plan c0ffee".to_owned()),
            ..Notification::test(DateTime::UNIX_EPOCH)
        }
    }

    fn body(format: NotifyFormat) -> Value {
        let made = request(format, Url::parse("https://h/x").unwrap(), &message());
        assert!(!made.body.contains(&0xe2), "bidi controls are escaped");
        serde_json::from_slice(&made.body).unwrap()
    }

    #[test]
    fn slack_gets_no_mention_and_no_link_from_a_name() {
        let text = body(NotifyFormat::Slack)["text"].as_str().unwrap().to_owned();
        assert!(text.starts_with("rds-retentiond: a &lt;!channel&gt; &amp; "), "{text}");
        assert!(
            text.ends_with("\nWhat to do: `rds-retentiond approve 'p' --plan c0ffee`"),
            "{text}"
        );
    }

    #[test]
    fn teams_gets_one_card_without_links_from_a_name() {
        let message = body(NotifyFormat::Teams);
        assert_eq!(message["type"], "message");
        let attachment = &message["attachments"][0];
        assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
        let card = &attachment["content"];
        assert_eq!(
            (&card["type"], &card["version"]),
            (&json!("AdaptiveCard"), &json!("1.2"))
        );
        assert_eq!(card["body"].as_array().unwrap().len(), 2);
        assert!(!card["body"][0]["text"].as_str().unwrap().contains("]("));
    }

    #[test]
    fn json_has_its_documented_fields() {
        let message = body(NotifyFormat::Json);
        let fields: Vec<&String> = message.as_object().unwrap().keys().collect();
        let wanted = [
            "at", "command", "event", "message", "policy", "result", "run_id", "sent", "summary",
        ];
        assert_eq!(fields, wanted);
    }

    #[test]
    fn a_ping_adds_to_the_path_and_keeps_the_query() {
        let of = |url: &str, on| ping(Url::parse(url).unwrap(), on).to_string();
        for (base, start, fail) in [
            ("https://hc/ping/1", "https://hc/ping/1/start", "https://hc/ping/1/fail"),
            (
                "https://hc/ping/1/?k=v",
                "https://hc/ping/1/start?k=v",
                "https://hc/ping/1/fail?k=v",
            ),
        ] {
            assert_eq!(of(base, Some(NotifyOn::Start)), start);
            assert_eq!(of(base, Some(NotifyOn::Failed)), fail);
            assert_eq!(of(base, Some(NotifyOn::Success)), base);
            assert_eq!(of(base, None), base);
        }
    }
}
