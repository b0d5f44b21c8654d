//! From a fresh socket to a usable session, in one flight: HELLO (or AUTH), name, database, and the survey that tells who answered.
//!
//! It decides nothing about adopting: it reports a [`Survey`], or why there is none.

use std::collections::VecDeque;

use redial_resp::{Command, Frame, Value};

use super::identity::{Role, Server};
use crate::config::{Protocol, Session};

/// Announced with CLIENT SETINFO.
const LIB_VERSION: &str = env!("CARGO_PKG_VERSION");

/// What PING was answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pong {
    /// `+PONG`
    Well,
    /// `-BUSY`: a script has run for too long; the server lives and answers nobody else either.
    Busy,
    /// `-LOADING`: nothing can be served yet.
    Loading,
    /// Any other error: a sign of life.
    Other,
}

/// What a server said about itself, and about our old connection to it.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    pub(crate) server: Server,
    pub(crate) pong: Pong,
    pub(crate) old: OldListed,
}

/// What `CLIENT LIST ID <old>` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldListed {
    /// Not asked, or not permitted.
    Unknown,
    /// The server has closed it.
    Gone,
    /// It is there and blocked: a blocking command, or a write postponed by CLIENT PAUSE or FAILOVER.
    Blocked,
    /// It is there.
    There,
}

/// Why a server can't be used, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: RefusalKind,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    /// Wrong password, missing password, or a right that the session needs.
    Auth,
    /// `-ERR max number of clients reached`
    Full,
    /// The session can't be set up: no such database, or an answer that makes no sense.
    Session,
}

/// What came of a reply.
#[derive(Debug)]
pub(crate) enum Progress {
    /// More replies are to come.
    Waiting,
    /// HELLO was refused: write these, in RESP2.
    Write(Vec<Command>),
    Done(Box<Survey>),
    Refused(Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Hello,
    Auth,
    /// Its outcome changes nothing: a name, library info, how the server treats the connection, a wish to be told of maintenance.
    Courtesy,
    Select,
    ClientId,
    InfoServer,
    InfoReplication,
    OldConnection,
    Ping,
}

/// A handshake, or a later survey on the same connection.
#[derive(Debug)]
pub(crate) struct Handshake {
    steps: VecDeque<Step>,
    server: Server,
    old: OldListed,
    fallback: bool,
    has_heard: bool,
    /// The database is the session's.
    is_selected: bool,
    opening: Opening,
}

/// What a connection is given before its first request.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) session: Session,
    /// The number of the connection that is under suspicion, if there is one.
    pub(crate) old_id: Option<i64>,
    /// How a server that goes away should name another; `None`: it is not asked to.
    pub(crate) endpoint_type: Option<&'static str>,
    /// A replica is to answer reads (READONLY).
    pub(crate) is_read_from: bool,
}

fn words(name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(name);
    for arg in args {
        command.push_arg(arg.as_bytes());
    }
    command
}

impl Handshake {
    /// Starts one.
    pub(crate) fn start(opening: Opening) -> (Self, Vec<Command>) {
        let mut handshake = Self {
            steps: VecDeque::new(),
            server: Server::unknown(),
            old: OldListed::Unknown,
            fallback: false,
            has_heard: false,
            is_selected: opening.session.database == 0,
            opening,
        };
        let resp3 = handshake.opening.session.protocol == Protocol::Resp3;
        let commands = handshake.begin(resp3);
        (handshake, commands)
    }

    fn begin(&mut self, resp3: bool) -> Vec<Command> {
        let session = self.opening.session.clone();
        let endpoint_type = self.opening.endpoint_type.filter(|_| resp3);
        let mut commands = Vec::new();
        let mut step = |step, command| {
            self.steps.push_back(step);
            commands.push(command);
        };
        if resp3 {
            let mut hello = words("HELLO", &["3"]);
            if let Some(credentials) = &session.credentials {
                let user = credentials.username.as_deref().unwrap_or("default");
                for word in ["AUTH", user, &credentials.password] {
                    hello.push_arg(word.as_bytes());
                }
            }
            step(Step::Hello, hello);
        } else if let Some(credentials) = &session.credentials {
            let auth = match &credentials.username {
                Some(user) => words("AUTH", &[user, &credentials.password]),
                None => words("AUTH", &[&credentials.password]),
            };
            step(Step::Auth, auth);
        }
        if let Some(name) = &session.client_name {
            step(Step::Courtesy, words("CLIENT SETNAME", &[name]));
        }
        step(Step::Courtesy, words("CLIENT SETINFO", &["LIB-NAME", "redial"]));
        step(Step::Courtesy, words("CLIENT SETINFO", &["LIB-VER", LIB_VERSION]));
        for (word, wanted) in [("NO-EVICT", session.no_evict), ("NO-TOUCH", session.no_touch)] {
            if wanted {
                step(Step::Courtesy, words("CLIENT", &[word, "ON"]));
            }
        }
        if self.opening.is_read_from {
            step(Step::Courtesy, Command::new("READONLY"));
        }
        if let Some(kind) = endpoint_type {
            // Pushes need RESP3. Servers that send none refuse it, which is no news to anybody.
            let words = words("CLIENT MAINT_NOTIFICATIONS", &["ON", "moving-endpoint-type", kind]);
            step(Step::Courtesy, words);
        }
        step(Step::ClientId, Command::new("CLIENT ID"));
        commands.extend(self.survey());
        commands
    }

    /// Asks again who is there; to be followed by [`Self::handle`] as for the handshake.
    pub(crate) fn survey(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        if !self.is_selected {
            let mut select = Command::new("SELECT");
            select.push_int(i64::from(self.opening.session.database));
            commands.push(select);
            self.steps.push_back(Step::Select);
        }
        commands.extend([words("INFO", &["server"]), words("INFO", &["replication"])]);
        self.steps.extend([Step::InfoServer, Step::InfoReplication]);
        if let Some(id) = self.opening.old_id {
            let mut list = Command::new("CLIENT LIST ID");
            list.push_int(id);
            commands.push(list);
            self.steps.push_back(Step::OldConnection);
        }
        commands.push(Command::new("PING"));
        self.steps.push_back(Step::Ping);
        commands
    }

    /// Anything was answered.
    pub(crate) const fn has_heard(&self) -> bool {
        self.has_heard
    }

    /// Takes the reply to the oldest unanswered step.
    pub(crate) fn handle(&mut self, frame: &Frame) -> Progress {
        self.has_heard = true;
        if self.fallback {
            // What was pipelined behind a refused HELLO is answered before the RESP2 handshake.
            self.steps.pop_front();
            return self.try_resp2();
        }
        let Some(step) = self.steps.pop_front() else {
            return refused(RefusalKind::Session, "the server answered more than it was asked");
        };
        let error = frame.error().map(|error| error.to_string());
        if let Some(text) = &error
            && let Some(refusal) = refusal(step, text)
        {
            return Progress::Refused(refusal);
        }
        match step {
            Step::Hello if error.is_some() => {
                self.fallback = true;
                return self.try_resp2();
            }
            Step::Hello => {
                self.server.resp3 = true;
                self.server.role = hello_role(frame);
            }
            Step::Select => self.is_selected = error.is_none(),
            Step::Auth | Step::Courtesy => {}
            Step::ClientId => {
                if let Value::Integer(id) = frame.value() {
                    self.server.client_id = Some(id);
                }
            }
            Step::InfoServer | Step::InfoReplication => self.server.read_info(frame),
            Step::OldConnection => self.old = old_listed(frame),
            Step::Ping => {
                let pong = match error.as_deref().and_then(|text| text.split(' ').next()) {
                    None => Pong::Well,
                    Some("BUSY") => Pong::Busy,
                    Some("LOADING") => Pong::Loading,
                    Some(_) => Pong::Other,
                };
                return Progress::Done(Box::new(Survey {
                    server: self.server.clone(),
                    pong,
                    old: self.old,
                }));
            }
        }
        Progress::Waiting
    }

    fn try_resp2(&mut self) -> Progress {
        if !self.steps.is_empty() {
            return Progress::Waiting;
        }
        self.fallback = false;
        self.server = Server::unknown();
        Progress::Write(self.begin(false))
    }
}

fn refused(kind: RefusalKind, text: &str) -> Progress {
    Progress::Refused(Refusal { kind, text: text.to_owned() })
}

/// Whether an error reply to this step ends the handshake.
fn refusal(step: Step, text: &str) -> Option<Refusal> {
    let code = text.split(' ').next().unwrap_or_default();
    let kind = match (step, code) {
        (_, "DENIED") => RefusalKind::Auth,
        (_, "ERR") if text.contains("max number of clients") => RefusalKind::Full,
        // Only the server's first words: what is pipelined behind a refused HELLO fails with NOAUTH and says nothing new.
        (Step::Hello, "WRONGPASS" | "NOAUTH") | (Step::Auth, _) => RefusalKind::Auth,
        (Step::Select, "NOPERM" | "NOAUTH") => RefusalKind::Auth,
        // Passes by itself; the PING behind it says so too, and the next survey selects again.
        (Step::Select, "BUSY" | "LOADING") => return None,
        (Step::Select, _) => RefusalKind::Session,
        (Step::InfoServer | Step::Ping, "NOAUTH") => RefusalKind::Auth,
        _ => return None,
    };
    Some(Refusal { kind, text: text.to_owned() })
}

/// HELLO tells the role too, which counts where INFO is not permitted.
fn hello_role(frame: &Frame) -> Role {
    let Value::Map(pairs) = frame.value() else { return Role::Unknown };
    let role = pairs.into_iter().find_map(|(key, value)| match (key, value) {
        (
            Value::Bulk(b"role") | Value::Simple(b"role"),
            Value::Bulk(role) | Value::Simple(role),
        ) => Some(role),
        _ => None,
    });
    match role {
        Some(b"master") => Role::Primary,
        Some(b"replica" | b"slave") => Role::Replica,
        _ => Role::Unknown,
    }
}

/// Reads the answer to `CLIENT LIST ID <id>`.
pub(crate) fn old_listed(frame: &Frame) -> OldListed {
    let value = frame.value();
    let (Value::Bulk(line) | Value::Verbatim { text: line, .. } | Value::Simple(line)) = value
    else {
        return OldListed::Unknown;
    };
    let line = String::from_utf8_lossy(line);
    let flags = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("flags="));
    match flags {
        None => OldListed::Gone,
        Some(flags) if flags.contains('b') => OldListed::Blocked,
        Some(_) => OldListed::There,
    }
}
