//! What the rounds came to, and how it is printed: a table for people, Markdown for the documentation, JSON for programs.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use crate::clients::Name;
use crate::load::Cost;
use crate::worker::Flavor;
use crate::workload::Workload;

/// Everything that one invocation measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) server: String,
    pub(crate) value_size: usize,
    pub(crate) rounds: usize,
    pub(crate) seconds_per_round: f64,
    pub(crate) rows: Vec<Row>,
}

/// One client in one workload.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) workload: Workload,
    pub(crate) runtime: Flavor,
    pub(crate) client: Name,
    /// CPU time in µs per command; allocations per command in the workload `allocations`.
    pub(crate) cost: Spread,
    /// Commands a second, by the wall clock.
    pub(crate) throughput: Spread,
    /// Bytes allocated per command, in the workload `allocations`.
    pub(crate) allocated_bytes: Option<Spread>,
    /// Commands in each round.
    pub(crate) commands: usize,
}

/// Median, least and most over the rounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    fn of(costs: &[Cost], figure: impl Fn(&Cost) -> f64) -> Self {
        let mut figures: Vec<f64> = costs.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        let last = figures.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        Self { median, min: at(0), max: at(last) }
    }
}

impl Row {
    pub(crate) fn new(workload: Workload, runtime: Flavor, client: Name, costs: &[Cost]) -> Self {
        let counts = workload == Workload::Allocations;
        let cost = Spread::of(costs, |cost| {
            let total = if counts { cost.allocations as f64 } else { cost.cpu_ns as f64 / 1e3 };
            total / cost.commands as f64
        });
        Self {
            workload,
            runtime,
            client,
            cost,
            throughput: Spread::of(costs, |cost| {
                cost.commands as f64 / (cost.wall_ns as f64 / 1e9)
            }),
            allocated_bytes: counts.then(|| {
                Spread::of(costs, |cost| cost.allocated_bytes as f64 / cost.commands as f64)
            }),
            commands: costs.first().map_or(0, |cost| cost.commands),
        }
    }
}

impl Report {
    /// The rows of one workload on one runtime, with the best peer's median.
    fn groups(&self) -> Vec<(Workload, Flavor, Vec<&Row>, Option<f64>)> {
        let mut groups: Vec<(Workload, Flavor, Vec<&Row>, Option<f64>)> = Vec::new();
        for row in &self.rows {
            match groups.iter_mut().find(|group| (group.0, group.1) == (row.workload, row.runtime))
            {
                Some(group) => group.2.push(row),
                None => groups.push((row.workload, row.runtime, vec![row], None)),
            }
        }
        for (_, _, rows, best) in &mut groups {
            let peers = rows.iter().filter(|row| row.client.is_peer());
            *best = peers.map(|row| row.cost.median).reduce(f64::min);
        }
        groups
    }

    fn header(&self) -> String {
        format!(
            "{}; redis-server {}; values of {} bytes; {} rounds of {} s a client, interleaved; medians (least – most)",
            self.machine, self.server, self.value_size, self.rounds, self.seconds_per_round
        )
    }

    /// For a terminal: one line a client.
    pub(crate) fn table(&self) -> String {
        let mut out = self.header() + "\n";
        for (workload, runtime, rows, best) in self.groups() {
            let _ = writeln!(out, "\n{} – {runtime:?} runtime", workload.title());
            for row in rows {
                let ratio =
                    best.map_or_else(String::new, |best| format!("{:.2}", row.cost.median / best));
                let bytes = row
                    .allocated_bytes
                    .map_or_else(String::new, |bytes| format!("  {:.0} bytes", bytes.median));
                let _ = writeln!(
                    out,
                    "  {:<9} {:>9} ({} – {})  {ratio:>6} × best peer  {:>9.0} commands/s{bytes}",
                    row.client.text(),
                    figure(row.cost.median),
                    figure(row.cost.min),
                    figure(row.cost.max),
                    row.throughput.median,
                );
            }
        }
        out
    }

    /// For the documentation: a table a runtime, a column a client.
    pub(crate) fn markdown(&self) -> String {
        let clients: BTreeSet<Name> = self.rows.iter().map(|row| row.client).collect();
        let mut out = format!("{}.\n", self.header());
        for runtime in [Flavor::Current, Flavor::Multi] {
            let groups: Vec<_> =
                self.groups().into_iter().filter(|group| group.1 == runtime).collect();
            if groups.is_empty() {
                continue;
            }
            let title = match runtime {
                Flavor::Current => "current_thread",
                Flavor::Multi => "multi_thread",
            };
            let names: Vec<&str> = clients.iter().map(|client| client.text()).collect();
            let _ = writeln!(out, "\n`{title}` runtime:\n");
            let _ = writeln!(out, "| workload | {} |", names.join(" | "));
            let _ = writeln!(out, "|---|{}", "---|".repeat(names.len()));
            for (workload, _, rows, best) in groups {
                let cells: Vec<String> = clients
                    .iter()
                    .map(|client| {
                        let row = rows.iter().find(|row| row.client == *client);
                        row.map_or_else(|| "–".to_owned(), |row| cell(row, best))
                    })
                    .collect();
                let _ = writeln!(out, "| {} | {} |", workload.title(), cells.join(" | "));
            }
        }
        out
    }
}

/// Median, spread, and how it stands to the best peer.
fn cell(row: &Row, best: Option<f64>) -> String {
    let mut text = format!(
        "{} ({} – {})",
        figure(row.cost.median),
        figure(row.cost.min),
        figure(row.cost.max)
    );
    if let Some(best) = best {
        let _ = write!(text, ", {:.2} ×", row.cost.median / best);
    }
    text
}

/// Three digits that mean something.
fn figure(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(cpu_ns: u64) -> Cost {
        Cost { commands: 10, cpu_ns, wall_ns: 1_000_000, allocations: 20, allocated_bytes: 40 }
    }

    fn report(figures: &[(Name, &[u64])]) -> Report {
        let rows = figures.iter().map(|(client, cpu)| {
            let costs: Vec<Cost> = cpu.iter().copied().map(cost).collect();
            Row::new(Workload::Get64, Flavor::Current, *client, &costs)
        });
        Report {
            machine: "a machine".to_owned(),
            server: "7.0".to_owned(),
            value_size: 32,
            rounds: 3,
            seconds_per_round: 0.5,
            rows: rows.collect(),
        }
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of(&[cost(4), cost(1), cost(2), cost(10)], |cost| cost.cpu_ns as f64);
        assert_eq!((spread.median, spread.min, spread.max), (3.0, 1.0, 10.0));
    }

    #[test]
    fn ratios_are_to_the_best_peer_and_not_to_the_floor() {
        let report = report(&[
            (Name::Raw, &[1_000, 1_000, 1_000]),
            (Name::Fred, &[40_000, 90_000, 40_000]),
            (Name::Rustis, &[10_000, 20_000, 30_000]),
        ]);
        let markdown = report.markdown();
        assert!(markdown.contains("4.00 (4.00 – 9.00), 2.00 ×"), "{markdown}");
        assert!(markdown.contains("2.00 (1.00 – 3.00), 1.00 ×"), "{markdown}");
    }

    #[test]
    fn a_client_that_was_not_measured_leaves_its_cell_empty() {
        let mut report = report(&[(Name::Raw, &[1_000]), (Name::Fred, &[4_000])]);
        report.rows[0].runtime = Flavor::Multi;
        assert!(report.markdown().contains("| – | 0.40"), "{}", report.markdown());
    }

    #[test]
    fn allocations_are_counted_and_not_timed() {
        let row = Row::new(Workload::Allocations, Flavor::Current, Name::Fred, &[cost(7)]);
        assert_eq!(row.cost.median, 2.0);
        assert_eq!(row.allocated_bytes.map(|bytes| bytes.median), Some(4.0));
    }
}
