//! The report as one self-contained page: figures, and a picture of what happened when.
//!
//! No script and no request to anywhere: the page can be mailed, archived and printed.

use std::fmt::Write as _;
use std::time::Duration;

use redial_lab::HostId;

use super::clock::millis;
use super::report::{ClientReport, Report, SLICE, Timeline, Verdict};
use super::stage::MarkKind;
use super::summary::human;

const STYLE: &str = include_str!("html.css");

/// The picture's measures, in units of its view box.
const WIDTH: f64 = 1000.0;
const LEFT: f64 = 88.0;
const RIGHT: f64 = 12.0;
const BARS_TOP: f64 = 16.0;
const BARS_HEIGHT: f64 = 190.0;
const BAND_HEIGHT: f64 = 20.0;
const BAND_GAP: f64 = 8.0;

/// The page on one or more drills.
pub(crate) fn page(reports: &[Report]) -> String {
    let mut page =
        String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
    let title = match reports {
        [one] => format!("redial drill {} · {}", one.setting().drill, one.setting().client),
        _ => "redial drill".to_owned(),
    };
    // Writing to a String cannot fail, here and below.
    let _ = write!(page, "<title>{}</title><style>{STYLE}</style></head><body>", escape(&title));
    for report in reports {
        section(&mut page, report);
    }
    page.push_str("</body></html>\n");
    page
}

fn section(page: &mut String, report: &Report) {
    let setting = report.setting();
    let (class, word) = match report.verdict() {
        Verdict::Pass => ("pass", "Pass"),
        Verdict::Fail => ("fail", "Fail"),
        Verdict::Unable => ("", "Not able"),
    };
    let variant = setting.variant.map(|v| format!(" ({v})")).unwrap_or_default();
    let _ = write!(
        page,
        "<section><h1><span class=\"verdict {class}\">{word}</span> {}{variant}</h1>\
         <p class=\"sub\">{} on {}{} · round trip {} · endpoint by {}</p>",
        setting.drill,
        escape(&setting.client),
        escape(&setting.server),
        if setting.tls { " over TLS" } else { "" },
        human(setting.rtt_ms),
        setting.endpoint
    );
    if !report.reasons().is_empty() {
        page.push_str("<ul class=\"reasons\">");
        for reason in report.reasons() {
            let _ = write!(page, "<li>{}</li>", escape(reason));
        }
        page.push_str("</ul>");
    }
    if let Some(warning) = setting.warning() {
        let _ = write!(page, "<p class=\"sub\">{}</p>", escape(&warning));
    }
    if !matches!(report, Report::Unable(_)) {
        figures(page, report);
        picture(page, report.timeline());
        story(page, report.timeline());
    }
    if let Report::Client(report) = report {
        details(page, report);
    }
    page.push_str("</section>");
}

fn figures(page: &mut String, report: &Report) {
    page.push_str("<dl class=\"figures\">");
    let mut figure = |value: String, name: &str, bad: bool| {
        let class = if bad { " class=\"bad\"" } else { "" };
        let _ = write!(page, "<div{class}><dt>{name}</dt><dd>{}</dd></div>", escape(&value));
    };
    let recovery = |ms: Option<f64>, switches: usize| match (ms, switches) {
        (_, 0) => "–".to_owned(),
        (None, _) => "never".to_owned(),
        (Some(ms), _) => human(ms),
    };
    match report {
        Report::Client(r) => {
            let never = !r.switches.is_empty() && r.recovery_ms.is_none();
            figure(recovery(r.recovery_ms, r.switches.len()), "recovery", never);
            figure(human(r.longest_stall_ms), "longest stall", false);
            figure(human(r.longest_command_ms), "longest command", false);
            figure(r.commands.to_string(), "commands", false);
            figure(r.errors.total.to_string(), "errors", false);
            figure(r.never_settled.to_string(), "never answered", r.never_settled > 0);
            figure(r.applied_twice.to_string(), "ran twice", r.applied_twice > 0);
            let lied = r.failed_but_applied;
            figure(lied.to_string(), "failed yet applied", lied > 0);
            figure(r.acked_but_lost.to_string(), "acknowledged yet lost", r.acked_but_lost > 0);
            figure(r.connections_lost.to_string(), "connections given up", false);
        }
        Report::Program(r) => {
            let never = !r.switches.is_empty() && r.recovery_ms.is_none();
            figure(recovery(r.recovery_ms, r.switches.len()), "commands again after", never);
            figure(human(r.longest_stall_ms), "longest silence", false);
            figure(r.commands.to_string(), "commands", false);
            figure(r.connections.to_string(), "connections", false);
        }
        Report::Unable(_) => {}
    }
    page.push_str("</dl>");
}

/// Where a moment lies on the picture.
struct Scale {
    end: f64,
}

impl Scale {
    fn x(&self, at: Duration) -> f64 {
        let share = (at.as_secs_f64() / self.end).clamp(0.0, 1.0);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }
}

fn picture(page: &mut String, timeline: &Timeline) {
    let scale = Scale { end: timeline.end.as_secs_f64().max(0.001) };
    let bands = if timeline.changes.is_empty() { 1.0 } else { 2.0 };
    let floor = BARS_TOP + BARS_HEIGHT;
    let bottom = floor + 26.0 + bands * (BAND_HEIGHT + BAND_GAP);
    let _ = write!(
        page,
        "<figure><svg viewBox=\"0 0 {WIDTH} {bottom}\" role=\"img\" aria-label=\"Commands per \
         {} ms by outcome, the client's connection and the endpoint over time\">",
        SLICE.as_millis()
    );
    axis(page, &scale, floor, timeline.end);
    bars(page, &scale, timeline);
    let mut top = floor + 26.0;
    if !timeline.changes.is_empty() {
        connection_band(page, &scale, timeline, top);
        top += BAND_HEIGHT + BAND_GAP;
    }
    endpoint_band(page, &scale, timeline, top);
    marks(page, &scale, timeline, bottom - BAND_GAP);
    page.push_str("</svg><figcaption>");
    let _ = write!(page, "Commands per {} ms: ", SLICE.as_millis());
    for (class, name) in [
        ("ok", "succeeded"),
        ("ambiguous", "failed, may have run"),
        ("refused", "failed, had no effect"),
        ("unsettled", "issued and never answered"),
    ] {
        let _ = write!(page, "<span class=\"key\"><i class=\"{class}\"></i>{name}</span>");
    }
    page.push_str("</figcaption></figure>");
}

fn axis(page: &mut String, scale: &Scale, floor: f64, end: Duration) {
    let seconds = end.as_secs();
    let step = [1, 2, 5, 10, 30, 60, 300].into_iter().find(|step| seconds / step <= 16);
    for second in (0..=seconds).step_by(usize::try_from(step.unwrap_or(600)).unwrap_or(1)) {
        let x = scale.x(Duration::from_secs(second));
        let _ = write!(
            page,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BARS_TOP}\" y2=\"{floor}\"/>\
             <text class=\"tick\" x=\"{x:.1}\" y=\"{:.1}\">{second} s</text>",
            floor + 16.0
        );
    }
}

fn bars(page: &mut String, scale: &Scale, timeline: &Timeline) {
    let of = |slice: &super::metrics::Slice| {
        [
            ("ok", slice.succeeded),
            ("ambiguous", slice.ambiguous),
            ("refused", slice.refused),
            ("unsettled", slice.unsettled),
        ]
    };
    let total = |slice| of(slice).iter().map(|(_, n)| *n).sum::<u32>();
    let highest = f64::from(timeline.slices.iter().map(total).max().unwrap_or(0).max(1));
    let floor = BARS_TOP + BARS_HEIGHT;
    let _ = write!(
        page,
        "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{highest:.0}</text>\
         <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">0</text>",
        LEFT - 8.0,
        BARS_TOP + 9.0,
        LEFT - 8.0,
        floor
    );
    let width = scale.x(SLICE) - scale.x(Duration::ZERO);
    for (index, slice) in timeline.slices.iter().enumerate() {
        let at = SLICE * u32::try_from(index).unwrap_or(u32::MAX);
        let mut y = floor;
        for (class, count) in of(slice) {
            if count == 0 {
                continue;
            }
            // What is rare is what matters: it is never too low to be seen.
            let least = if class == "ok" { 0.5 } else { 4.0 };
            let height = (f64::from(count) / highest * BARS_HEIGHT).max(least);
            y -= height;
            let _ = write!(
                page,
                "<rect class=\"{class}\" x=\"{:.2}\" y=\"{:.2}\" width=\"{:.2}\" height=\"{height:.2}\">\
                 <title>{:.2} s: {count} {class}</title></rect>",
                scale.x(at),
                y.max(BARS_TOP),
                (width * 0.92).max(0.6),
                at.as_secs_f64()
            );
        }
    }
}

/// One stretch of a band, with its word in it where it fits.
fn stretch(
    page: &mut String,
    scale: &Scale,
    from: Duration,
    to: Duration,
    top: f64,
    what: &str,
    class: &str,
) {
    let (x, end) = (scale.x(from), scale.x(to));
    let width = (end - x).max(1.0);
    let _ = write!(
        page,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" \
         height=\"{BAND_HEIGHT}\"><title>{what}: {:.3} s to {:.3} s</title></rect>",
        from.as_secs_f64(),
        to.as_secs_f64()
    );
    if width > 7.0 * what.len() as f64 + 6.0 {
        let _ = write!(
            page,
            "<text class=\"in\" x=\"{:.1}\" y=\"{:.1}\">{what}</text>",
            x + 5.0,
            top + BAND_HEIGHT - 6.0
        );
    }
}

fn band_label(page: &mut String, top: f64, text: &str) {
    let _ = write!(
        page,
        "<text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{text}</text>",
        LEFT - 8.0,
        top + BAND_HEIGHT - 6.0
    );
}

fn connection_band(page: &mut String, scale: &Scale, timeline: &Timeline, top: f64) {
    band_label(page, top, "connection");
    let states: Vec<_> = timeline.changes.iter().filter(|change| change.is_state()).collect();
    for (index, change) in states.iter().enumerate() {
        let until = states.get(index + 1).map_or(timeline.end, |next| next.at);
        let class = match change.state.as_str() {
            "ready" => "state ready",
            "suspect" => "state suspect",
            "connecting" | "connect" | "wait" => "state dialing",
            _ => "state gone",
        };
        stretch(page, scale, change.at, until, top, &change.state, class);
    }
    for event in timeline.changes.iter().filter(|change| !change.is_state()) {
        let _ = write!(
            page,
            "<circle class=\"event\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"><title>{} {} at {:.3} s\
             </title></circle>",
            scale.x(event.at),
            top + BAND_HEIGHT + BAND_GAP / 2.0,
            escape(&event.state),
            escape(&event.detail),
            event.at.as_secs_f64()
        );
    }
}

fn endpoint_band(page: &mut String, scale: &Scale, timeline: &Timeline, top: f64) {
    band_label(page, top, "endpoint");
    let led = &timeline.story.endpoint;
    for (index, (from, host)) in led.iter().enumerate() {
        let until = led.get(index + 1).map_or(timeline.end, |next| next.0);
        let (word, class) = match host {
            Some(HostId::A) => ("leads to A".to_owned(), "state host-a"),
            Some(other) => (format!("leads to {other}"), "state host-b"),
            None => ("leads nowhere".to_owned(), "state gone"),
        };
        stretch(page, scale, *from, until, top, &word, class);
    }
}

fn marks(page: &mut String, scale: &Scale, timeline: &Timeline, bottom: f64) {
    for (index, mark) in timeline.story.marks.iter().enumerate() {
        let class = match mark.kind {
            MarkKind::Fault => "mark fault",
            MarkKind::Accepting => "mark accepting",
            MarkKind::Step => "mark step",
        };
        let x = scale.x(mark.at);
        let _ = write!(
            page,
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BARS_TOP}\" y2=\"{bottom:.1}\">\
             <title>{}</title></line><text class=\"number {class}\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            escape(&mark.text),
            BARS_TOP - 4.0,
            index + 1
        );
    }
}

fn story(page: &mut String, timeline: &Timeline) {
    page.push_str("<ol class=\"story\">");
    for mark in &timeline.story.marks {
        let kind = match mark.kind {
            MarkKind::Fault => "fault",
            MarkKind::Accepting => "accepting",
            MarkKind::Step => "step",
        };
        let _ = write!(
            page,
            "<li class=\"{kind}\"><span>{:.2} s</span> {}</li>",
            mark.at.as_secs_f64(),
            escape(&mark.text)
        );
    }
    page.push_str("</ol>");
}

fn details(page: &mut String, report: &ClientReport) {
    if report.errors.total > 0 {
        page.push_str("<h2>Errors</h2><table><tr><th>kind<th>count<th>as the client words it</tr>");
        for (kind, count) in &report.errors.by_kind {
            let sample = report.errors.samples.get(kind).map_or("", String::as_str);
            let (kind, sample) = (escape(kind), escape(sample));
            let _ = write!(page, "<tr><td>{kind}<td class=\"n\">{count}<td>{sample}</tr>");
        }
        page.push_str("</table>");
        let claims: Vec<String> =
            report.errors.by_delivery.iter().map(|(claim, n)| format!("{n} {claim}")).collect();
        let _ = write!(page, "<p>Told to the callers: {}.</p>", escape(&claims.join(", ")));
    }
    if !report.examples.is_empty() {
        page.push_str("<h2>In the servers' data</h2><ul>");
        for example in &report.examples {
            let _ = write!(page, "<li>{}</li>", escape(example));
        }
        page.push_str("</ul>");
    }
    if !report.watchers.is_empty() {
        page.push_str("<h2>Clients that send nothing</h2><table><tr><th>client<th>noticed after<th>back after</tr>");
        let ms = |ms: Option<f64>| ms.map_or_else(|| "never".to_owned(), human);
        for watched in &report.watchers {
            let kind = format!("{:?}", watched.kind).to_lowercase();
            let (noticed, back) = (ms(watched.noticed_ms), ms(watched.replaced_ms));
            let _ =
                write!(page, "<tr><td>{kind}<td class=\"n\">{noticed}<td class=\"n\">{back}</tr>");
        }
        page.push_str("</table>");
    }
    if let Some(others) = &report.other_slots {
        let _ = write!(
            page,
            "<p>The {} callers of other slots had {} errors; those of one primary stood still for {} at \
             most, a command of theirs took {}.</p>",
            others.callers,
            others.errors,
            human(others.longest_stall_ms),
            human(others.longest_command_ms)
        );
    }
    if let Some(storm) = &report.storm {
        let _ = write!(
            page,
            "<p>{} clients in {} processes connected {} times, {} in the worst second, with {} handshakes, \
             {} in the worst second.</p>",
            storm.clients,
            storm.processes,
            storm.connects,
            storm.peak_connects_per_second,
            storm.handshakes,
            storm.peak_handshakes_per_second
        );
    }
    if let Some(listened) = &report.listened {
        let _ = write!(
            page,
            "<p>As a listener the client heard {} of {} messages, {} of them twice; of {} that it missed it \
             told nothing of {}.</p>",
            listened.heard,
            listened.published,
            listened.heard_twice,
            listened.missed,
            listened.missed_silently
        );
    }
    if report.switches.len() > 1 {
        page.push_str("<h2>Switches</h2><table><tr><th>at<th>first write<th>every caller</tr>");
        let ms = |ms: Option<f64>| ms.map_or_else(|| "never".to_owned(), human);
        for switch in &report.switches {
            let (at, first) = (human(switch.at_ms), ms(switch.recovery_ms));
            let all = ms(switch.all_recovered_ms);
            let _ = write!(
                page,
                "<tr><td class=\"n\">{at}<td class=\"n\">{first}<td class=\"n\">{all}</tr>"
            );
        }
        page.push_str("</table>");
    }
    let _ = write!(
        page,
        "<p class=\"sub\">{} callers in closed loops; the load ended after {}. The verdict is drawn \
         from the servers' own data.</p>",
        report.callers,
        human(millis(report.timeline.end))
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_cannot_become_markup() {
        assert_eq!(escape("<b>\"&\"</b>"), "&lt;b&gt;&quot;&amp;&quot;&lt;/b&gt;");
    }

    #[test]
    fn moments_beyond_the_end_stay_inside_the_picture() {
        let scale = Scale { end: 10.0 };
        assert_eq!(scale.x(Duration::from_secs(99)), WIDTH - RIGHT);
        assert_eq!(scale.x(Duration::ZERO), LEFT);
    }
}
