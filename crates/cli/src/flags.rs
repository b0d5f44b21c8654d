//! Every flag of the program, in one place: names, defaults, help, and what makes a value invalid.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser as _};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::drill::scenarios::DRILLS;

/// The word that stands for every drill.
pub(crate) const ALL: &str = "all";

/// Rehearse the failover of a real Redis, and see what your client makes of it
#[derive(Debug, Parser)]
#[command(name = "redial", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put a client, or your program, through a real failover of real servers
    Drill(Box<DrillArgs>),
    /// Be the client under test: speak the adapter protocol on standard input and output
    #[command(hide = true)]
    Adapter,
}

const EXIT_CODES: &str = "Exit status: 0 passed, 1 failed, 2 could not be run (usage, set-up, an \
                          adapter that dies), 77 not permitted on this system, or nothing that the \
                          client is able to do.";

#[derive(Debug, Args)]
#[command(
    override_usage = "redial drill NAME [OPTIONS]\n       redial drill all [OPTIONS]\n       \
                      redial drill NAME [OPTIONS] -- PROGRAM [ARGS]...\n       redial drill --list",
    after_help = EXIT_CODES
)]
pub(crate) struct DrillArgs {
    /// The drill; `all` runs every one, one after the other
    #[arg(value_name = "NAME", value_parser = drill_names(), required_unless_present = "list",
          hide_possible_values = true)]
    pub(crate) name: Option<String>,

    /// Say what drills there are and what happens in each
    #[arg(long)]
    pub(crate) list: bool,

    /// The client to drill: redial, ioredis, redis-rs, fred, rustis, or any program that speaks the
    /// adapter protocol (docs/adapters.md)
    #[arg(long, value_name = "NAME|PROGRAM", default_value = "redial")]
    pub(crate) client: String,

    /// What to call the client in reports [default: what its adapter says]
    #[arg(long, value_name = "TEXT")]
    pub(crate) client_label: Option<String>,

    /// Round-trip time between client and servers [default: 2ms]
    #[arg(long, value_name = "TIME", value_parser = short_duration)]
    pub(crate) rtt: Option<Duration>,

    /// How much longer every packet between the two hosts takes, each way: a replica that lags
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = short_duration)]
    pub(crate) replication_delay: Duration,

    /// Callers that share the client, each in a closed loop
    #[arg(long, value_name = "N", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) callers: u32,

    /// Each caller's pause between a reply and its next command, jittered by half of it
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = short_duration)]
    pub(crate) pause: Duration,

    /// Have the client listen to numbered messages, too, and judge what it missed and whether it said so
    #[arg(long)]
    pub(crate) listener: bool,

    /// How long the load goes on; `auto` ends it 3 s after everyone has recovered
    #[arg(long, value_name = "N|auto", default_value = "15", value_parser = seconds)]
    pub(crate) seconds: Seconds,

    /// From the fault to the promotion of the replica
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = long_duration)]
    pub(crate) promote_after: Duration,

    /// How the client is led to the primary: one address with pinned flows, as behind a cloud's load
    /// balancer, or a name whose address changes
    #[arg(long, value_enum, default_value_t = EndpointKind::Address)]
    pub(crate) endpoint: EndpointKind,

    /// net.ipv4.tcp_retries2 on the client's host [default: the kernel's, 15]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(crate) tcp_retries2: Option<u32>,

    /// Servers that speak TLS, with certificates made for the drill; the client gets rediss:// and
    /// the authority's certificate in REDIS_CA_FILE
    #[arg(long)]
    pub(crate) tls: bool,

    /// The server program [default: redis-server or valkey-server in PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) server_bin: Option<PathBuf>,

    /// Another form of the fault; --list names them
    #[arg(long, value_name = "VARIANT")]
    pub(crate) variant: Option<String>,

    /// Print the report as JSON on standard output: an object, with `all` an array
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the report as one self-contained page
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Run this program as the client, with REDIS_URL set (and with --tls REDIS_CA_FILE)
    #[arg(last = true, value_name = "PROGRAM", conflicts_with_all = ["client", "callers", "pause", "listener"])]
    pub(crate) program: Vec<OsString>,
}

/// `--seconds`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seconds {
    Fixed(Duration),
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EndpointKind {
    Address,
    Dns,
}

/// Clap suggests the nearest of these for a name that is none.
fn drill_names() -> impl clap::builder::TypedValueParser<Value = String> {
    let names = DRILLS.iter().map(|drill| PossibleValue::new(drill.name()));
    PossibleValuesParser::new(names.chain([PossibleValue::new(ALL)])).map(|name| name)
}

/// A number with a unit: `500us`, `2ms`, `1.5s`, `1m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const HELP: &str = "write a number and a unit: 500us, 2ms, 1.5s, 1m";
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(HELP)?;
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| HELP)?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        "m" => number * 60.0,
        _ => return Err(HELP.to_owned()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| HELP.to_owned())
}

fn at_most(text: &str, most: Duration) -> Result<Duration, String> {
    let duration = parse_duration(text)?;
    if duration > most {
        return Err(format!("{} s at most", most.as_secs()));
    }
    Ok(duration)
}

fn short_duration(text: &str) -> Result<Duration, String> {
    at_most(text, Duration::from_secs(2))
}

fn long_duration(text: &str) -> Result<Duration, String> {
    at_most(text, Duration::from_secs(600))
}

fn seconds(text: &str) -> Result<Seconds, String> {
    if text == "auto" {
        return Ok(Seconds::Auto);
    }
    match text.strip_suffix('s').unwrap_or(text).parse::<f64>() {
        Ok(seconds) if (4.0..=7200.0).contains(&seconds) => {
            Ok(Seconds::Fixed(Duration::from_secs_f64(seconds)))
        }
        _ => Err("write a number of seconds from 4 to 7200, or auto".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn drill(args: &[&str]) -> Result<Box<DrillArgs>, String> {
        let all = ["redial", "drill"].iter().chain(args);
        match Cli::try_parse_from(all) {
            Ok(Cli { command: Command::Drill(args) }) => Ok(args),
            Ok(_) => panic!("another command"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn the_flags_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_those_of_the_comparison() {
        let args = drill(&["power-off"]).unwrap();
        assert_eq!(args.callers, 50);
        assert_eq!(args.promote_after, Duration::from_secs(2));
        assert_eq!(args.seconds, Seconds::Fixed(Duration::from_secs(15)));
        assert_eq!((args.client.as_str(), args.rtt), ("redial", None));
    }

    #[test]
    fn a_name_that_is_none_gets_the_nearest_one_suggested() {
        let error = drill(&["power-of"]).unwrap_err();
        assert!(error.contains("power-off"), "{error}");
        assert!(drill(&[]).unwrap_err().contains("NAME"));
    }

    #[test]
    fn durations_want_a_unit_and_a_sensible_size() {
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("250us"), Ok(Duration::from_micros(250)));
        for bad in
            ["", "5", "s", "-2s", "2 s", "1h", "1e99s", "nans", "..s", "99999999999999999999s"]
        {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert!(drill(&["kill", "--rtt", "1m"]).unwrap_err().contains("at most"));
        assert!(drill(&["kill", "--seconds", "0"]).unwrap_err().contains("4 to 7200"));
        assert!(drill(&["kill", "--callers", "0"]).is_err());
    }

    #[test]
    fn a_program_stands_behind_two_dashes_and_takes_the_place_of_the_client() {
        let args = drill(&["kill", "--", "./app", "--flag"]).unwrap();
        assert_eq!(args.program, ["./app", "--flag"]);
        assert!(drill(&["kill", "--client", "ioredis", "--", "./app"]).is_err());
    }
}
