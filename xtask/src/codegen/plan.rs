//! What is kept by hand in `crates/commands/matrix.toml`: with which values each command is tried, where, and which answers are explained.
//!
//! Which forms there are is decided in `forms`.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use super::overrides::Overrides;

const FILE: &str = "crates/commands/matrix.toml";

/// See the file's own comments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    values: BTreeMap<String, Value>,
    groups: BTreeMap<String, Particulars>,
    #[serde(default)]
    commands: BTreeMap<String, Particulars>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Particulars {
    /// The server that it is sent to, if not the one that all share.
    #[serde(default)]
    place: Option<String>,
    #[serde(default)]
    setup: Option<Vec<Vec<String>>>,
    #[serde(default)]
    values: BTreeMap<String, Value>,
    /// What `R` becomes.
    #[serde(default)]
    reply: Option<String>,
    /// The same of forms with an option.
    #[serde(default)]
    replies: BTreeMap<String, String>,
    /// What an option goes with, though the facts don't say so.
    #[serde(default)]
    with: BTreeMap<String, String>,
    /// Since which Redis there is a word, where no server says so.
    #[serde(default)]
    since: BTreeMap<String, String>,
    /// Why a reply may be null or empty.
    #[serde(default)]
    empty: Option<String>,
    /// How servers refuse an option that they don't know, where they don't say so.
    #[serde(default)]
    refusals: Vec<String>,
    /// Errors that it may answer, by the beginning of their text, and why.
    #[serde(default)]
    errors: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Value {
    One(String),
    /// Of what repeats; rows are lists themselves.
    Several(Vec<Self>),
}

impl Plan {
    /// Reads the file.
    ///
    /// # Errors
    /// It can't be read, or names a command or a group that is not typed.
    pub(super) fn load(overrides: &Overrides) -> Result<Self> {
        let text = fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
        let plan: Self =
            basic_toml::from_str(&text).with_context(|| format!("{FILE} is not understood"))?;
        for name in plan.commands.keys() {
            if !overrides.groups.values().any(|group| group.commands.contains_key(name)) {
                bail!("{FILE}: there is no typed command `{name}`");
            }
        }
        for name in plan.groups.keys() {
            if !overrides.groups.contains_key(name) {
                bail!("{FILE}: there is no group `{name}`");
            }
        }
        Ok(plan)
    }

    /// What is said of one command of a group.
    ///
    /// # Errors
    /// Nothing is said of the group.
    pub(super) fn of<'a>(&'a self, group: &str, key: &str) -> Result<Said<'a>> {
        let particulars = self.groups.get(group);
        let group = particulars.ok_or_else(|| anyhow!("{FILE} has no group `{group}`"))?;
        Ok(Said { values: &self.values, levels: [self.commands.get(key), Some(group)] })
    }
}

/// The command's own particulars, then its group's.
pub(super) struct Said<'a> {
    values: &'a BTreeMap<String, Value>,
    levels: [Option<&'a Particulars>; 2],
}

impl<'a> Said<'a> {
    fn levels(&self) -> impl Iterator<Item = &'a Particulars> {
        self.levels.into_iter().flatten()
    }

    pub(super) fn place(&self) -> Option<&'a str> {
        self.levels().find_map(|level| level.place.as_deref())
    }

    pub(super) fn setup(&self) -> &'a [Vec<String>] {
        self.levels().find_map(|level| level.setup.as_deref()).unwrap_or_default()
    }

    pub(super) fn empty(&self) -> Option<&'a str> {
        self.levels().find_map(|level| level.empty.as_deref())
    }

    pub(super) fn refusals(&self) -> Vec<&'a String> {
        self.levels().flat_map(|level| &level.refusals).collect()
    }

    pub(super) fn errors(&self) -> Vec<(&'a String, &'a String)> {
        self.levels().flat_map(|level| &level.errors).collect()
    }

    /// What `R` becomes in the form that tries this option.
    pub(super) fn reply(&self, tried: &str) -> Result<&'a str> {
        let mut levels =
            self.levels().map(|level| level.replies.get(tried).or(level.reply.as_ref()));
        let found = levels.find_map(|reply| reply);
        found.map(String::as_str).ok_or_else(|| anyhow!("{FILE} does not say what R becomes"))
    }

    /// The option that this one goes with.
    pub(super) fn with(&self, option: &str) -> Option<&'a str> {
        self.levels().find_map(|level| level.with.get(option)).map(String::as_str)
    }

    pub(super) fn since(&self, word: &str) -> Option<String> {
        self.levels().find_map(|level| level.since.get(word)).cloned()
    }

    /// What this parameter is in the form that tries this option, and in it this word.
    pub(super) fn value(&self, option: &str, word: &str, name: &str) -> Option<&'a Value> {
        let keys = [format!("{word}:{name}"), format!("{option}:{name}"), name.to_owned()];
        let mut levels =
            self.levels().map(|level| keys.iter().find_map(|key| level.values.get(key)));
        levels.find_map(|value| value).or_else(|| self.values.get(name))
    }
}

impl Value {
    /// Rust as it stands.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::One(text) => text.strip_prefix("raw:"),
            Self::Several(_) => None,
        }
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::One(text) => Some(text),
            Self::Several(_) => None,
        }
    }

    /// The value of this place; a single one is the same everywhere.
    pub(super) fn at(&self, index: usize) -> &Self {
        match self {
            Self::Several(values) => values.get(index).or_else(|| values.last()).unwrap_or(self),
            Self::One(_) => self,
        }
    }
}
