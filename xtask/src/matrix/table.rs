//! The table of commands and servers: out of the lines of runs, as text, and out of that text again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;

use anyhow::{Result, anyhow};

/// By group, command and method.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    servers: BTreeSet<String>,
    rows: BTreeMap<(String, String, String), Row>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Row {
    forms: String,
    /// By server.
    cells: BTreeMap<String, Cell>,
}

/// A word, and what is noted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    word: String,
    note: String,
}

/// What the test writes, and what it is in the table; the worse the later.
const WORDS: &[(&str, &str)] = &[("yes", "yes"), ("part", "partly"), ("no", "–"), ("error", "see")];

impl Table {
    /// Of what the test wrote: parted by tabs.
    pub(super) fn of(lines: &str) -> Result<Self> {
        let mut table = Self::default();
        for line in lines.lines() {
            let fields: Vec<_> = line.split('\t').collect();
            let &[server, _protocol, group, command, method, forms, word, note] = &*fields else {
                return Err(anyhow!("`{line}` is no line of the matrix"));
            };
            let outcome = WORDS.iter().find(|(known, _)| *known == word);
            let (_, word) = outcome.ok_or_else(|| anyhow!("`{word}` is no outcome"))?;
            let cell = Cell { word: (*word).to_owned(), note: note.to_owned() };
            table.servers.insert(server.to_owned());
            let key = (group.to_owned(), command.to_owned(), method.to_owned());
            let row = table.rows.entry(key).or_default();
            row.forms = forms.to_owned();
            // Of the two protocols the worse, or what has more to be noted.
            let rank = |cell: &Cell| {
                let place = WORDS.iter().position(|(_, known)| *known == cell.word);
                (place, cell.note.len())
            };
            let known = row.cells.entry(server.to_owned()).or_insert_with(|| cell.clone());
            if rank(&cell) > rank(known) {
                *known = cell;
            }
        }
        Ok(table)
    }

    /// Of the committed text; empty if there is none yet.
    pub(super) fn committed(file: &str) -> Result<Self> {
        Self::parse(&fs::read_to_string(file).unwrap_or_default())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut table = Self::default();
        let notes: Vec<_> =
            text.lines().skip_while(|line| *line != NOTES).filter_map(note).collect();
        let mut group = "";
        let mut servers = Vec::new();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                group = title;
            }
            let Some(line) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |"))
            else {
                continue;
            };
            let cells: Vec<_> = line.split(" | ").collect();
            let [command, method, forms, cells @ ..] = cells.as_slice() else { continue };
            if *command == "command" {
                servers = cells.to_vec();
                table.servers.extend(servers.iter().map(|server| (*server).to_owned()));
                continue;
            }
            let method = method.trim_matches('`');
            let key = (group.to_owned(), (*command).to_owned(), method.to_owned());
            let row = table.rows.entry(key).or_default();
            row.forms = (*forms).to_owned();
            for (server, cell) in servers.iter().zip(cells) {
                row.cells.insert((*server).to_owned(), Cell::parse(cell, &notes)?);
            }
        }
        Ok(table)
    }

    /// Servers that this one has and another has not.
    pub(super) fn servers_missing_in<'a>(&'a self, other: &Self) -> Vec<&'a str> {
        let missing = self.servers.iter().filter(|server| !other.servers.contains(*server));
        missing.map(String::as_str).collect()
    }

    /// What a run showed otherwise, on the servers that both have.
    pub(super) fn differences(&self, run: &Self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut keys: BTreeSet<_> = self.rows.keys().collect();
        keys.extend(run.rows.keys());
        for key in keys {
            let (_, command, method) = key;
            let (Some(said), Some(shown)) = (self.rows.get(key), run.rows.get(key)) else {
                wrong.push(format!("{command} ({method}) is only in one of them"));
                continue;
            };
            if said.forms != shown.forms {
                wrong.push(format!("{command} ({method}) has {} forms", shown.forms));
            }
            for (server, shown) in &shown.cells {
                if let Some(said) = said.cells.get(server)
                    && said != shown
                {
                    wrong.push(format!("{command} ({method}) on {server}: {shown}, not {said}"));
                }
            }
        }
        wrong
    }
}

impl Cell {
    fn parse(text: &str, notes: &[&str]) -> Result<Self> {
        let Some((word, number)) = text.split_once(" [") else {
            return Ok(Self { word: text.to_owned(), note: String::new() });
        };
        let number = number.trim_end_matches(']').parse::<usize>().ok();
        let note = number.and_then(|number| notes.get(number.checked_sub(1)?));
        let note = note.ok_or_else(|| anyhow!("`{text}` refers to no note"))?;
        Ok(Self { word: word.to_owned(), note: (*note).to_owned() })
    }
}

/// The text behind a number.
fn note(line: &str) -> Option<&str> {
    let (number, text) = line.split_once(". ")?;
    number.parse::<usize>().ok().map(|_| text)
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.word)?;
        if !self.note.is_empty() {
            write!(f, " ({})", self.note)?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        let mut notes: Vec<&str> = Vec::new();
        let mut title = "";
        for ((group, command, method), row) in &self.rows {
            if group != title {
                title = group;
                write!(f, "\n## {group}\n\n| command | method | forms |")?;
                self.servers.iter().try_for_each(|server| write!(f, " {server} |"))?;
                write!(f, "\n|---|---|--:|{}\n", ":-:|".repeat(self.servers.len()))?;
            }
            write!(f, "| {command} | `{method}` | {} |", row.forms)?;
            for server in &self.servers {
                let Some(Cell { word, note }) = row.cells.get(server) else {
                    write!(f, "  |")?;
                    continue;
                };
                let place = notes.iter().position(|known| *known == note);
                let number = match (note.as_str(), place) {
                    ("", _) => {
                        write!(f, " {word} |")?;
                        continue;
                    }
                    (_, Some(place)) => place + 1,
                    (note, None) => {
                        notes.push(note);
                        notes.len()
                    }
                };
                write!(f, " {word} [{number}] |")?;
            }
            writeln!(f)?;
        }
        write!(f, "\n{NOTES}\n\n")?;
        (1..).zip(&notes).try_for_each(|(number, note)| writeln!(f, "{number}. {note}"))
    }
}

const NOTES: &str = "## Notes";

const HEAD: &str = "\
# Typed commands on each server

Made by `cargo xtask matrix --write` out of runs, with RESP2 and RESP3 both. Each form of a command (each option with what it goes with, each fixed word,
one and two of what repeats; no pairs of options) was sent, and its reply decoded as the type of the method says. CI runs them again and compares.

- yes: all forms were decoded, but for what a note explains.
- partly: the server does not know all options; a note says which it lacks.
- –: the server does not know the command.
- see: the server's answer is no reply of the promised type, and the note says why.
";

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
redis-7.0\tResp2\tset\tSADD\tsadd\t2\tyes\t
redis-7.0\tResp3\tset\tSADD\tsadd\t2\tpart\tNot known: `x`.
redis-7.0\tResp2\tstring\tGET\tget\t1\tyes\t
valkey-9.1\tResp2\tset\tSADD\tsadd\t2\tyes\tNot known: `x`.
valkey-9.1\tResp2\tstring\tGET\tget\t1\tno\t
";

    #[test]
    fn a_table_reads_back_as_the_same() {
        let table = Table::of(LINES).unwrap();
        assert_eq!(Table::parse(&table.to_string()).unwrap(), table);
        assert_eq!(table.rows.len(), 2);
    }

    #[test]
    fn what_a_run_shows_otherwise_is_named_and_servers_that_are_not_at_hand_are_not() {
        let table = Table::of(LINES).unwrap();
        let run = LINES.replace("sadd\t2\tpart", "sadd\t2\tno");
        let run: String = run
            .lines()
            .filter(|line| line.starts_with("redis"))
            .fold(String::new(), |text, line| text + line + "\n");
        let wrong = table.differences(&Table::of(&run).unwrap());
        assert_eq!(
            wrong,
            ["SADD (sadd) on redis-7.0: – (Not known: `x`.), not partly (Not known: `x`.)"]
        );
        let without = table.differences(&Table::of("").unwrap());
        assert_eq!(without.len(), 2, "{without:?}");
    }
}
