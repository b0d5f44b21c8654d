//! Asking servers what commands they have.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use redial_resp::{Bytes, Command as Request, Frame, Limits, OwnedValue as Value, Scanner};

use super::facts::{Begin, Command, Facts, Find, Keys};
use super::grammar::Item;
use crate::{servers, setup, sh};

const START_WITHIN: Duration = Duration::from_secs(10);

/// Asks every server at hand.
///
/// # Errors
/// One can't be started, or answers something else than expected.
pub(crate) fn facts() -> Result<Facts> {
    let mut programs = servers::present();
    programs
        .extend(setup::server()?.map(|named| sh::find(&named.to_string_lossy()).unwrap_or(named)));
    let mut told = programs.iter().map(|program| one(program)).collect::<Result<Vec<_>>>()?;
    // Redis last: of what they disagree on, the last word counts.
    told.sort_by_key(|(label, _)| (label.starts_with("redis"), label.clone()));
    let mut facts = Facts::default();
    for (label, commands) in told {
        for (name, command) in commands {
            let known = facts.commands.remove(&name).unwrap_or_default();
            facts.commands.insert(name, merged(known, command, &label));
        }
        facts.servers.push(label);
    }
    facts.servers.sort();
    Ok(facts)
}

fn merged(known: Command, mut told: Command, label: &str) -> Command {
    if told.since.is_empty() {
        told.since = known.since;
    }
    if told.group.is_empty() {
        told.group = known.group;
    }
    if told.keys.is_empty() {
        told.keys = known.keys;
    }
    told.servers = known.servers;
    told.servers.push(label.to_owned());
    told.servers.sort();
    let mut by_args: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (labels, args) in known.args {
        by_args.entry(args).or_default().extend(labels.split(' ').map(str::to_owned));
    }
    for args in told.args.into_values() {
        by_args.entry(args).or_default().push(label.to_owned());
    }
    told.args = by_args
        .into_iter()
        .map(|(args, mut labels)| {
            labels.sort();
            (labels.join(" "), args)
        })
        .collect();
    told
}

/// Starts one in a folder of its own, and asks it.
fn one(program: &Path) -> Result<(String, BTreeMap<String, Command>)> {
    let folder = std::env::temp_dir().join(format!("redial-codegen-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let socket = folder.join("s");
    let mut child = sh::program(program, &["--port", "0", "--save", "", "--daemonize", "no"])
        .arg("--dir")
        .arg(&folder)
        .arg("--unixsocket")
        .arg(&socket)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let told = ask(&socket).with_context(|| format!("{} told nothing", program.display()));
    let _ = child.kill();
    let _ = child.wait();
    let _ = fs::remove_dir_all(&folder);
    told
}

fn ask(socket: &Path) -> Result<(String, BTreeMap<String, Command>)> {
    let until = Instant::now() + START_WITHIN;
    let mut stream = loop {
        match UnixStream::connect(socket) {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > until => return Err(error.into()),
            // Nothing tells when a server listens but trying.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let label = label(&text(&request(&mut stream, &["INFO", "server"])?));
    let commands = request(&mut stream, &["COMMAND"])?;
    // Not before Redis 7.0; 6.2 answers an error.
    let docs = pairs(&request(&mut stream, &["COMMAND", "DOCS"])?);
    let mut found = BTreeMap::new();
    for command in list(&commands) {
        let name = text(at(command, 0));
        add(&mut found, command, &pairs(docs.get(&name).unwrap_or(&Value::Null)));
    }
    Ok((label, found))
}

fn request(stream: &mut UnixStream, words: &[&str]) -> Result<Value> {
    let mut command = Request::new(words.first().unwrap_or(&""));
    words.iter().skip(1).for_each(|word| command.push_arg(word.as_bytes()));
    stream.write_all(command.as_contiguous().unwrap_or_default())?;
    let (mut scanner, mut read) = (Scanner::new(Limits::default()), Vec::new());
    loop {
        let mut chunk = [0; 64 << 10];
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            bail!("it closed the connection");
        }
        read.extend_from_slice(chunk.get(..len).unwrap_or_default());
        if scanner.scan(&read)?.is_some() {
            return Ok(Frame::from_scanned(Bytes::from(read)).decode()?);
        }
    }
}

/// `redis-8.2`, `valkey-9.1`.
fn label(info: &str) -> String {
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let (product, version) = match field("valkey_version:") {
        Some(version) => ("valkey", version),
        None => ("redis", field("redis_version:").unwrap_or_default()),
    };
    let short: Vec<_> = version.split('.').take(2).collect();
    format!("{product}-{}", short.join("."))
}

/// Adds a command and its subcommands.
fn add(found: &mut BTreeMap<String, Command>, command: &Value, docs: &BTreeMap<String, Value>) {
    let name = text(at(command, 0)).to_uppercase().replace('|', " ");
    let said = |field: &str| docs.get(field).map(text).unwrap_or_default();
    let null = Value::Null;
    let args = docs.get("arguments").unwrap_or(&null);
    let args = Item::Seq(list(args).iter().map(argument).collect()).to_string();
    let has_docs = !docs.is_empty() && docs.contains_key("summary");
    let flags = |value: &Value| list(value).iter().map(text).collect::<Vec<_>>();
    let told = Command {
        group: said("group"),
        since: said("since"),
        arity: int(at(command, 1)),
        deprecated: docs.get("doc_flags").is_some_and(|f| flags(f).contains(&"deprecated".into())),
        flags: flags(at(command, 2)),
        keys: list(at(command, 8)).iter().map(keys).collect(),
        servers: Vec::new(),
        args: if has_docs { [(String::new(), args)].into() } else { BTreeMap::new() },
    };
    found.insert(name, told);
    let subdocs = pairs(docs.get("subcommands").unwrap_or(&null));
    for sub in list(at(command, 9)) {
        add(found, sub, &pairs(subdocs.get(&text(at(sub, 0))).unwrap_or(&null)));
    }
}

fn keys(spec: &Value) -> Keys {
    let spec = pairs(spec);
    let part = |name: &str| {
        let part = pairs(spec.get(name).unwrap_or(&Value::Null));
        let kind = part.get("type").map(text).unwrap_or_default();
        (kind, pairs(part.get("spec").unwrap_or(&Value::Null)))
    };
    let number = |fields: &BTreeMap<String, Value>, name: &str| fields.get(name).map_or(0, int);
    let (kind, begin) = part("begin_search");
    let begin = match kind.as_str() {
        "index" => Begin::Index(number(&begin, "index")),
        "keyword" => Begin::Keyword {
            word: begin.get("keyword").map(text).unwrap_or_default(),
            from: number(&begin, "startfrom"),
        },
        _ => Begin::Unknown,
    };
    let (kind, find) = part("find_keys");
    let find = match kind.as_str() {
        "range" => Find::Range {
            last: number(&find, "lastkey"),
            step: number(&find, "keystep"),
            limit: number(&find, "limit"),
        },
        "keynum" => Find::Count {
            at: number(&find, "keynumidx"),
            first: number(&find, "firstkey"),
            step: number(&find, "keystep"),
        },
        _ => Find::Unknown,
    };
    let flags = spec.get("flags").map(|flags| list(flags).iter().map(text).collect());
    Keys { begin, find, flags: flags.unwrap_or_default() }
}

/// An argument as COMMAND DOCS has it: <https://redis.io/docs/latest/develop/reference/command-arguments/>.
fn argument(told: &Value) -> Item {
    let told = pairs(told);
    let said = |name: &str| told.get(name).map(text).unwrap_or_default();
    let flags: Vec<_> =
        told.get("flags").map(|f| list(f).iter().map(text).collect()).unwrap_or_default();
    let has = |flag: &str| flags.iter().any(|found| found == flag);
    let inner = || told.get("arguments").map(|args| list(args).iter().map(argument).collect());
    let since = told.get("since").map(text);
    let token = told.get("token").map(|token| Item::Token(text(token)));
    let is_token = said("type") == "pure-token";
    let mut item = match said("type").as_str() {
        "pure-token" => token.clone().unwrap_or(Item::Token(String::new())),
        "block" => Item::Seq(inner().unwrap_or_default()),
        "oneof" => {
            let choice = Item::OneOf(inner().unwrap_or_default());
            // Named by its token, or by its words.
            if has("optional") || token.is_some() {
                choice
            } else {
                labelled(&said("name"), choice)
            }
        }
        kind => Item::Value { name: said("name").replace('_', "-"), kind: kind.to_owned() },
    };
    let repeat = |item| if has("multiple") { Item::Many(Box::new(item)) } else { item };
    let with_token = |item| match token.clone().filter(|_| !is_token) {
        Some(Item::Token(token)) if token.is_empty() => item,
        Some(token) => Item::Seq(match item {
            Item::Seq(items) => std::iter::once(token).chain(items).collect(),
            item => vec![token, item],
        }),
        None => item,
    };
    item = if has("multiple_token") { repeat(with_token(item)) } else { with_token(repeat(item)) };
    if said("type") == "block" && has("multiple") && token.is_none() {
        item = labelled(&said("name"), item);
    }
    if has("optional") {
        item = Item::Optional(Box::new(item));
    }
    match since {
        Some(since) => Item::Since(Box::new(item), since),
        None => item,
    }
}

fn labelled(name: &str, item: Item) -> Item {
    Item::Label(name.replace('-', "_"), Box::new(item))
}

fn at(value: &Value, index: usize) -> &Value {
    list(value).get(index).unwrap_or(&Value::Null)
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => &[],
    }
}

fn pairs(value: &Value) -> BTreeMap<String, Value> {
    let pair = |pair: &[Value]| Some((text(pair.first()?), pair.get(1)?.clone()));
    list(value).chunks(2).filter_map(pair).collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(text) | Value::Simple(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(),
    }
}

fn int(value: &Value) -> i64 {
    if let Value::Integer(int) = value { *int } else { 0 }
}
