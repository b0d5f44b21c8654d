//! The examples do what they say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use redial::Client;

use crate::process::Server;

#[path = "../../examples/cache.rs"]
mod cache;
#[path = "../../examples/leaderboard.rs"]
mod leaderboard;
#[path = "../../examples/lock.rs"]
mod lock;
#[path = "../../examples/login.rs"]
mod login;

async fn start() -> (Server, Client) {
    let server = Server::start(&[]);
    let client = Client::connect(&server.url()).await.unwrap();
    (server, client)
}

#[tokio::test]
async fn a_lock_has_one_owner_and_every_owner_a_higher_number() {
    let (_server, client) = start().await;
    let lock = lock::Lock::new(&client, "l", Duration::from_millis(400), None);
    let mut first = lock.take("one").await.unwrap();
    let again = lock.try_take("one").await.unwrap().unwrap();
    assert_eq!(first.fence, again.fence, "a question that is asked again is answered alike");
    assert!(lock.try_take("two").await.unwrap().is_none());
    assert!(lock.renew(&mut first).await.unwrap());
    lock.give_back(again).await.unwrap();
    let second = lock.take("two").await.unwrap();
    assert!(second.fence > first.fence);
    assert!(!lock.renew(&mut first).await.unwrap(), "it is another's");
    lock.give_back(first).await.unwrap();
    assert!(lock.try_take("three").await.unwrap().is_none(), "only its owner gives it back");
    let third = lock.take("three").await.unwrap();
    assert!(third.fence > second.fence, "a lease ends by itself");

    let mut account = lock::Account::default();
    account.deposit(third.fence, 5).unwrap();
    assert!(account.deposit(second.fence, 5).is_err());
    assert_eq!(account.balance, 5);
}

#[tokio::test]
async fn a_popular_key_is_loaded_once_and_a_missing_one_is_not_asked_for_again() {
    let (_server, client) = start().await;
    let cache = cache::Cache::new(&client, "c", Duration::from_secs(60));
    let loads = AtomicUsize::new(0);
    let load = async || {
        loads.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, ()>(Some("value".to_owned()))
    };
    for value in join_all((0..100).map(|_| cache.get("k", load))).await {
        assert_eq!(value.unwrap().as_deref(), Some("value"));
    }
    assert_eq!(loads.load(Ordering::Relaxed), 1);
    let missing = async || {
        loads.fetch_add(1, Ordering::Relaxed);
        Ok::<_, ()>(None)
    };
    for _ in 0..3 {
        assert_eq!(cache.get("missing", missing).await.unwrap(), None);
    }
    assert_eq!(loads.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_value_read_before_an_update_is_not_stored_after_it() {
    let (_server, client) = start().await;
    let cache = cache::Cache::new(&client, "c", Duration::from_secs(60));
    let old = async || {
        // The source is updated while it is being read.
        cache.forget("k").await.unwrap();
        Ok::<_, ()>(Some("old".to_owned()))
    };
    assert_eq!(cache.get("k", old).await.unwrap().as_deref(), Some("old"));
    let new = async || Ok::<_, ()>(Some("new".to_owned()));
    assert_eq!(cache.get("k", new).await.unwrap().as_deref(), Some("new"));
    assert_eq!(cache.get("k", old).await.unwrap().as_deref(), Some("new"));
}

#[tokio::test]
async fn without_redis_the_source_answers() {
    let (mut server, client) = start().await;
    server.kill();
    let cache = cache::Cache::new(&client, "c", Duration::from_secs(60));
    let load = async || Ok::<_, ()>(Some("value".to_owned()));
    assert_eq!(cache.get("k", load).await.unwrap().as_deref(), Some("value"));
}

#[tokio::test]
async fn a_code_logs_in_once_and_five_wrong_ones_end_it() {
    let (_server, client) = start().await;
    let logins = login::Logins::new(&client);
    let code = logins.new_code("ada").await.unwrap();
    assert_eq!(logins.log_in("ada", "wrong").await.unwrap(), None);
    let session = logins.log_in("ada", &code).await.unwrap().unwrap();
    assert_eq!(logins.user_of(&session).await.unwrap().as_deref(), Some("ada"));
    assert_eq!(logins.log_in("ada", &code).await.unwrap(), None, "a code is for one login");
    logins.log_out(&session).await.unwrap();
    assert_eq!(logins.user_of(&session).await.unwrap(), None);

    let code = logins.new_code("ada").await.unwrap();
    for _ in 0..5 {
        assert_eq!(logins.log_in("ada", "wrong").await.unwrap(), None);
    }
    assert_eq!(logins.log_in("ada", &code).await.unwrap(), None);
    assert_eq!(client.cmd::<i64>("DBSIZE").await.unwrap(), 0, "and nothing is left of it");
}

#[tokio::test]
async fn a_match_counts_once_and_of_equal_scores_the_first_is_ahead() {
    let (_server, client) = start().await;
    let board = leaderboard::Leaderboard::new(&client, 1);
    for _ in 0..3 {
        assert_eq!(board.add("final", "ada", 3).await.unwrap(), 3);
    }
    assert_eq!(board.add("semifinal", "ada", 2).await.unwrap(), 5);
    let week = leaderboard::Leaderboard::new(&client, 2);
    week.best("late", 7, 604_799).await.unwrap();
    week.best("early", 7, 0).await.unwrap();
    week.best("worse", 6, 0).await.unwrap();
    week.best("early", 3, 5).await.unwrap();
    let line =
        |rank, player: &str, points| leaderboard::Line { rank, player: player.into(), points };
    let all = [line(1, "early", 7), line(2, "late", 7), line(3, "worse", 6)];
    assert_eq!(week.top(10).await.unwrap(), all);
    assert_eq!(week.around("worse", 1).await.unwrap(), all[1..]);
    assert_eq!(week.around("nobody", 1).await.unwrap(), []);
}
