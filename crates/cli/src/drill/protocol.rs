//! The adapter protocol's lines (docs/adapters.md): parsing what adapters say.
//!
//! Does not decide what a breach of the protocol leads to; the reader of the lines does.

use std::fmt;

/// What the client claims about a command that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Delivery {
    NotSent,
    Rejected,
    Unknown,
    Ran,
    /// An error reply of the server.
    Answered,
    /// The client makes no claim: its caller has to take it for `Unknown`.
    NoClaim,
}

impl Delivery {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "not-sent" => Self::NotSent,
            "rejected" => Self::Rejected,
            "unknown" => Self::Unknown,
            "ran" => Self::Ran,
            "answered" => Self::Answered,
            "-" => Self::NoClaim,
            _ => return None,
        })
    }

    /// Whether the caller was told that the command surely had no effect.
    pub(crate) fn claims_no_effect(self) -> bool {
        matches!(self, Self::NotSent | Self::Rejected | Self::Answered)
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "not sent",
            Self::Rejected => "rejected",
            Self::Unknown => "may have run",
            Self::Ran => "ran, reply lost",
            Self::Answered => "error reply",
            Self::NoClaim => "no claim",
        })
    }
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok(String),
    Err { kind: String, delivery: Delivery, text: String },
}

/// One line of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Ready {
        name: String,
        version: String,
    },
    /// The client has nothing for what `REDIS_URL` names.
    Unable {
        name: String,
        version: String,
        reason: String,
    },
    Reply {
        id: usize,
        outcome: Outcome,
    },
    State {
        state: String,
        detail: String,
    },
    Message {
        payload: String,
    },
    /// A line that the protocol does not know; to be ignored.
    Unknown,
}

/// Why a line that begins as one of the protocol's is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) expected: &'static str,
}

impl Line {
    /// Parses one line, without its line end.
    pub(crate) fn parse(line: &str) -> Result<Self, Malformed> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "ready" => parse_ready(rest).ok_or(Malformed { expected: "ready NAME VERSION" }),
            "unable" => parse_unable(rest)
                .ok_or(Malformed { expected: "unable NAME VERSION REASON" }),
            "r" => parse_reply(rest).ok_or(Malformed {
                expected: "r ID ok VALUE, or r ID err KIND DELIVERY TEXT where DELIVERY is not-sent, \
                           rejected, unknown, ran, answered or -",
            }),
            "e" => match split_word(rest) {
                ("", _) => Err(Malformed { expected: "e STATE DETAIL" }),
                (state, detail) => {
                    Ok(Self::State { state: state.to_owned(), detail: detail.to_owned() })
                }
            },
            "m" => Ok(Self::Message { payload: split_word(rest).1.to_owned() }),
            _ => Ok(Self::Unknown),
        }
    }
}

fn split_word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

fn parse_ready(rest: &str) -> Option<Line> {
    let (name, version) = split_word(rest);
    (!name.is_empty() && !version.is_empty())
        .then(|| Line::Ready { name: name.to_owned(), version: version.trim().to_owned() })
}

fn parse_unable(rest: &str) -> Option<Line> {
    let (name, rest) = split_word(rest);
    let (version, reason) = split_word(rest);
    let [name, version, reason] = [name, version, reason.trim()].map(str::to_owned);
    let is_whole = !name.is_empty() && !version.is_empty() && !reason.is_empty();
    is_whole.then_some(Line::Unable { name, version, reason })
}

fn parse_reply(rest: &str) -> Option<Line> {
    let (id, rest) = split_word(rest);
    let id = id.parse().ok()?;
    let (verdict, rest) = split_word(rest);
    let outcome = match verdict {
        "ok" => Outcome::Ok(rest.to_owned()),
        "err" => {
            let (kind, rest) = split_word(rest);
            let (delivery, text) = split_word(rest);
            if kind.is_empty() {
                return None;
            }
            Outcome::Err {
                kind: kind.to_owned(),
                delivery: Delivery::parse(delivery)?,
                text: text.to_owned(),
            }
        }
        _ => return None,
    };
    Some(Line::Reply { id, outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_keep_the_spaces_of_their_value() {
        let line = Line::parse("r 7 ok a  b").unwrap();
        assert_eq!(line, Line::Reply { id: 7, outcome: Outcome::Ok("a  b".into()) });
        let empty = Line::parse("r 7 ok ").unwrap();
        assert_eq!(empty, Line::Reply { id: 7, outcome: Outcome::Ok(String::new()) });
    }

    #[test]
    fn an_error_carries_kind_claim_and_text() {
        let outcome = Outcome::Err {
            kind: "timeout".into(),
            delivery: Delivery::NotSent,
            text: "no server in 10 s".into(),
        };
        let line = Line::parse("r 0 err timeout not-sent no server in 10 s").unwrap();
        assert_eq!(line, Line::Reply { id: 0, outcome });
        assert!(matches!(
            Line::parse("r 0 err X -").unwrap(),
            Line::Reply { outcome: Outcome::Err { delivery: Delivery::NoClaim, .. }, .. }
        ));
    }

    #[test]
    fn half_a_line_is_malformed_and_a_strange_one_is_ignored() {
        for bad in [
            "r",
            "r x ok 1",
            "r 1",
            "r 1 maybe",
            "r 1 err K sent?",
            "ready",
            "ready x",
            "e",
            "unable x 1",
        ] {
            assert!(Line::parse(bad).is_err(), "{bad}");
        }
        for strange in ["", "hello", "R 1 ok 2", "{\"json\":1}"] {
            assert_eq!(Line::parse(strange), Ok(Line::Unknown), "{strange}");
        }
    }
}
