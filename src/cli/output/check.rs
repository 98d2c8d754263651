//! What `check` found, in words.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::theme::{BOLD, Theme};
use super::wrap::paragraph;
use crate::config::Problem;
use crate::notify::TestedTarget;
use crate::operations::check::{Checked, ReachedProject};
use crate::retention::PolicyName;
use crate::wording::numbers::count;
use crate::wording::sanitize::clean;
use crate::wording::times::moment;

/// Draws what was found; `strict`: warnings are errors.
pub(in crate::cli) fn draw(out: &mut dyn Write, theme: &Theme, checked: &Checked, strict: bool) -> io::Result<()> {
    draw_policies(out, theme, checked)?;
    for warning in &checked.warnings {
        writeln!(out)?;
        draw_warning(out, theme, warning)?;
    }
    for notice in &checked.notices {
        paragraph(out, theme, 0, 2, Style::new(), &format!("note: {}", clean(notice)))?;
    }
    for project in &checked.projects {
        writeln!(out)?;
        draw_project(out, theme, project)?;
    }
    if let Some(tested) = &checked.notify {
        draw_tested_targets(out, theme, tested)?;
    }
    let warnings = checked.warnings();
    if warnings > 0 {
        let are = if strict { ", which --strict makes errors" } else { "" };
        let text = format!("\n{}{are}.", counted(warnings, "warning", "warnings"));
        writeln!(out, "{}", theme.paint(BOLD, &text))?;
    }
    Ok(())
}

/// As the configuration's problems are shown, but wrapped; the snippet stays as it is, for a pointer stands under it.
fn draw_warning(out: &mut dyn Write, theme: &Theme, warning: &Problem) -> io::Result<()> {
    let style = AnsiColor::Yellow.on_default();
    let text = warning.to_string();
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    paragraph(out, theme, 0, 2, style, &format!("warning: {head}"))?;
    for line in lines {
        match line.strip_prefix("  help: ") {
            Some(help) => paragraph(out, theme, 2, 6, Style::new(), &format!("help: {help}"))?,
            None => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

fn draw_policies(out: &mut dyn Write, theme: &Theme, checked: &Checked) -> io::Result<()> {
    let sha256 = checked.sha256.as_deref().unwrap_or_default();
    let projects = checked.configured_projects;
    writeln!(
        out,
        "{}: {}: {}, {} (sha256 {})",
        clean(&checked.config),
        theme.paint(AnsiColor::Green.on_default(), "OK"),
        counted(checked.policies.len(), "policy", "policies"),
        counted(projects, "project", "projects"),
        sha256.get(..12).unwrap_or(sha256),
    )?;
    for policy in &checked.policies {
        let zone = &policy.timezone;
        let next = match (policy.has_schedule, policy.next_run) {
            (false, _) => "no schedule: runs by `apply` only".to_owned(),
            (true, None) => "next never".to_owned(),
            (true, Some(at)) => format!("next {}", moment(at, *zone)),
        };
        let text = format!(
            "{}: {}, keeps by {}, grace {}, {next} ({zone})",
            policy.policy,
            policy.mode.as_str(),
            policy.rules.join(" "),
            policy.grace,
        );
        paragraph(out, theme, 2, 2, Style::new(), &text)?;
    }
    if let Some(zones) = &checked.zones {
        let text = format!("time zone rules: {zones}");
        paragraph(out, theme, 2, 2, Style::new(), &text)?;
    }
    // Some take it for protection.
    for policy in checked.policies.iter().filter(|policy| policy.excludes_backups) {
        let text = format!(
            "note: `backups.exclude_names` of {} only takes them out of its own scope; it keeps no other policy from \
             deleting them (a hold does, or `keep.names`)",
            policy.policy
        );
        paragraph(out, theme, 2, 2, Style::new(), &text)?;
    }
    Ok(())
}

fn draw_project(out: &mut dyn Write, theme: &Theme, project: &ReachedProject) -> io::Result<()> {
    let name = &project.project;
    let say = |out: &mut dyn Write, indent, style, text: &str| paragraph(out, theme, indent, 2, style, text);
    let found = match &project.found {
        Ok(found) => found,
        Err(error) => {
            let text = format!("project {name}: FAILED: {}", clean(&error.chain()));
            return say(out, 0, AnsiColor::Red.on_default(), &text);
        }
    };
    let text = format!(
        "project {name}: reached; may list instances{}; {} of the selected engines, {} of them covered by several policies, {} by none",
        if found.instances == 0 { "" } else { " and backups" },
        counted(found.instances, "instance", "instances"),
        found.overlaps.iter().map(|overlap| overlap.instances).sum::<u64>(),
        found.unmanaged.len(),
    );
    say(out, 0, Style::new(), &text)?;
    say(
        out,
        2,
        Style::new(),
        "delete permission (rds:backup:delete) cannot be tested in advance",
    )?;
    let warning =
        |out: &mut dyn Write, text: &str| say(out, 2, AnsiColor::Yellow.on_default(), &format!("warning: {text}"));
    if let Some(clock) = &found.clock {
        warning(out, clock)?;
    }
    for overlap in &found.overlaps {
        let names: Vec<&str> = overlap.policies.iter().map(PolicyName::as_str).collect();
        let instances = count(overlap.instances, "instance");
        let text = format!(
            "{} overlap on {instances}: a backup goes only if every one of them lets it go",
            names.join(" and ")
        );
        warning(out, &text)?;
    }
    for instance in &found.unmanaged {
        let (name, id) = (clean(&instance.name), clean(instance.id.as_str()));
        warning(out, &format!("no policy covers {name} ({id})"))?;
    }
    Ok(())
}

/// A line for each target; of its URL only scheme and host.
fn draw_tested_targets(out: &mut dyn Write, theme: &Theme, tested: &[TestedTarget]) -> io::Result<()> {
    writeln!(out)?;
    if tested.is_empty() {
        let text = "notify: the configuration has no target, so no test message was sent";
        return paragraph(out, theme, 0, 2, Style::new(), text);
    }
    for target in tested {
        let host = target
            .host
            .as_ref()
            .map_or_else(String::new, |host| format!(" {}", clean(host)));
        let start = format!("#{} {}{host}", target.target, target.format.as_str());
        match (&target.error, target.status) {
            (None, Some(status)) => paragraph(out, theme, 0, 2, Style::new(), &format!("{start}: {status}"))?,
            (error, _) => {
                let why = clean(error.as_deref().unwrap_or("no answer"));
                paragraph(
                    out,
                    theme,
                    0,
                    2,
                    AnsiColor::Red.on_default(),
                    &format!("{start}: FAILED: {why}"),
                )?;
            }
        }
    }
    Ok(())
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
