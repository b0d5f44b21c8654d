//! What typed commands write.

#![cfg(all(feature = "string", feature = "sorted-set", feature = "hash", feature = "list"))]

use redial_commands::traits::*;
use redial_commands::{Complete, Draft, Executor, Side};
use redial_resp::Command;

/// Executes nothing: keeps what was written.
#[derive(Clone, Copy)]
struct Paper;

struct Written(Command);

impl Draft for Written {
    type Of<R> = Self;

    fn answering<R>(self) -> Self {
        self
    }

    fn command_mut(&mut self) -> &mut Command {
        &mut self.0
    }
}

impl Complete for Written {
    type Command = Self;

    fn into_command(self) -> Self {
        self
    }
}

impl Executor for Paper {
    type Command<R> = Written;

    fn begin<R>(self, name: &'static str) -> Written {
        Written(Command::new(name))
    }
}

fn line(command: impl Complete<Command = Written>) -> String {
    let command = command.into_command().0;
    let words: Vec<_> = command.args().map(String::from_utf8_lossy).collect();
    words.join(" ")
}

#[test]
fn options_are_written_in_the_order_in_which_they_are_given() {
    assert_eq!(line(Paper.set("k", "v")), "SET k v");
    assert_eq!(line(Paper.set("k", 7).ex(30).nx()), "SET k 7 EX 30 NX");
    assert_eq!(line(Paper.set("k", "v").get::<String>().xx().keepttl()), "SET k v GET XX KEEPTTL");
    assert_eq!(
        line(Paper.zrange::<()>("z", 0, -1).byscore().rev().limit(0, 5).withscores()),
        "ZRANGE z 0 -1 BYSCORE REV LIMIT 0 5 WITHSCORES"
    );
}

#[test]
fn what_is_repeated_may_be_anything_that_can_be_iterated_over() {
    let owned = vec![String::from("a"), String::from("b")];
    assert_eq!(line(Paper.mget::<()>(["a", "b"])), "MGET a b");
    assert_eq!(line(Paper.mget::<()>(&owned)), "MGET a b");
    assert_eq!(line(Paper.mget::<()>(owned.iter().map(|k| k.as_str()))), "MGET a b");
    assert_eq!(line(Paper.mset([("a", 1), ("b", 2)])), "MSET a 1 b 2");
    assert_eq!(line(Paper.zunion::<()>(&owned).weights([1.5, 2.0])), "ZUNION 2 a b WEIGHTS 1.5 2");
}

#[test]
fn what_the_server_wants_last_comes_last() {
    assert_eq!(
        line(Paper.zadd("z").nx().ch().member(1, "a").members([(2.5, "b"), (3.0, "c")])),
        "ZADD z NX CH 1 a 2.5 b 3 c"
    );
    assert_eq!(
        line(Paper.hexpire("h", 30).gt().fields(["a", "b"])),
        "HEXPIRE h 30 GT FIELDS 2 a b"
    );
    assert_eq!(
        line(Paper.hsetex("h").fxx().px(5).fields([("a", 1)])),
        "HSETEX h FXX PX 5 FIELDS 1 a 1"
    );
}

#[test]
fn fixed_words_are_enums() {
    assert_eq!(line(Paper.lmove::<()>("a", "b", Side::Left, Side::Right)), "LMOVE a b LEFT RIGHT");
    assert_eq!(
        line(Paper.blmpop::<()>(0.5, ["a"], Side::Left).count(3)),
        "BLMPOP 0.5 1 a LEFT COUNT 3"
    );
}
