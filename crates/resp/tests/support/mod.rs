//! What the properties need: any reply, its wire bytes, and a second decoder to compare with.

use proptest::collection::vec;
use proptest::prelude::*;
use redial_resp::{Bytes, OwnedValue, ServerError};

/// Any reply, a few levels deep.
pub(crate) fn reply() -> impl Strategy<Value = OwnedValue> {
    leaf().prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 0..6).prop_map(OwnedValue::Array),
            1 => vec(inner.clone(), 0..6).prop_map(OwnedValue::Set),
            1 => vec(inner.clone(), 0..6).prop_map(OwnedValue::Push),
            2 => vec((inner.clone(), inner), 0..4).prop_map(OwnedValue::Map),
        ]
    })
}

fn leaf() -> impl Strategy<Value = OwnedValue> {
    let line = || vec(32..127_u8, 0..12);
    let bytes = || vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'\r'), 1 => Just(b'\n')], 0..40);
    let small = prop_oneof![
        line().prop_map(|text| OwnedValue::Simple(text.into())),
        line().prop_map(|text| OwnedValue::Error(ServerError::new(String::from_utf8_lossy(&text)))),
        any::<i64>().prop_map(OwnedValue::Integer),
        (-3..3_i64).prop_map(OwnedValue::Integer),
        bytes().prop_map(|text| OwnedValue::Bulk(text.into())),
        (vec(b'a'..=b'z', 3), bytes()).prop_map(|(format, text)| OwnedValue::Verbatim {
            format: format.into(),
            text: text.into()
        }),
        Just(OwnedValue::Null),
        any::<bool>().prop_map(OwnedValue::Boolean),
        any::<f64>().prop_map(OwnedValue::Double),
        Just(OwnedValue::Double(f64::NEG_INFINITY)),
        any::<i128>().prop_map(|n| OwnedValue::BigNumber(n.to_string().into())),
    ];
    // Around the size from which values are shared with their frame.
    let large = vec(any::<u8>(), 4090..4100).prop_map(|text| OwnedValue::Bulk(text.into()));
    prop_oneof![100 => small, 1 => large]
}

/// The wire bytes of a reply. `choices` decide where one value can be written in several ways and
/// where an attribute goes in front of it.
pub(crate) fn wire(
    reply: &OwnedValue,
    choices: &mut impl Iterator<Item = bool>,
    out: &mut Vec<u8>,
) {
    let mut choose = || choices.next().unwrap_or(false);
    if choose() && choose() {
        out.extend(
            b"|2\r\n+key-popularity\r\n*2\r\n,0.1\r\n-ERR\r\n$1\r\nk\r\n|1\r\n+a\r\n+b\r\n_\r\n",
        );
    }
    match reply {
        OwnedValue::Simple(text) => line(b'+', text, out),
        OwnedValue::Error(error) if choose() => blob(b'!', error.text().as_bytes(), out),
        OwnedValue::Error(error) => line(b'-', error.text().as_bytes(), out),
        OwnedValue::Integer(n) => line(b':', n.to_string().as_bytes(), out),
        OwnedValue::Bulk(text) => blob(b'$', text, out),
        OwnedValue::Verbatim { format, text } => {
            blob(b'=', &[format, &b":"[..], text].concat(), out);
        }
        OwnedValue::Null => match (choose(), choose()) {
            (true, true) => out.extend(b"*-1\r\n"),
            (true, false) => out.extend(b"$-1\r\n"),
            _ => out.extend(b"_\r\n"),
        },
        OwnedValue::Boolean(b) => line(b'#', if *b { b"t" } else { b"f" }, out),
        OwnedValue::Double(n) if choose() => line(b',', format!("{n}").as_bytes(), out),
        OwnedValue::Double(n) => line(b',', format!("{n:e}").as_bytes(), out),
        OwnedValue::BigNumber(text) => line(b'(', text, out),
        OwnedValue::Array(items) => aggregate(b'*', items, choices, out),
        OwnedValue::Set(items) => aggregate(b'~', items, choices, out),
        OwnedValue::Push(items) => aggregate(b'>', items, choices, out),
        OwnedValue::Map(entries) => {
            line(b'%', entries.len().to_string().as_bytes(), out);
            for (key, value) in entries {
                wire(key, choices, out);
                wire(value, choices, out);
            }
        }
    }
}

fn aggregate(
    kind: u8,
    items: &[OwnedValue],
    choices: &mut impl Iterator<Item = bool>,
    out: &mut Vec<u8>,
) {
    line(kind, items.len().to_string().as_bytes(), out);
    for item in items {
        wire(item, choices, out);
    }
}

fn line(kind: u8, text: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(text);
    out.extend(b"\r\n");
}

fn blob(kind: u8, text: &[u8], out: &mut Vec<u8>) {
    line(kind, text.len().to_string().as_bytes(), out);
    out.extend(text);
    out.extend(b"\r\n");
}

/// What the reference decoder says of some bytes.
#[derive(Debug)]
pub(crate) enum Reference {
    Whole(OwnedValue, usize),
    Incomplete,
    Wrong,
}

/// A second decoder, as plain as it can be and sharing nothing with the first: recursive, without
/// limits, starting over at each call.
pub(crate) fn reference(buf: &[u8]) -> Reference {
    let mut rest = buf;
    match one(&mut rest) {
        Ok(value) => Reference::Whole(value, buf.len() - rest.len()),
        Err(Some(())) => Reference::Wrong,
        Err(None) => Reference::Incomplete,
    }
}

/// `None`: more bytes are needed.
type Fault = Option<()>;

fn one(rest: &mut &[u8]) -> Result<OwnedValue, Fault> {
    let (&kind, after) = rest.split_first().ok_or(None)?;
    if !b"+-:$!=_#,(*~>%|".contains(&kind) {
        return Err(Some(()));
    }
    let end = after.windows(2).position(|two| two == b"\r\n").ok_or(None)?;
    let line = Bytes::copy_from_slice(&after[..end]);
    let text = std::str::from_utf8(&line);
    *rest = &after[end + 2..];
    if matches!(kind, b'$' | b'*') && &line[..] == b"-1" {
        return Ok(OwnedValue::Null);
    }
    Ok(match kind {
        b'+' => OwnedValue::Simple(line),
        b'-' => OwnedValue::Error(ServerError::new(String::from_utf8_lossy(&line))),
        b':' if line.len() <= 20 => OwnedValue::Integer(number(text)?),
        b'_' if line.is_empty() => OwnedValue::Null,
        b'#' if &line[..] == b"t" => OwnedValue::Boolean(true),
        b'#' if &line[..] == b"f" => OwnedValue::Boolean(false),
        b',' if !line.to_ascii_lowercase().ends_with(b"infinity") => {
            OwnedValue::Double(number(text)?)
        }
        b'(' => {
            let digits =
                line.strip_prefix(b"-").or_else(|| line.strip_prefix(b"+")).unwrap_or(&line);
            if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
                return Err(Some(()));
            }
            OwnedValue::BigNumber(line)
        }
        b'$' | b'!' | b'=' => blob_body(kind, length(&line)?, rest)?,
        b'*' => OwnedValue::Array(many(length(&line)?, rest)?),
        b'~' => OwnedValue::Set(many(length(&line)?, rest)?),
        b'>' => OwnedValue::Push(many(length(&line)?, rest)?),
        b'%' => {
            let entries = (0..length(&line)?).map(|_| Ok((one(rest)?, one(rest)?)));
            OwnedValue::Map(entries.collect::<Result<_, Fault>>()?)
        }
        b'|' => {
            many(length(&line)?.checked_mul(2).ok_or(Some(()))?, rest)?;
            one(rest)?
        }
        _ => return Err(Some(())),
    })
}

fn many(count: usize, rest: &mut &[u8]) -> Result<Vec<OwnedValue>, Fault> {
    (0..count).map(|_| one(rest)).collect()
}

fn blob_body(kind: u8, len: usize, rest: &mut &[u8]) -> Result<OwnedValue, Fault> {
    let with_crlf = len.checked_add(2).ok_or(Some(()))?;
    if rest.len() < with_crlf {
        return Err(None);
    }
    let (body, after) = rest.split_at(with_crlf);
    let body = body.strip_suffix(b"\r\n").ok_or(Some(()))?;
    *rest = after;
    let text = Bytes::copy_from_slice(body);
    match kind {
        b'$' => Ok(OwnedValue::Bulk(text)),
        b'!' => Ok(OwnedValue::Error(ServerError::new(String::from_utf8_lossy(body)))),
        _ if body.get(3) == Some(&b':') => {
            Ok(OwnedValue::Verbatim { format: text.slice(..3), text: text.slice(4..) })
        }
        _ => Err(Some(())),
    }
}

fn length(line: &[u8]) -> Result<usize, Fault> {
    if line.len() > 20 || !line.iter().all(u8::is_ascii_digit) {
        return Err(Some(()));
    }
    number(std::str::from_utf8(line))
}

fn number<T: std::str::FromStr>(text: Result<&str, std::str::Utf8Error>) -> Result<T, Fault> {
    text.ok().and_then(|text| text.parse().ok()).ok_or(Some(()))
}
