//! Which server knows which words of a command, by what servers tell of themselves.

use std::collections::BTreeSet;

use anyhow::Result;

use super::facts::{Command, Facts};
use super::grammar::{self, Item};

/// A word that is sent as it stands, and the others that could stand there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Word {
    pub(super) word: String,
    /// Empty where it is no choice.
    pub(super) choices: Vec<String>,
    /// Since when there is such a choice, where servers don't say so.
    pub(super) since: Option<String>,
}

/// The servers that don't know the command, or one of these words of it.
pub(super) fn unknown_to<'a>(
    facts: &'a Facts,
    name: &str,
    command: &Command,
    words: &BTreeSet<Word>,
) -> Result<Vec<&'a str>> {
    let mut unknown = Vec::new();
    for server in &facts.servers {
        // The oldest tells neither arguments nor subcommands: versions do.
        let is_listed = command.servers.contains(server)
            || !command.servers.is_empty()
                && name.contains(' ')
                && tells_nothing(facts, server)
                && is_until(&command.since, version(server));
        let mut knows = is_listed;
        for word in words {
            knows = knows && knows_word(facts, server, command, word)?;
        }
        if !knows {
            unknown.push(server.as_str());
        }
    }
    Ok(unknown)
}

fn tells_nothing(facts: &Facts, server: &str) -> bool {
    !facts.commands.values().any(|command| told_by(command, server).is_some())
}

/// As the server tells; where it does not, as the next ones tell, by the version that they say a word came with.
fn knows_word(facts: &Facts, server: &str, command: &Command, word: &Word) -> Result<bool> {
    let product = server.split('-').next().unwrap_or_default();
    let own_and_later =
        facts.servers.iter().filter(|other| other.starts_with(product) && other.as_str() >= server);
    for teller in own_and_later {
        let Some(args) = told_by(command, teller) else { continue };
        let mut known = Vec::new();
        let args = grammar::parse(args)?;
        words_until(&args, version(server), &mut known);
        let mut all = Vec::new();
        args.tokens(&mut all);
        // A choice may be told as a mere string.
        if word.choices.is_empty() || word.choices.iter().any(|choice| all.contains(choice)) {
            let since = word.since.as_ref().filter(|_| teller != server);
            let is_late = since.is_some_and(|since| !is_until(since, version(server)));
            return Ok(known.contains(&word.word) && !is_late);
        }
    }
    Ok(true)
}

fn told_by<'a>(command: &'a Command, server: &str) -> Option<&'a str> {
    let mut args = command.args.iter();
    let (_, args) = args.find(|(servers, _)| servers.split(' ').any(|known| known == server))?;
    Some(args)
}

/// The words, without those that came later.
fn words_until(item: &Item, until: Version, into: &mut Vec<String>) {
    match item {
        Item::Since(_, version) if !is_until(version, until) => {}
        Item::Token(token) => into.push(token.clone()),
        Item::Value { .. } => {}
        Item::Seq(items) | Item::OneOf(items) => {
            items.iter().for_each(|item| words_until(item, until, into));
        }
        Item::Optional(inner)
        | Item::Many(inner)
        | Item::Since(inner, _)
        | Item::Label(_, inner) => words_until(inner, until, into),
    }
}

type Version = (u32, u32);

/// Of `8.2.0`, or of `redis-8.2`.
fn version(text: &str) -> Version {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut parts = digits.split('.').map_while(|part| part.parse().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn is_until(since: &str, until: Version) -> bool {
    version(since) <= until
}
