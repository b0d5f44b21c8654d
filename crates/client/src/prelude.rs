//! The traits that typed commands need: `use redial::prelude::*;`.
//!
//! ```no_run
//! use redial::prelude::*;
//!
//! # async fn example(client: redial::Client) -> Result<(), redial::Error> {
//! client.set("colour", "blue").ex(30).await?;
//! let was_set: bool = client.set("colour", "red").nx().await?;
//! let colour: Option<String> = client.get("colour").await?;
//! client.zadd("board").member(10, "ann").member(7.5, "bob").await?;
//! # Ok(())
//! # }
//! ```

#[allow(unused_imports, unreachable_pub, reason = "every group of commands can be left out")]
pub use redial_commands::traits::*;

pub use crate::typed::{CommandOptions, Queue};
