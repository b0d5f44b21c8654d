//! What a server says of its own future, and what becomes of it: prepared moves where it is true, and nothing where it is not.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod azure;
mod lies;
mod pushes;
mod world;
