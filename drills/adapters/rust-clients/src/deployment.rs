//! What `REDIS_URL` names, for clients whose own URLs are of another form.

/// One of the three kinds of URL of `docs/adapters.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deployment {
    /// `redis://host:port`, which every client takes as it is.
    One,
    /// `redis+sentinel://h1:p1,h2:p2/name`
    Sentinel {
        /// `host:port`, in their order.
        sentinels: Vec<String>,
        /// The name by which they know the primary.
        name: String,
    },
    /// `redis+cluster://h1:p1,h2:p2`: `host:port`, in their order.
    Cluster(Vec<String>),
}

impl Deployment {
    /// Takes the URL apart; what is of no form that the drill writes is left to the client.
    pub fn of(url: &str) -> Self {
        let Some((scheme, rest)) = url.split_once("://") else { return Self::One };
        let (hosts, name) = rest.split_once('/').unwrap_or((rest, ""));
        let hosts = hosts.split(',').map(str::to_owned).collect();
        match scheme.split_once('+') {
            Some((_, "sentinel")) => Self::Sentinel { sentinels: hosts, name: name.to_owned() },
            Some((_, "cluster")) => Self::Cluster(hosts),
            _ => Self::One,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_kinds_are_told_apart() {
        let strings = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let sentinels = strings(&["a:1", "b:2"]);
        let watched = Deployment::Sentinel { sentinels, name: "m".into() };
        assert_eq!(Deployment::of("redis+sentinel://a:1,b:2/m"), watched);
        let cluster = Deployment::Cluster(strings(&["a:1", "b:2"]));
        assert_eq!(Deployment::of("redis+cluster://a:1,b:2"), cluster);
        assert_eq!(Deployment::of("redis://a:1/0"), Deployment::One);
    }
}
