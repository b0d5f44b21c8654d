//! What servers say of their commands, as it is kept in `crates/commands/commands.json`.
//!
//! Facts only; what they don't say is in `overrides`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

const FILE: &str = "crates/commands/commands.json";

/// By name, in upper case, the words of a subcommand parted by a space.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Which servers were asked, oldest first.
    pub(crate) servers: Vec<String>,
    pub(crate) commands: BTreeMap<String, Command>,
}

/// One command; of what servers disagree on, what the newest Redis says, else the newest Valkey.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Command {
    pub(crate) group: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) since: String,
    pub(crate) arity: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deprecated: bool,
    pub(crate) flags: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) keys: Vec<Keys>,
    /// Which servers know it.
    pub(crate) servers: Vec<String>,
    /// In the notation of `grammar`, by the servers that say so, parted by spaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) args: BTreeMap<String, String>,
}

/// Where some of its keys are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) begin: Begin,
    pub(crate) find: Find,
    pub(crate) flags: Vec<String>,
}

/// Where looking begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Begin {
    Index(i64),
    Keyword {
        word: String,
        from: i64,
    },
    #[default]
    Unknown,
}

/// What lies there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Find {
    Range {
        last: i64,
        step: i64,
        limit: i64,
    },
    Count {
        at: i64,
        first: i64,
        step: i64,
    },
    #[default]
    Unknown,
}

impl Facts {
    /// Reads the committed file.
    pub(crate) fn load() -> Result<Self> {
        let text = fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
        serde_json::from_str(&text).with_context(|| format!("{FILE} is not as it was written"))
    }

    /// Writes it, a command a line, so that a difference can be read.
    pub(crate) fn save(&self) -> Result<()> {
        let mut text = format!("{{\n\"servers\": {},\n", serde_json::to_string(&self.servers)?);
        text.push_str("\"commands\": {\n");
        for (index, (name, command)) in self.commands.iter().enumerate() {
            let comma = if index + 1 < self.commands.len() { "," } else { "" };
            let command = serde_json::to_string(command)?;
            text.push_str(&format!("{}: {command}{comma}\n", serde_json::to_string(name)?));
        }
        text.push_str("}\n}\n");
        fs::write(FILE, text).with_context(|| format!("cannot write {FILE}"))
    }

    /// What `name`, a word, has behind it: CLIENT has LIST and others.
    pub(crate) fn subcommands<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a Command)> {
        self.commands.iter().filter_map(move |(full, command)| {
            Some((full.strip_prefix(name)?.strip_prefix(' ')?, command))
        })
    }
}
