//! What is kept by hand in `crates/commands/overrides.toml`: what the facts can't say, and what it is said with.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result};
use serde::Deserialize;

const FILE: &str = "crates/commands/overrides.toml";

/// See the file's own comments.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overrides {
    /// Fixed words that become enums, by the enum's name.
    pub(crate) words: BTreeMap<String, Words>,
    /// What options of many commands do, by method.
    pub(crate) options: BTreeMap<String, String>,
    pub(crate) groups: BTreeMap<String, Group>,
    /// Commands that have no method, and why.
    pub(crate) untyped: BTreeMap<String, String>,
    pub(crate) judged: Judged,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    pub(crate) doc: String,
    pub(crate) words: Vec<String>,
    /// How they are sent, if not as servers say.
    #[serde(default)]
    pub(crate) written: Vec<String>,
}

/// One file, feature and trait.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Group {
    pub(crate) r#trait: String,
    pub(crate) doc: String,
    /// What it is implemented for, if not for every executor.
    #[serde(default)]
    pub(crate) executor: Option<String>,
    /// By command, or by the method's name where a command has several.
    pub(crate) commands: BTreeMap<String, Method>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Method {
    pub(crate) doc: String,
    pub(crate) reply: String,
    #[serde(default)]
    pub(crate) command: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// In the notation of `grammar`, instead of what servers say.
    #[serde(default)]
    pub(crate) args: Option<String>,
    /// Words that servers know and this method leaves out: another method has them, or they are of no use.
    #[serde(default)]
    pub(crate) without: Vec<String>,
    #[serde(default)]
    pub(crate) since: Option<String>,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, MethodOption>,
}

/// What is special about one option of one command.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MethodOption {
    #[serde(default)]
    pub(crate) doc: Option<String>,
    /// Options that it does not go with, though the arguments would let them.
    #[serde(default)]
    pub(crate) excludes: Vec<String>,
    /// Options that must be given before.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// What the reply becomes.
    #[serde(default)]
    pub(crate) reply: Option<String>,
    /// The option that keeps it from becoming that.
    #[serde(default)]
    pub(crate) unless: Option<String>,
}

/// What was judged by people: see `Class` in `crates/proto/src/command/mod.rs`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judged {
    /// Changes no data, though no server says so. Of a command with subcommands: none of them does.
    pub(crate) reads: Vec<String>,
    /// Leaves the same data when it runs twice, given harmless options.
    pub(crate) idempotent: Vec<String>,
    pub(crate) scripts: Vec<String>,
    /// May concern several nodes: `crates/proto/src/command/spread.rs`.
    pub(crate) spread: Vec<String>,
    /// Changes what the connection stands on.
    pub(crate) state: Vec<String>,
    /// The same, of commands that servers hide.
    pub(crate) hidden: Vec<String>,
}

impl Overrides {
    /// Reads the file.
    pub(crate) fn load() -> Result<Self> {
        let text = fs::read_to_string(FILE).with_context(|| format!("cannot read {FILE}"))?;
        basic_toml::from_str(&text).with_context(|| format!("{FILE} is not understood"))
    }
}
