//! Published messages: who listens to what, and the bounded streams that they arrive in.
//!
//! What the server is asked for, and when again, is decided in `redial-proto` (`link/subscriptions.rs`); docs/design/pubsub.md tells the whole.

mod ask;
mod channels;
pub(crate) mod inbox;
pub(crate) mod registry;
mod subscription;

pub(crate) use self::ask::Ask;
pub use self::channels::ToChannels;
pub use self::inbox::Received;
pub(crate) use self::registry::Feed;
pub use self::subscription::{Message, Refused, Subscribe, Subscription};
