//! The arguments of a command as one line of text, which is how `commands.json` and `overrides.toml` have them.
//!
//! `key:key value:string [<NX | XX>] [GET]@6.2.0 (field:string value:string)...`: a word with a colon is a value and its type, one without is sent as
//! it stands; `( )` groups, `[ ]` is optional, `< | >` is a choice, `...` repeats, `@` says since when, `label=` names the
//! method. What a method is made of is decided in `shape`.

use std::fmt::{self, Display as _};

use anyhow::{Result, anyhow, bail};

/// A part of a command's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    Value { name: String, kind: String },
    Token(String),
    Seq(Vec<Self>),
    Optional(Box<Self>),
    OneOf(Vec<Self>),
    Many(Box<Self>),
    Since(Box<Self>, String),
    Label(String, Box<Self>),
}

impl Item {
    /// Without what is said about it.
    pub(crate) fn bare(&self) -> &Self {
        match self {
            Self::Since(inner, _) | Self::Label(_, inner) => inner.bare(),
            _ => self,
        }
    }

    /// The name that was given to it.
    pub(crate) fn label(&self) -> Option<&str> {
        match self {
            Self::Label(label, _) => Some(label),
            Self::Since(inner, _) => inner.label(),
            _ => None,
        }
    }

    /// What it consists of, one behind the other.
    pub(crate) fn parts(&self) -> &[Self] {
        match self.bare() {
            Self::Seq(items) => items,
            _ => std::slice::from_ref(self),
        }
    }

    /// Every word that is sent as it stands.
    pub(crate) fn tokens(&self, into: &mut Vec<String>) {
        match self {
            Self::Value { .. } => {}
            Self::Token(token) => into.push(token.clone()),
            Self::Seq(items) | Self::OneOf(items) => {
                items.iter().for_each(|item| item.tokens(into));
            }
            Self::Optional(inner)
            | Self::Many(inner)
            | Self::Since(inner, _)
            | Self::Label(_, inner) => inner.tokens(into),
        }
    }
}

/// A line of the grammar.
///
/// # Errors
/// It is not one; the text says where.
pub(crate) fn parse(text: &str) -> Result<Item> {
    let words = words(text);
    let mut rest = words.as_slice();
    let item = sequence(&mut rest)?;
    match rest {
        [] => Ok(item),
        [word, ..] => bail!("`{word}` has no beginning in `{text}`"),
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let mark = ["..."].into_iter().find(|mark| text[at..].starts_with(mark));
        // `<` and `=` may be words themselves, between spaces or behind a bracket.
        let bracket = "()[]<>|".contains(c);
        if let Some(mark) = mark {
            words.push(mark.to_owned());
            words.push(String::new());
            at += mark.len();
        } else if bracket {
            words.push(c.to_string());
            words.push(String::new());
            at += 1;
        } else if c == ' ' {
            words.push(String::new());
            at += 1;
        } else if c == '@' {
            words.push(String::from('@'));
            at += 1;
        } else {
            if let Some(last) = words.last_mut() {
                last.push(c);
            }
            at += c.len_utf8();
            // A label ends here; a lone `=` is a word.
            let is_label =
                c == '=' && words.last().is_some_and(|word| word.len() > 1 && !word.contains(':'));
            if is_label {
                words.push(String::new());
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn sequence(rest: &mut &[String]) -> Result<Item> {
    let mut items = Vec::new();
    while let Some(word) = rest.first()
        && ![")", "]", ">", "|"].contains(&word.as_str())
    {
        items.push(item(rest)?);
    }
    Ok(match <[Item; 1]>::try_from(items) {
        Ok([one]) => one,
        Err(items) => Item::Seq(items),
    })
}

fn item(rest: &mut &[String]) -> Result<Item> {
    let word = take(rest)?;
    let mut item = match word.as_str() {
        "(" => closed(rest, ")")?,
        "[" => Item::Optional(Box::new(closed(rest, "]")?)),
        "<" => choice(rest)?,
        label if label.len() > 1 && label.ends_with('=') => {
            let inner = item(rest)?;
            return Ok(Item::Label(label.trim_end_matches('=').to_owned(), Box::new(inner)));
        }
        word => match word.split_once(':') {
            Some((name, kind)) => Item::Value { name: name.to_owned(), kind: kind.to_owned() },
            None => Item::Token(word.to_owned()),
        },
    };
    while let Some(word) = rest.first() {
        if word == "..." {
            item = Item::Many(Box::new(item));
        } else if let Some(since) = word.strip_prefix('@') {
            item = Item::Since(Box::new(item), since.to_owned());
        } else {
            break;
        }
        *rest = &rest[1..];
    }
    Ok(item)
}

fn choice(rest: &mut &[String]) -> Result<Item> {
    let mut items = vec![sequence(rest)?];
    loop {
        match take(rest)?.as_str() {
            "|" => items.push(sequence(rest)?),
            ">" => return Ok(Item::OneOf(items)),
            word => bail!("`{word}` within a choice"),
        }
    }
}

fn closed(rest: &mut &[String], bracket: &str) -> Result<Item> {
    let inner = sequence(rest)?;
    match take(rest)? {
        word if word == bracket => Ok(inner),
        word => bail!("`{word}` where `{bracket}` was awaited"),
    }
}

fn take(rest: &mut &[String]) -> Result<String> {
    let (first, others) = rest.split_first().ok_or_else(|| anyhow!("a bracket is not closed"))?;
    *rest = others;
    Ok(first.clone())
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { name, kind } => write!(f, "{name}:{kind}"),
            Self::Token(token) => f.write_str(token),
            Self::Seq(items) => joined(f, items, " "),
            Self::Optional(inner) => write!(f, "[{inner}]"),
            Self::OneOf(items) => {
                f.write_str("<")?;
                joined(f, items, " | ")?;
                f.write_str(">")
            }
            Self::Many(inner) => write!(f, "{}...", Grouped(inner)),
            Self::Since(inner, version) => write!(f, "{}@{version}", Grouped(inner)),
            Self::Label(label, inner) => write!(f, "{label}={}", Grouped(inner)),
        }
    }
}

/// In brackets, where what follows would otherwise belong to its last word only.
struct Grouped<'a>(&'a Item);

impl fmt::Display for Grouped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Item::Seq(_) => write!(f, "({})", self.0),
            item => item.fmt(f),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, items: &[Item], between: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        for line in [
            "key:key value:string [<NX | XX>]@2.6.12 [GET]@6.2.0 [<EX seconds:integer | KEEPTTL>]",
            "key:key [<NX | XX>] [CH]@3.0.2 (score:double member:string)...",
            "key:key [(<MAXLEN | MINID@6.2.0> [<= | ~>] threshold:string)@6.2.0] <* | id:string>",
            "[COUNT count:integer] STREAMS key:key... id:string...",
            "members=(score:double member:string)... [about=(MAXLEN ~ n:integer)]",
            "",
        ] {
            assert_eq!(parse(line).unwrap().to_string(), line);
        }
    }

    #[test]
    fn brackets_that_do_not_match_are_refused() {
        for line in ["(a:key", "a:key)", "[a:key)", "<NX XX", "NX | XX"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
