//! The status page: one HTML document made from a [`Status`], without script and without anything from elsewhere.

use std::fmt::Write as _;

use crate::daemon::Status;

/// The page. Everything from outside is escaped.
pub fn render(status: &Status) -> String {
    let mut page = String::with_capacity(8 * 1024);
    page.push_str(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>rds-retentiond</title>\
         <style>body{font-family:sans-serif;margin:2em}td,th{text-align:left;padding:.2em 1em .2em 0}</style>\
         <h1>rds-retentiond</h1>",
    );
    let ready = if status.ready { "ready" } else { "not ready" };
    // Writing to a String does not fail.
    let _ = write!(page, "<p>Version {}, {ready}.</p>", status.version);
    for problem in &status.problems {
        let _ = write!(page, "<p><b>{}</b>: {}</p>", problem.about, escape(&problem.message));
    }
    page.push_str("<table><tr><th>Policy<th>Mode<th>Next run<th>Last run<th>Keep<th>Wait<th>Delete");
    for policy in &status.policies {
        let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
            at.map_or("-".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string())
        };
        let last = policy.last_run.as_ref();
        let counts = last.and_then(|run| run.summary);
        let number = |of: fn(&crate::daemon::Counts) -> u64| counts.map_or("-".to_owned(), |it| of(&it).to_string());
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}<td>{} {}<td>{}<td>{}<td>{}",
            escape(policy.policy.as_str()),
            policy.mode,
            time(policy.next_run),
            time(last.map(|run| run.finished_at)),
            last.map_or("", |run| run.result.as_str()),
            number(|it| it.keep),
            number(|it| it.wait),
            number(|it| it.delete),
        );
    }
    page.push_str("</table>");
    page
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
        out
    })
}
