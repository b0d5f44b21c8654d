//! What one node of a cluster believes, and what it makes of what others say of themselves: the rules of redis' `cluster.c`
//! (`clusterProcessPacket`, `clusterUpdateSlotsConfigWith`).

/// What a node says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    from: usize,
    epoch: u64,
    config: u64,
    of: Option<usize>,
    claims: Vec<usize>,
}

/// What hearing it means for the one who hears.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// It has lost its last slot, or its primary has: it is a replica of this one now.
    pub(crate) follows: Option<usize>,
    /// Pieces that it had.
    pub(crate) lost: Vec<usize>,
    /// Something that it believed has changed.
    pub(crate) is_news: bool,
}

/// See the module's documentation. Other nodes go by their number.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) me: usize,
    /// `currentEpoch`
    pub(crate) epoch: u64,
    /// By node: `configEpoch`.
    pub(crate) config: Vec<u64>,
    /// By node: whose replica it is.
    pub(crate) of: Vec<Option<usize>>,
    /// By piece.
    pub(crate) owner: Vec<Option<usize>>,
    pub(crate) migrating: Vec<Option<usize>>,
    pub(crate) importing: Vec<Option<usize>>,
    /// It has just started, or was in the minority: until then it says that the cluster is down.
    pub(crate) down_until: u64,
    /// It says so because too few can be reached, or slots are not covered.
    pub(crate) is_down: bool,
}

impl Node {
    pub(crate) fn is_primary(&self) -> bool {
        self.of[self.me].is_none()
    }

    /// True if it serves this piece, as it believes.
    pub(crate) fn claims(&self, piece: usize) -> bool {
        self.is_primary() && self.owner[piece] == Some(self.me)
    }

    pub(crate) fn has_any(&self, node: usize) -> bool {
        self.owner.contains(&Some(node))
    }

    /// The primary of whoever it is.
    fn primary_of(&self, node: usize) -> usize {
        self.of[node].unwrap_or(node)
    }

    pub(crate) fn header(&self) -> Header {
        let claims = (0..self.owner.len()).filter(|piece| self.claims(*piece)).collect();
        let config = self.config[self.primary_of(self.me)];
        Header { from: self.me, epoch: self.epoch, config, of: self.of[self.me], claims }
    }

    /// Takes over, with an epoch that nobody has had.
    pub(crate) fn claim(&mut self, epoch: u64, pieces: &[usize]) {
        self.epoch = epoch;
        self.config[self.me] = epoch;
        self.of[self.me] = None;
        for piece in pieces {
            self.owner[*piece] = Some(self.me);
            self.importing[*piece] = None;
        }
    }

    pub(crate) fn hear(&mut self, header: &Header) -> Heard {
        let Header { from, epoch, config, of, ref claims } = *header;
        self.epoch = self.epoch.max(epoch);
        let mut heard = Heard { is_news: self.of[from] != of, ..Heard::default() };
        if of.is_some() {
            if self.of[from].is_none() {
                // A primary that became a replica has nothing any more.
                self.owner.iter_mut().for_each(|owner| *owner = owner.filter(|its| *its != from));
            }
            self.of[from] = of;
            return heard;
        }
        self.of[from] = None;
        let mine = self.primary_of(self.me);
        self.config[from] = self.config[from].max(config);
        let mut takes_mine = false;
        for piece in claims.iter().copied() {
            let owner = self.owner[piece];
            let is_newer = owner.is_none_or(|owner| self.config[owner] < config);
            if owner == Some(from) || self.importing[piece].is_some() || !is_newer {
                continue;
            }
            if owner == Some(self.me) {
                heard.lost.push(piece);
                self.migrating[piece] = None;
            }
            takes_mine |= owner == Some(mine);
            self.owner[piece] = Some(from);
            heard.is_news = true;
        }
        if takes_mine && !self.has_any(mine) {
            self.of[self.me] = Some(from);
            heard.follows = Some(from);
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three primaries of a piece each, and a replica of the first.
    fn node(me: usize) -> Node {
        Node {
            me,
            epoch: 3,
            config: vec![1, 2, 3, 0],
            of: vec![None, None, None, Some(0)],
            owner: vec![Some(0), Some(1), Some(2)],
            migrating: vec![None; 3],
            importing: vec![None; 3],
            down_until: 0,
            is_down: false,
        }
    }

    #[test]
    fn the_higher_epoch_has_the_slot_and_who_lost_all_follows() {
        let (mut old, mut other, mut heir) = (node(0), node(1), node(3));
        heir.claim(4, &[0]);
        let heard = old.hear(&heir.header());
        assert_eq!(heard, Heard { follows: Some(3), lost: vec![0], is_news: true });
        assert!(!old.is_primary());
        assert_eq!(other.hear(&node(0).header()), Heard::default());
        assert!(other.hear(&heir.header()).is_news);
        assert_eq!(other.owner[0], Some(3));
        other.hear(&node(0).header());
        assert_eq!(other.owner[0], Some(3), "an old claim changes nothing");
        other.hear(&old.header());
        assert_eq!((other.of[0], other.owner[0]), (Some(3), Some(3)));
    }

    #[test]
    fn a_primary_that_says_it_is_a_replica_leaves_its_slots_to_nobody() {
        let (mut other, mut old) = (node(1), node(0));
        old.of[0] = Some(3);
        other.hear(&old.header());
        assert_eq!(other.owner, [None, Some(1), Some(2)]);
    }
}
