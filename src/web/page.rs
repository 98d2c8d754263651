//! The status page: one HTML document made from a [`Status`], without script and without anything from elsewhere.
//!
//! Pure. It answers, in this order: is all well; what needs somebody, with the command that helps; when what runs; what
//! happens to which backup. Names come from the cloud and are hostile: everything passes `words::text`. A page is less
//! than 200 kB, however large the fleet: what does not fit is on the next one (`/?from=N`).

mod instances;
mod storage;
mod timeline;
mod words;

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use self::words::{number, remedy, shell, text, time};
use crate::daemon::{Counts, PolicyStatus, Status};
use crate::retention::{HoldTarget, Refusal};

const STYLE: &str = include_str!("page/style.css");
/// The configuration's usual place, which commands need not name.
const DEFAULT_CONFIG: &str = "/etc/rds-retentiond/config.yaml";

/// The first page.
pub fn render(status: &Status) -> String {
    render_from(status, 0)
}

/// The page that begins with the `from`th instance.
pub fn render_from(status: &Status, from: usize) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{} - rds-retentiond</title><style>{STYLE}</style></head><body><header><h1>rds-retentiond</h1>",
        if is_well(status) { "All is well" } else { "Needs a look" }
    );
    banner(&mut out, status);
    out.push_str("</header><main>");
    attention(&mut out, status);
    out.push_str("<section aria-labelledby=\"policies\"><h2 id=\"policies\">Policies</h2>");
    policies(&mut out, status);
    out.push_str("</section><section aria-labelledby=\"storage\"><h2 id=\"storage\">Storage</h2>");
    storage::draw(&mut out, status);
    storage::over_time(&mut out, &status.storage);
    out.push_str(
        "</section><section aria-labelledby=\"instances\"><h2 id=\"instances\">Instances and their backups</h2>",
    );
    instances::draw(&mut out, status, from);
    out.push_str("</section><section aria-labelledby=\"holds\"><h2 id=\"holds\">Holds</h2>");
    holds(&mut out, status);
    out.push_str("</section></main>");
    footer(&mut out, status);
    out.push_str("</body></html>");
    out
}

/// The source that a Content-Security-Policy must allow for the page's one style element: `sha256-…`.
pub fn style_source() -> String {
    format!("'sha256-{}'", base64(&Sha256::digest(STYLE.as_bytes())))
}

/// Base64 (RFC 4648) of a digest; a crate for one hash would be a crate too many.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let bits = part.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place <= part.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

fn is_well(status: &Status) -> bool {
    status.ready && status.problems.is_empty() && status.config.last_reload_ok && refusals(status).is_empty()
}

fn banner(out: &mut String, status: &Status) {
    let waiting = status.problems.len().max(refusals(status).len()) + usize::from(!status.config.last_reload_ok);
    let _ = if is_well(status) {
        let ran = status
            .policies
            .iter()
            .filter(|policy| policy.last_run.is_some())
            .count();
        let of = status.policies.len();
        write!(
            out,
            "<p class=\"b\" role=\"status\"><strong>All is well.</strong> {}</p>",
            if ran == of {
                "Every policy has run.".to_owned()
            } else {
                format!("{ran} of {of} policies have run.")
            }
        )
    } else {
        write!(
            out,
            "<p class=\"b bad\" role=\"status\"><strong>{}</strong>{}</p>",
            if waiting == 1 {
                "1 thing needs a look.".to_owned()
            } else {
                format!("{waiting} things need a look.")
            },
            if status.ready {
                ""
            } else {
                " It cannot do its work at the moment."
            }
        )
    };
    if let Some(freeze) = &status.freeze {
        let until = freeze.until.map_or_else(
            || "until <code>thaw</code>".to_owned(),
            |until| format!("until {}", time(until, status.at)),
        );
        let _ = write!(
            out,
            "<p class=\"b bad\"><strong>Frozen</strong> {until}: {}. Nothing is deleted.</p>",
            text(&freeze.reason)
        );
    }
}

/// What the guard held back in the last run of each policy.
fn refusals(status: &Status) -> Vec<(&str, &Refusal)> {
    let mut found = Vec::new();
    for (policy, report) in &status.reports {
        let own = report.policies.iter().filter(|part| part.policy == *policy);
        found.extend(
            own.flat_map(|part| &part.refusals)
                .map(|refusal| (policy.as_str(), refusal)),
        );
    }
    found
}

fn attention(out: &mut String, status: &Status) {
    let refused = refusals(status);
    // The guard's are said below, with what lifts them.
    let explained = |policy: &Option<crate::retention::PolicyName>| {
        policy
            .as_ref()
            .is_some_and(|name| refused.iter().any(|(of, _)| *of == name.as_str()))
    };
    let problems = status
        .problems
        .iter()
        .filter(|problem| problem.about != "guard" || !explained(&problem.policy));
    let mut said = String::new();
    for problem in problems {
        let whose = problem
            .policy
            .as_ref()
            .map_or_else(String::new, |policy| format!(" of {}", text(policy.as_str())));
        let _ = write!(
            said,
            "<li><strong>{}{whose}</strong>: {}</li>",
            text(problem.about),
            text(&problem.message)
        );
    }
    for (policy, refusal) in &refused {
        let (is_command, help) = remedy(refusal, policy, &program(status));
        let help = if is_command {
            format!("<code>{}</code>", text(&help))
        } else {
            text(&help)
        };
        let _ = write!(
            said,
            "<li><strong>refused by {}, policy {}</strong>: {}<br>To let it pass: {help}</li>",
            refusal.limit(),
            text(policy),
            text(&refusal.to_string())
        );
    }
    if !status.config.last_reload_ok {
        let listed = status
            .config
            .problems
            .iter()
            .fold(String::new(), |list, problem| list + "<li>" + &text(problem) + "</li>");
        let _ = write!(
            said,
            "<li><strong>configuration</strong>: the files have changed, and what is in them now is not in force, because of:<ul>{listed}</ul></li>"
        );
    }
    if !said.is_empty() {
        let _ = write!(
            out,
            "<section aria-labelledby=\"look\"><h2 id=\"look\">Needs a look</h2><ul>{said}</ul></section>"
        );
    }
}

fn program(status: &Status) -> String {
    let path = status.config.path.to_string_lossy();
    if path == DEFAULT_CONFIG {
        "rds-retentiond".to_owned()
    } else {
        format!("rds-retentiond --config {}", shell(&path))
    }
}

/// A table that scrolls by itself on a narrow screen, also by keyboard.
fn table(out: &mut String, label: &str, columns: &[(&str, bool)]) {
    let _ = write!(
        out,
        "<div class=\"s\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><table><thead><tr>"
    );
    for (title, right) in columns {
        let _ = write!(
            out,
            "<th scope=\"col\"{}>{title}",
            if *right { " class=\"n\"" } else { "" }
        );
    }
    out.push_str("</thead><tbody>");
}

const END_OF_TABLE: &str = "</tbody></table></div>";

fn policies(out: &mut String, status: &Status) {
    let columns = [
        ("Policy", false),
        ("Mode", false),
        ("Next run (UTC)", false),
        ("Last run (UTC)", false),
        ("Result", false),
        ("Verdict", false),
        ("Keep", true),
        ("Wait", true),
        ("Delete", true),
    ];
    table(out, "Table of policies", &columns);
    for policy in &status.policies {
        let last = policy.last_run.as_ref();
        let counts = last.and_then(|run| run.summary);
        let of = |pick: fn(&Counts) -> u64| {
            counts
                .as_ref()
                .map_or_else(|| "-".to_owned(), |counts| number(pick(counts)))
        };
        let schedule = policy
            .schedule
            .as_deref()
            .map_or_else(|| "no schedule".to_owned(), text);
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}<br><span class=\"d\">{schedule}, {}</span><td>{}<td>{}<td>{}<td>{}<td>{}<td class=\"n\">{}<td class=\"n\">{}<td class=\"n\">{}",
            text(policy.policy.as_str()),
            text(policy.timezone),
            policy.mode,
            next_run(policy, status),
            last.map_or_else(|| "none yet".to_owned(), |run| time(run.finished_at, status.at)),
            last.map_or_else(|| "-".to_owned(), |run| text(&run.result)),
            last.map_or_else(
                || "-".to_owned(),
                |run| match &run.refusal {
                    Some(refusal) => format!("refused: {}", text(&refusal.limit)),
                    None => run.verdict.to_owned(),
                }
            ),
            of(|counts| counts.keep),
            of(|counts| counts.wait),
            of(|counts| counts.delete),
        );
    }
    out.push_str(END_OF_TABLE);
    if let Some(unmanaged) = status.unmanaged.filter(|unmanaged| *unmanaged > 0) {
        let _ = write!(
            out,
            "<p class=\"d\">No policy selects {} of the instances; nothing of theirs is ever deleted.</p>",
            number(unmanaged)
        );
    }
}

fn next_run(policy: &PolicyStatus, status: &Status) -> String {
    if let Some(since) = policy.running_since {
        return format!("running since {}", time(since, status.at));
    }
    let at = policy.next_run.map(|at| time(at, status.at));
    match (at, policy.waiting) {
        (_, true) => "due, waits for its turn".to_owned(),
        (Some(at), false) => at,
        (None, false) => "only by <code>apply</code>".to_owned(),
    }
}

fn holds(out: &mut String, status: &Status) {
    if status.holds.is_empty() {
        out.push_str("<p>None.</p>");
        return;
    }
    let columns = [
        ("Holds", false),
        ("Reason", false),
        ("Owner", false),
        ("Until (UTC)", false),
        ("Placed", false),
    ];
    table(out, "Table of holds", &columns);
    for hold in &status.holds {
        let what = match &hold.target {
            HoldTarget::Backup(id) => format!("backup {}", text(id.as_str())),
            HoldTarget::Matching { instance, name } => {
                let name = name.as_ref().map(|name| format!("named {}", text(name.as_str())));
                let instance = instance
                    .as_ref()
                    .map(|id| format!("of instances {}", text(id.as_str())));
                let parts: Vec<String> = name.into_iter().chain(instance).collect();
                format!("backups {}", parts.join(" "))
            }
        };
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{what}<td>{}<td>{}<td>{}<td>{}",
            text(&hold.reason),
            hold.owner.as_deref().map_or_else(|| "-".to_owned(), text),
            hold.until
                .map_or_else(|| "released".to_owned(), |until| time(until, status.at)),
            hold.id.as_deref().map_or_else(
                || "in the configuration".to_owned(),
                |id| format!("by command, {}", text(id))
            ),
        );
    }
    out.push_str(END_OF_TABLE);
}

fn footer(out: &mut String, status: &Status) {
    let sha256 = status.config.sha256.get(..12).unwrap_or(&status.config.sha256);
    let _ = write!(
        out,
        "<footer><p>Version {}, running since {}. Configuration {} ({}), in force since {}.</p>\
         <p>As of {}. <a href=\"/api/v1/status\">The same as JSON</a> · <a href=\"/metrics\">Metrics</a></p></footer>",
        text(status.version),
        time(status.started_at, status.at),
        text(&status.config.path.to_string_lossy()),
        text(sha256),
        time(status.config.loaded_at, status.at),
        time(status.at, status.at),
    );
}

#[cfg(test)]
#[path = "page/tests.rs"]
mod tests;
