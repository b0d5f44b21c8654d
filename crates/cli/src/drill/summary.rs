//! The report as a person reads it in a terminal: the verdict first, then what it rests on.

use std::fmt::Write as _;

use super::report::{ClientReport, ProgramReport, Report, Verdict};

struct Paint {
    on: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    /// Red if it is a finding, else plain.
    fn finding(&self, text: &str, bad: bool) -> String {
        if bad { self.with("31;1", text) } else { text.to_owned() }
    }

    fn verdict(&self, verdict: Verdict) -> String {
        match verdict {
            Verdict::Pass => self.with("32;1", "PASS"),
            Verdict::Fail => self.with("31;1", "FAIL"),
            Verdict::Unable => self.with("33;1", "----"),
        }
    }
}

/// A duration in milliseconds as people say it.
pub(crate) fn human(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.2} s", ms / 1000.0)
    }
}

fn human_or(ms: Option<f64>, none: &str) -> String {
    ms.map_or_else(|| none.to_owned(), human)
}

/// The summary of one drill, with a line end.
pub(crate) fn text(report: &Report, colour: bool) -> String {
    let paint = Paint { on: colour };
    let setting = report.setting();
    let mut text = String::new();
    let variant = setting.variant.map(|v| format!(" ({v})")).unwrap_or_default();
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        text,
        "\n{}  {}{variant} · {} on {}{} · rtt {}",
        paint.verdict(report.verdict()),
        paint.bold(setting.drill),
        paint.bold(&setting.client),
        setting.server,
        if setting.tls { " over TLS" } else { "" },
        human(setting.rtt_ms)
    );
    for reason in report.reasons() {
        let _ = writeln!(text, "      {} {reason}", paint.with("31", "✗"));
    }
    if let Some(warning) = setting.warning() {
        let _ = writeln!(text, "      {} {warning}", paint.with("33", "!"));
    }
    match report {
        Report::Client(report) => client(&mut text, report, &paint),
        Report::Program(report) => program(&mut text, report),
        Report::Unable(_) => {}
    }
    text
}

fn row(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<20} {value}");
}

fn client(text: &mut String, report: &ClientReport, paint: &Paint) {
    for (index, switch) in report.switches.iter().enumerate() {
        let name = match report.switches.len() {
            1 => "recovery".to_owned(),
            _ => format!("recovery {}", index + 1),
        };
        let value = format!(
            "{} to the first write, {} to every caller's",
            human_or(switch.recovery_ms, "never"),
            human_or(switch.all_recovered_ms, "never")
        );
        row(text, &name, &paint.finding(&value, switch.all_recovered_ms.is_none()));
    }
    row(
        text,
        "longest",
        &format!(
            "{} without any success, {} for one command",
            human(report.longest_stall_ms),
            human(report.longest_command_ms)
        ),
    );
    let settled = format!("{} issued, {} never answered", report.commands, report.never_settled);
    row(text, "commands", &paint.finding(&settled, report.never_settled > 0));
    row(text, "errors", &errors(report));
    let wrong = [
        (report.applied_twice, "ran twice"),
        (report.failed_but_applied, "failed yet applied"),
        (report.acked_but_lost, "acknowledged yet lost"),
        (report.order_violations, "out of order"),
        (report.wrong_replies, "wrong replies"),
    ];
    let words: Vec<String> = wrong
        .iter()
        .map(|(count, what)| paint.finding(&format!("{count} {what}"), *count > 0))
        .collect();
    row(text, "servers' data", &words.join(", "));
    for example in &report.examples {
        let _ = writeln!(text, "  {:<20} {}", "", paint.with("2", example));
    }
    let connections =
        format!("{} given up, {} further dials", report.connections_lost, report.probes);
    row(text, "connections", &connections);
    if let Some(listened) = &report.listened {
        let back: Vec<_> = listened.back_ms.iter().map(|ms| human_or(*ms, "never")).collect();
        let value = format!(
            "{} of {} messages, {} twice, {} missed, {} of them silently; back after {}",
            listened.heard,
            listened.published,
            listened.heard_twice,
            listened.missed,
            listened.missed_silently,
            if back.is_empty() { "–".to_owned() } else { back.join(", ") }
        );
        let is_bad = listened.heard_twice > 0 || listened.missed_silently > 0;
        row(text, "listener", &paint.finding(&value, is_bad));
    }
    if let Some(storm) = &report.storm {
        let value = format!(
            "{} by {} clients in {} processes, {} in the worst second",
            storm.connects, storm.clients, storm.processes, storm.peak_connects_per_second
        );
        row(text, "connects", &value);
        let value = format!(
            "{}, {} in the worst second",
            storm.handshakes, storm.peak_handshakes_per_second
        );
        row(text, "handshakes", &value);
    }
    if let Some(others) = &report.other_slots {
        let value = format!(
            "{} callers: {} errors, {} without any success at the worst primary, {} for one command",
            others.callers,
            others.errors,
            human(others.longest_stall_ms),
            human(others.longest_command_ms)
        );
        row(text, "other slots", &paint.finding(&value, others.errors > 0));
    }
    for watched in &report.watchers {
        let name = format!("{:?} client", watched.kind).to_lowercase();
        let value = format!(
            "noticed after {}, back after {}",
            human_or(watched.noticed_ms, "– (never)"),
            human_or(watched.replaced_ms, "– (never)")
        );
        row(text, &name, &paint.finding(&value, watched.replaced_ms.is_none()));
    }
}

fn errors(report: &ClientReport) -> String {
    if report.errors.total == 0 {
        return "none".to_owned();
    }
    let list = |counts: &std::collections::BTreeMap<String, u64>| {
        counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect::<Vec<_>>().join(", ")
    };
    format!(
        "{}: {} ({})",
        report.errors.total,
        list(&report.errors.by_kind),
        list(&report.errors.by_delivery)
    )
}

fn program(text: &mut String, report: &ProgramReport) {
    let stopped = human_or(report.stopped_ms, "–");
    row(text, "last command", &format!("{stopped} after the fault, before the longest silence"));
    for switch in &report.switches {
        let back = human_or(switch.recovery_ms, "never");
        row(text, "commands again", &format!("{back} after the endpoint accepted writes"));
    }
    row(text, "longest silence", &human(report.longest_stall_ms));
    let seen = format!("{} executed, on {} connections", report.commands, report.connections);
    row(text, "commands", &seen);
    if let Some(status) = &report.exited {
        row(text, "program", &format!("ended by itself, {status}"));
    }
}

/// One line a drill, after several.
pub(crate) fn table(reports: &[Report], colour: bool) -> String {
    let paint = Paint { on: colour };
    let mut text = format!(
        "\n      {:<26} {:>10} {:>8} {:>8} {:>7} {:>7} {:>7}\n",
        "drill", "recovery", "errors", "unsettl.", "twice", "f.b.a.", "lost"
    );
    for report in reports {
        let setting = report.setting();
        let name = match setting.variant {
            Some(variant) => format!("{} ({variant})", setting.drill),
            None => setting.drill.to_owned(),
        };
        let _ = write!(text, "{}  {name:<26} ", paint.verdict(report.verdict()));
        let _ = match report {
            Report::Client(r) => writeln!(
                text,
                "{:>10} {:>8} {:>8} {:>7} {:>7} {:>7}",
                recovery(r),
                r.errors.total,
                r.never_settled,
                r.applied_twice,
                r.failed_but_applied,
                r.acked_but_lost
            ),
            Report::Program(r) => writeln!(text, "{:>10}", human_or(r.recovery_ms, "never")),
            Report::Unable(_) => writeln!(text, "{:>10}", "not able"),
        };
    }
    text
}

fn recovery(report: &ClientReport) -> String {
    if report.switches.is_empty() {
        return "–".to_owned();
    }
    human_or(report.recovery_ms, "never")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        assert_eq!(human(1.234), "1.2 ms");
        assert_eq!(human(149.6), "150 ms");
        assert_eq!(human(938_000.0), "938.00 s");
    }
}
