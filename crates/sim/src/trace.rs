//! What happened, line by line with its virtual time; nothing is formatted unless somebody wants to read it.

/// The lines of one run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(wanted: bool) -> Self {
        Self { lines: wanted.then(Vec::new) }
    }

    pub(crate) fn note(&mut self, now: u64, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            let since = now.saturating_sub(crate::world::START);
            lines.push(format!("{:>4}.{:06} {}", since / 1_000_000, since % 1_000_000, text()));
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
