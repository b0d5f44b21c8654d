//! The leaderboard of a game, a new one every week.
//!
//!     cargo run --example leaderboard               # needs a Redis, at REDIS_URL or on this machine
//!     redial drill power-off -- target/debug/examples/leaderboard
//!
//! A result is counted exactly once, however often it is reported: the match's number is the id of the write (`once`). Of equal scores the one that was
//! reached first is ahead. A week's board goes away by itself after a month.

use std::time::Duration;

use redial::prelude::*;
use redial::{Client, Error};

const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Below the score, where the time counts: the less of the week is over, the more.
const FRACTION: f64 = 1.0 / (7.0 * 24.0 * 3600.0 + 1.0);

pub(crate) struct Leaderboard {
    client: Client,
    key: String,
}

/// A line of the board.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// 1 is the best.
    pub(crate) rank: u64,
    pub(crate) player: String,
    pub(crate) points: i64,
}

impl Leaderboard {
    pub(crate) fn new(client: &Client, week: u64) -> Self {
        Self { client: client.clone(), key: format!("leaderboard:{week}") }
    }

    /// Adds a match's points. `game` names the match: reported again, it counts no more.
    pub(crate) async fn add(&self, game: &str, player: &str, points: u32) -> Result<i64, Error> {
        let command = self.client.zincrby(&self.key, points, player);
        let score =
            command.once(format!("{game}:{player}")).ttl(Duration::from_secs(86_400)).await?;
        // Said every time, since it may have been lost in between; it costs one round trip for all of them together.
        self.client.expire(&self.key, KEPT.as_secs()).await?;
        Ok(score.trunc() as i64)
    }

    /// Sets a player's score if it is better than before; `second` is that of the week, so that who was first stays ahead.
    pub(crate) async fn best(&self, player: &str, points: u32, second: u32) -> Result<(), Error> {
        let score = f64::from(points) + 1.0 - f64::from(second + 1) * FRACTION;
        self.client.zadd(&self.key).gt().member(score, player).await.map(drop)
    }

    /// The best.
    pub(crate) async fn top(&self, lines: u64) -> Result<Vec<Line>, Error> {
        self.lines(0, lines.max(1) - 1).await
    }

    /// The lines around a player; nothing if the player has none.
    pub(crate) async fn around(&self, player: &str, lines: u64) -> Result<Vec<Line>, Error> {
        match self.client.zrevrank(&self.key, player).await? {
            Some(rank) => self.lines(rank.saturating_sub(lines), rank + lines).await,
            None => Ok(Vec::new()),
        }
    }

    async fn lines(&self, first: u64, last: u64) -> Result<Vec<Line>, Error> {
        let lines = self.client.zrange(&self.key, first, last).rev().withscores();
        let found: Vec<(String, f64)> = lines.await?;
        let line = |(rank, (player, score)): (u64, (String, f64))| Line {
            rank,
            player,
            points: score.trunc() as i64,
        };
        Ok((first + 1..).zip(found).map(line).collect())
    }
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "the tests use this file as a module")]
async fn main() -> Result<(), Error> {
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://localhost".into());
    let client = Client::connect(&url).await?;
    let (all, best) = (Leaderboard::new(&client, 47), Leaderboard::new(&client, 48));
    let run = fastrand::u64(..);
    for game in 0_u64.. {
        let player = ["ada", "grace", "edsger", "barbara"][game as usize % 4];
        let points = fastrand::u32(1..100);
        if let Err(error) = all.add(&format!("{run:x}-{game}"), player, points).await {
            eprintln!("the result of match {game} is to be reported again: {error}");
        }
        if let Err(error) = best.best(player, points, game as u32 % 604_800).await {
            eprintln!("{player}'s best may be missing: {error}");
        }
        if game % 100 == 0 {
            match (all.top(3).await, best.around(player, 1).await) {
                (Ok(lines), Ok(near)) => println!("{lines:?}\nnear {player}: {near:?}"),
                (Err(error), _) | (_, Err(error)) => eprintln!("no board for now: {error}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
