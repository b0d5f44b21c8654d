//! Every typed command in every form, on real servers and in both protocols: its reply must be decoded as its type says.
//!
//! The forms are generated (`cargo xtask codegen`), with what is known of each. Where they are sent is decided in `places`, what counts
//! as an answer in `verdict`. What came of them is written where `REDIAL_MATRIX` says, a line a command; `cargo xtask matrix` makes
//! `docs/commands.md` of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod generated;
mod places;
#[path = "../server/process.rs"]
#[allow(dead_code, reason = "of the other tests")]
mod process;
mod verdict;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;

use redial::commands::Draft as _;
use redial::prelude::*;
use redial::{Cmd, Error, Frame, FromReply, Protocol};

use crate::places::{On, Place, Places, Servers};
use crate::verdict::{Outcome, judged};

/// What the generated files name.
mod prelude {
    pub(crate) use std::collections::{HashMap, HashSet};

    pub(crate) use redial::Value;
    pub(crate) use redial::commands::{self, Complete as _};
    pub(crate) use redial::prelude::*;

    pub(crate) use crate::places::{On, Place};
    pub(crate) use crate::{Typed, form};
}

/// One typed method, and what is said of it in `matrix.toml`.
struct Typed {
    group: &'static str,
    command: &'static str,
    method: &'static str,
    place: Place,
    setup: &'static [&'static [&'static str]],
    forms: &'static [Form],
    /// Why a reply may be null or empty.
    empty: Option<&'static str>,
    /// How servers refuse an option that they don't know, where they don't say so.
    refusals: &'static [&'static str],
    /// Errors that it may answer, by the beginning of their text, and why.
    errors: &'static [(&'static str, &'static str)],
}

impl Typed {
    const fn of(group: &'static str, command: &'static str, method: &'static str) -> Self {
        Self {
            group,
            command,
            method,
            place: Place::Shared,
            setup: &[],
            forms: &[],
            empty: None,
            refusals: &[],
            errors: &[],
        }
    }
}

struct Form {
    /// The option that it is about, or the word, or both; nothing, if it is the command itself.
    tried: &'static str,
    /// Servers that should not know the command, or a word of it.
    unknown_to: &'static [&'static str],
    /// As it stands in code.
    call: &'static str,
    send: fn(&On) -> Sent,
}

/// A form: what it is about, who should not know it, how it is sent.
macro_rules! form {
    ($tried:literal, $unknown_to:expr, |$on:ident| $call:expr) => {
        $crate::Form {
            tried: $tried,
            unknown_to: &$unknown_to,
            call: stringify!($call),
            send: |$on| $crate::sent($call),
        }
    };
}
use form;

type Sent = Pin<Box<dyn Future<Output = Result<Frame, Error>> + Send>>;

fn sent<R: FromReply + Send + 'static>(command: Cmd<R>) -> Sent {
    Box::pin(async move {
        let reply = command.answering::<Frame>().await?;
        verdict::decoded::<R>(&reply)?;
        Ok(reply)
    })
}

#[tokio::test]
async fn every_form_of_every_typed_command_is_answered_and_decoded() {
    let (mut wrong, mut lines) = (String::new(), String::new());
    let servers = Servers::start().await;
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut places = Places::open(&servers, protocol).await;
        let version = places.version().to_owned();
        for typed in generated::GROUPS.iter().copied().flatten() {
            let mut outcomes = BTreeSet::new();
            for form in typed.forms {
                match tried(&mut places, typed, form, &version).await {
                    Ok(outcome) => _ = outcomes.insert(outcome),
                    Err(error) => {
                        let call: Vec<_> = form.call.split_whitespace().collect();
                        let call = call.join(" ");
                        let _ = writeln!(wrong, "{version} {protocol:?} {call}: {error}");
                    }
                }
            }
            line(&mut lines, &version, protocol, typed, &outcomes);
        }
    }
    if let Ok(path) = std::env::var("REDIAL_MATRIX") {
        std::fs::write(path, lines).unwrap();
    }
    assert!(wrong.is_empty(), "{} forms went wrong:\n{wrong}", wrong.lines().count());
}

async fn tried(
    places: &mut Places,
    typed: &'static Typed,
    form: &'static Form,
    version: &str,
) -> Result<Outcome, String> {
    let on = places.on(typed.place).await;
    set_up(on, typed).await;
    judged(typed, form, version, (form.send)(on).await)
}

/// From an empty server to what the form needs. What a server does not know is missed by the form.
async fn set_up(on: &On, typed: &Typed) {
    let mut setup = on.client.pipeline();
    setup.flushall().queue();
    for command in typed.setup {
        let (name, args) = command.split_first().unwrap();
        setup.cmd(name);
        for arg in args {
            setup.arg(arg.replace("{peer}", &on.peer));
        }
    }
    let _ = setup.await;
}

/// Server, protocol, group, command, method, forms, and what came of them: parted by tabs.
fn line(
    lines: &mut String,
    version: &str,
    protocol: Protocol,
    typed: &Typed,
    outcomes: &BTreeSet<Outcome>,
) {
    let Typed { group, command, method, forms, .. } = typed;
    let (mark, why) = verdict::summary(outcomes);
    let forms = forms.len();
    let _ = writeln!(
        lines,
        "{version}\t{protocol:?}\t{group}\t{command}\t{method}\t{forms}\t{mark}\t{why}"
    );
}
