//! A Redis that crashes, hangs, or was never there.

use super::*;

#[tokio::test]
async fn a_crash_costs_speed_and_nothing_else() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let (log, _guard) = Log::capture();
    let mut redis = Redis::start_with(&["--requirepass", "hunter2"]);
    let config = config(&redis.url(), &[]);
    let cache = open(&config).await;
    cache.set("a", "1".to_owned()).await;
    assert_eq!(cache.get("a").await.as_deref(), Some("1"));
    redis.kill();
    until_away(&*cache).await;
    cache.set("a", "2".to_owned()).await;
    cache.remove("a").await;
    assert_eq!(cache.get("a").await, None);
    until("it was told", async || log.count("WARN") == 1).await;
    redis.restart();
    until_there(&*cache).await;
    contract(&*cache).await;

    let shown = format!("redis://:***@{}", redis.address());
    assert_eq!((log.count("WARN"), log.count("the cache is away; everything goes on")), (1, 1));
    assert_eq!(log.count("INFO"), 2, "{}", log.text());
    assert_eq!(log.count(&shown), log.text().lines().count(), "{}", log.text());
    assert!(!log.text().contains("hunter2") && !format!("{config:?} {config}").contains("hunter2"));
}

#[tokio::test]
async fn a_start_waits_for_no_redis() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let (log, _guard) = Log::capture();
    let mut redis = Redis::start();
    redis.kill();
    let namespace = config(&redis.url(), &[]).open_namespace("meta", "2f1c7c1e");
    let lookup = namespace.get("a").await;
    assert!(lookup.value.is_none() && lookup.ticket.is_void());
    namespace.set(lookup.ticket, "a", "1".to_owned()).await;
    namespace.remove("a").await;
    until("it was told", async || log.count("WARN") == 1).await;
    assert_eq!(log.count("refused"), 1, "{}", log.text());
    redis.restart();
    until_there(namespace.outside()).await;
    namespace_contract(&*namespace).await;
    assert_eq!(log.count("WARN"), 1, "{}", log.text());
}

#[tokio::test]
async fn one_that_hangs_ends_all_commands_at_once() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let (log, _guard) = Log::capture();
    let redis = Redis::start();
    let cache = open(&config(&redis.url(), &[("timeout", "200ms")])).await;
    redis.pause();
    let commands: Vec<_> = (0..100)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get("a").await })
        })
        .collect();
    for command in commands {
        assert_eq!(command.await.unwrap(), None);
    }
    assert!(cache.is_away());
    until("it was told", async || log.count("no answer within 200ms") == 1).await;
    redis.resume();
    until_there(&*cache).await;
    contract(&*cache).await;
    assert_eq!(log.count("WARN"), 1, "{}", log.text());
}

#[tokio::test]
async fn nobody_sees_what_was_removed_while_redis_was_away() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let redis = Redis::start();
    let config = config(&redis.url(), &[("timeout", "200ms")]);
    let (one, other) = (open_namespace(&config, "2f1c7c1e").await, open_namespace(&config, "2f1c7c1e").await);
    let stranger = open_namespace(&config, "00000000").await;
    for key in ["hung", "open"] {
        fill(&*one, key, "old").await;
        assert_eq!(value(&*other, key).await.as_deref(), Some("old"));
    }
    fill(&*stranger, "open", "theirs").await;
    let before = one.get("late").await.ticket;
    redis.pause();
    one.remove("hung").await;
    assert!(one.outside().is_away(), "the removal found out");
    // Not even sent.
    one.remove("open").await;
    redis.resume();
    until_there(one.outside()).await;

    assert_eq!(redis.command(&["EXISTS", "tnv:meta:{2f1c7c1e}:open"]), "1");
    for key in ["hung", "open"] {
        assert_eq!((value(&*one, key).await, value(&*other, key).await), (None, None), "{key}");
    }
    // Nor is what was read before the outage and put in after it.
    one.set(before, "late", "old".to_owned()).await;
    assert_eq!(redis.command(&["EXISTS", "tnv:meta:{2f1c7c1e}:late"]), "1");
    assert_eq!((value(&*one, "late").await, value(&*other, "late").await), (None, None));
    fill(&*one, "open", "new").await;
    assert_eq!(value(&*other, "open").await.as_deref(), Some("new"));
    assert_eq!(value(&*stranger, "open").await.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_new_process_trusts_nothing_of_before() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let redis = Redis::start();
    let config = config(&redis.url(), &[]);
    let one = open_namespace(&config, "2f1c7c1e").await;
    fill(&*one, "a", "old").await;
    let other = open_namespace(&config, "2f1c7c1e").await;
    assert_eq!((value(&*other, "a").await, value(&*one, "a").await), (None, None));
    fill(&*other, "a", "new").await;
    assert_eq!(value(&*one, "a").await.as_deref(), Some("new"));
}

#[tokio::test]
async fn texts_whose_epoch_is_gone_are_dead() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let redis = Redis::start();
    let namespace = open_namespace(&config(&redis.url(), &[]), "2f1c7c1e").await;
    for lost in ["", "no epoch"] {
        fill(&*namespace, "a", "old").await;
        match lost {
            "" => redis.command(&["DEL", "tnv:epoch:{2f1c7c1e}"]),
            text => redis.command(&["SET", "tnv:epoch:{2f1c7c1e}", text]),
        };
        assert_eq!(value(&*namespace, "a").await, None);
        if !lost.is_empty() {
            redis.command(&["DEL", "tnv:epoch:{2f1c7c1e}"]);
        }
        fill(&*namespace, "a", "new").await;
        namespace.remove("a").await;
    }
}
