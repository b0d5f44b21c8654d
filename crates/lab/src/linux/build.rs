//! What a lab is built from: the URL, the network, what each host runs.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use super::certificates::Certificates;
use super::enter::{Session, doing};
use super::place::{Network, Plan};
use super::server::{Kind, Server};
use super::wire::{CLIENT_IP, Devices, Switch, Wire};
use super::{form, sentinel};
use crate::options::{ENDPOINT_IP, ENDPOINT_NAME, PORT, SENTINEL_PORT, SERVICE};
use crate::slots::first_slots;
use crate::{Deployment, Endpoint, HostId, LabError, LabOptions};

pub(super) fn make_certificates(options: &LabOptions) -> Result<Option<Certificates>, LabError> {
    let make = || Certificates::make().map_err(io::Error::other);
    options.tls.then(make).transpose().map_err(doing("make certificates"))
}

/// What the client connects to.
pub(super) fn url(session: &Session, options: &LabOptions) -> Result<String, LabError> {
    let scheme = if options.tls { "rediss" } else { "redis" };
    let all = |hosts: &[HostId], port: u16| -> String {
        let hosts: Vec<_> = hosts.iter().map(|host| format!("{}:{port}", host.ip())).collect();
        hosts.join(",")
    };
    Ok(match (options.deployment, options.endpoint, &session.no_names) {
        (Deployment::Sentinel, ..) => {
            let hosts = all(&options.deployment.sentinels(), SENTINEL_PORT);
            format!("{scheme}+sentinel://{hosts}/{SERVICE}")
        }
        (Deployment::Cluster, ..) => {
            let mut hosts = options.deployment.servers();
            hosts.retain(|host| first_slots(*host).is_some());
            format!("{scheme}+cluster://{}", all(&hosts, PORT))
        }
        (Deployment::Pair, Endpoint::Address, _) => format!("{scheme}://{ENDPOINT_IP}:{PORT}"),
        (Deployment::Pair, Endpoint::Dns, None) => format!("{scheme}://{ENDPOINT_NAME}:{PORT}"),
        (Deployment::Pair, Endpoint::Dns, Some(why)) => {
            return Err(LabError::System {
                doing: "redirect the resolution of names; use an address as the endpoint".into(),
                source: io::Error::other(&**why),
            });
        }
    })
}

/// What the host runs.
pub(super) fn kind(host: HostId, options: &LabOptions) -> Kind {
    if options.deployment.sentinels().contains(&host) {
        return Kind::Sentinel(sentinel::configuration(host, options.tls));
    }
    let mut arguments = if options.tls { Certificates::arguments() } else { Vec::new() };
    if options.deployment == Deployment::Cluster {
        arguments.extend(form::cluster_arguments(host, options.tls));
    }
    arguments.extend(options.server_args.iter().cloned());
    Kind::Data(arguments)
}

pub(super) fn build_network(
    session: &Session,
    options: &LabOptions,
) -> Result<(Vec<Network>, Network, Wire), LabError> {
    // Both hosts of a pair answer for the endpoint's address themselves: nothing is rewritten on the
    // wire, as behind a load balancer with direct server return.
    let also = (options.deployment == Deployment::Pair).then_some(ENDPOINT_IP);
    let (mut networks, mut hosts) = (Vec::new(), Vec::new());
    for host in options.deployment.hosts() {
        let plan = Plan { ip: host.ip(), also, tcp_retries2: None };
        let (network, device) = Network::make(session, &plan)?;
        networks.push(network);
        hosts.push(device);
    }
    let plan = Plan { ip: CLIENT_IP, also: None, tcp_retries2: options.tcp_retries2 };
    let (network_client, client) = Network::make(session, &plan)?;
    let wire = Wire::start(Switch::new(options.rtt / 2, HostId::A), Devices { client, hosts })
        .map_err(doing("start the wire"))?;
    Ok((networks, network_client, wire))
}

/// A name that no other lab of this process has.
pub(super) fn next_name() -> String {
    static LABS: AtomicU32 = AtomicU32::new(0);
    format!("lab-{}", LABS.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn version(server: &Server) -> Result<String, LabError> {
    if let Some(version) = server.info("server", "valkey_version")? {
        return Ok(format!("valkey {version}"));
    }
    Ok(format!("redis {}", server.info("server", "redis_version")?.unwrap_or_default()))
}
