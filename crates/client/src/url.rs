//! Connection URLs: `redis+sentinel://[user:password@]host[:port],…/service[/database]`, `redis+cluster://[user:password@]host[:port],host[:port]…`, and `redis://[user:password@]host[:port][/database]`, the same with `rediss://` for TLS, and `redis+unix:///path[?db=N]`, user and password percent-encoded.

use percent_encoding::percent_decode_str;
use redial_proto::{Config, Credentials, Deployment, Endpoint, Seeds, Sentinels};

use crate::error::Error;

const DEFAULT_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const FORM: &str = "redis://[user:password@]host[:port][/database]";

pub(crate) fn parse(url: &str) -> Result<Config, Error> {
    // The URL may hold a password, so that no text shows more of it than its scheme.
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(wrong(
            "it has no scheme",
            "begin it with redis://, as in redis://localhost:6379",
        ));
    };
    match scheme {
        "redis" | "valkey" => tcp(rest),
        #[cfg(feature = "tls")]
        "rediss" | "valkeys" => tcp(rest).map(|config| Config { tls: true, ..config }),
        "redis+unix" | "unix" => unix(rest),
        "redis+cluster" | "valkey+cluster" => cluster(rest),
        "redis+sentinel" | "valkey+sentinel" => sentinel(rest, false),
        #[cfg(feature = "tls")]
        "rediss+sentinel" | "valkeys+sentinel" => sentinel(rest, true),
        #[cfg(feature = "tls")]
        "rediss+cluster" | "valkeys+cluster" => {
            cluster(rest).map(|config| Config { tls: true, ..config })
        }
        #[cfg(not(feature = "tls"))]
        "rediss" | "valkeys" | "rediss+cluster" | "valkeys+cluster" | "rediss+sentinel"
        | "valkeys+sentinel" => {
            Err(wrong("TLS is not built in", "enable the feature `tls` of the crate `redial`"))
        }
        other => Err(wrong(
            &format!("the scheme {other:?} is unknown"),
            "use redis://, rediss:// (TLS), redis+sentinel://, redis+cluster:// or redis+unix://",
        )),
    }
}

fn wrong(what: &str, remedy: &str) -> Error {
    Error::config(format!("the connection URL is malformed: {what}; {remedy}"))
}

fn decode(part: &str, what: &str) -> Result<String, Error> {
    percent_decode_str(part).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| {
        wrong(&format!("the {what} is not UTF-8 when percent-decoded"), "percent-encode its bytes")
    })
}

fn tcp(rest: &str) -> Result<Config, Error> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (userinfo, address) = match authority.rsplit_once('@') {
        Some((userinfo, address)) => (Some(userinfo), address),
        None => (None, authority),
    };
    let (host, port) = host_and_port(address, DEFAULT_PORT)?;
    let mut config = Config::new(Endpoint::Tcp { host: decode(host, "host")?, port });
    config.session.credentials = userinfo.map(credentials).transpose()?.flatten();
    config.session.database = database(path, query)?;
    Ok(config)
}

/// The nodes to ask first, separated by commas; the rest is as of one server.
fn cluster(rest: &str) -> Result<Config, Error> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (format!("{userinfo}@"), hosts),
        None => (String::new(), authority),
    };
    let seed = |host: &str| tcp(&format!("{userinfo}{host}{path}"));
    let (first, others) = hosts.split_once(',').unwrap_or((hosts, ""));
    let config = seed(first)?;
    let mut endpoints = vec![config.endpoint.clone()];
    for host in others.split(',').filter(|host| !host.is_empty()) {
        endpoints.push(seed(host)?.endpoint);
    }
    let seeds = Seeds { endpoints, address_map: Vec::new() };
    Ok(Config { deployment: Deployment::Cluster(seeds), ..config })
}

/// The Sentinels, separated by commas, the name that they know the primary by, and the database.
fn sentinel(rest: &str, tls: bool) -> Result<Config, Error> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (service, path) = path.split_once('/').unwrap_or((path, ""));
    if service.is_empty() {
        return Err(wrong(
            "it does not say which service the Sentinels are to be asked for",
            "its form is redis+sentinel://host[:port],host[:port]/service[/database]",
        ));
    }
    let (userinfo, hosts) = match authority.rsplit_once('@') {
        Some((userinfo, hosts)) => (Some(userinfo), hosts),
        None => (None, authority),
    };
    let mut endpoints = Vec::new();
    for host in hosts.split(',').filter(|host| !host.is_empty()) {
        let (host, port) = host_and_port(host, SENTINEL_PORT)?;
        endpoints.push(Endpoint::Tcp { host: decode(host, "host")?, port });
    }
    let Some(first) = endpoints.first().cloned() else {
        return Err(wrong(
            "it names no Sentinel",
            "its form is redis+sentinel://host[:port]/service",
        ));
    };
    let service = decode(service, "service")?;
    let sentinels = Sentinels { endpoints, service, credentials: None, tls };
    let mut config = Config::new(first);
    config.deployment = Deployment::Sentinel(sentinels);
    config.tls = tls;
    config.session.credentials = userinfo.map(credentials).transpose()?.flatten();
    config.session.database = database(path, query)?;
    Ok(config)
}

fn host_and_port(address: &str, default_port: u16) -> Result<(&str, u16), Error> {
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let Some((host, port)) = rest.split_once(']') else {
            return Err(wrong(
                "an IPv6 address lacks its closing bracket",
                "write it as [::1]:6379",
            ));
        };
        (host, port.strip_prefix(':').or(if port.is_empty() { Some("") } else { None }))
    } else {
        match address.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            Some(_) => {
                return Err(wrong(
                    "the host has several colons",
                    "write an IPv6 address in brackets: [::1]:6379",
                ));
            }
            None => (address, Some("")),
        }
    };
    if host.is_empty() {
        return Err(wrong("it has no host", &format!("its form is {FORM}")));
    }
    match port {
        Some("") => Ok((host, default_port)),
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => Ok((host, port)),
            _ => Err(wrong(
                &format!("the port {port:?} is no number from 1 to 65535"),
                &format!("its form is {FORM}"),
            )),
        },
        None => Err(wrong(
            "something other than a port follows the address",
            &format!("its form is {FORM}"),
        )),
    }
}

fn credentials(userinfo: &str) -> Result<Option<Credentials>, Error> {
    let (user, password) = match userinfo.split_once(':') {
        Some((user, password)) => (user, password),
        // redis-cli and others read a lone word as the user; without a password it says nothing.
        None if userinfo.is_empty() => return Ok(None),
        None => {
            return Err(wrong(
                "there is a user without a password",
                "write redis://user:password@host, or redis://:password@host for the default user",
            ));
        }
    };
    let username = Some(decode(user, "user")?).filter(|user| !user.is_empty());
    let password = decode(password, "password")?;
    Ok((username.is_some() || !password.is_empty()).then_some(Credentials { username, password }))
}

fn database(path: &str, query: &str) -> Result<u32, Error> {
    let mut found = path;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("db", value)) => found = value,
            _ => {
                return Err(wrong(
                    "it has a parameter other than db=N",
                    "set other options with the builder",
                ));
            }
        }
    }
    if found.is_empty() {
        return Ok(0);
    }
    found.parse().map_err(|_| {
        wrong(&format!("the database {found:?} is no number"), &format!("its form is {FORM}"))
    })
}

fn unix(rest: &str) -> Result<Config, Error> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (userinfo, path) = match rest.split_once('@') {
        Some((userinfo, path)) if !userinfo.contains('/') => (Some(userinfo), path),
        _ => (None, rest),
    };
    if !path.starts_with('/') {
        return Err(wrong(
            "the unix socket's path is not absolute",
            "write redis+unix:///run/redis.sock",
        ));
    }
    let mut config = Config::new(Endpoint::Unix(decode(path, "path")?.into()));
    config.session.credentials = userinfo.map(credentials).transpose()?.flatten();
    config.session.database = database("", query)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> String {
        parse(url).unwrap().endpoint.to_string()
    }

    #[test]
    fn hosts_ports_databases_and_credentials_are_read() {
        assert_eq!(endpoint("redis://localhost"), "localhost:6379");
        assert_eq!(endpoint("redis://h:1/2"), "h:1");
        assert_eq!(endpoint("redis://[::1]:7000"), "[::1]:7000");
        assert_eq!(endpoint("redis://[::1]"), "[::1]:6379");
        assert_eq!(endpoint("redis+unix:///run/r%20s.sock?db=3"), "unix:/run/r s.sock");
        #[cfg(feature = "tls")]
        assert!(parse("rediss://h").unwrap().tls && !parse("redis://h").unwrap().tls);
        let config = parse("redis://us%40er:p%3Aw%2F@h/7").unwrap();
        assert_eq!(config.session.database, 7);
        let credentials = config.session.credentials.unwrap();
        assert_eq!(
            (credentials.username.as_deref(), credentials.password.as_str()),
            (Some("us@er"), "p:w/")
        );
        assert_eq!(parse("redis://:secret@h").unwrap().session.credentials.unwrap().username, None);
    }

    #[test]
    fn the_seeds_of_a_cluster_are_read() {
        let config = parse("redis+cluster://u:p@a,b:7000,[::1]:7001").unwrap();
        let Deployment::Cluster(seeds) = &config.deployment else { panic!("{config:?}") };
        let seeds: Vec<_> = seeds.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(seeds, ["a:6379", "b:7000", "[::1]:7001"]);
        assert_eq!(config.session.credentials.unwrap().password, "p");
    }

    #[test]
    fn sentinels_and_their_service_are_read() {
        let config = parse("redis+sentinel://:p@a,b:7000/orders/3").unwrap();
        let Deployment::Sentinel(sentinels) = &config.deployment else { panic!("{config:?}") };
        let endpoints: Vec<_> = sentinels.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(endpoints, ["a:26379", "b:7000"]);
        assert_eq!((sentinels.service.as_str(), config.session.database), ("orders", 3));
        assert_eq!(config.session.credentials.unwrap().password, "p");
        assert!(sentinels.credentials.is_none(), "they have their own");
    }

    #[test]
    fn what_is_malformed_is_named_and_the_password_is_not_shown() {
        for (url, expected) in [
            ("localhost:6379", "no scheme"),
            ("http://h", "scheme \"http\""),
            ("redis://", "no host"),
            ("redis://:secret@", "no host"),
            ("redis+cluster://", "no host"),
            ("redis+sentinel://a,b", "which service"),
            ("redis+sentinel:///orders", "names no Sentinel"),
            ("redis+sentinel://a/orders/x", "database"),
            ("redis+cluster://:secret@a,b:x", "port"),
            ("redis://h:0", "port"),
            ("redis://h:99999", "port"),
            ("redis://h:secret:1", "several colons"),
            ("redis://[::1", "bracket"),
            ("redis://[::1]x", "port"),
            ("redis://h/x", "database"),
            ("redis://h/1?timeout=3", "parameter"),
            ("redis://user@h", "without a password"),
            ("redis://%ff:secret@h", "UTF-8"),
            ("redis+unix://run/r.sock", "absolute"),
        ] {
            let error = parse(url).expect_err(url).to_string();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }
}
