//! Another server takes over.

use super::*;

#[tokio::test]
async fn a_new_master_is_found_and_its_texts_are_not_trusted() {
    if !installed(Sentinel::PROGRAMS) {
        return;
    }
    let (log, _guard) = Log::capture();
    let mut servers = Sentinel::start();
    let config = config(&servers.url(), &[]);
    let namespace = open_namespace(&config, "2f1c7c1e").await;
    fill(&*namespace, "a", "old").await;
    namespace.outside().set("route", "group001".to_owned()).await;
    assert_eq!(servers.command(&["WAIT", "1", "10000"]), "1");
    let (before, old) = (namespace.get("a").await.ticket, servers.master());
    servers.kill_master();
    until_away(namespace.outside()).await;
    until("another master is found", async || !namespace.outside().is_away()).await;

    assert_ne!(servers.master(), old);
    assert_eq!(servers.command(&["EXISTS", "tnv:meta:{2f1c7c1e}:a"]), "1");
    assert_eq!(value(&*namespace, "a").await, None);
    namespace.set(before, "a", "old".to_owned()).await;
    assert_eq!(value(&*namespace, "a").await, None);
    assert_eq!(namespace.outside().get("route").await.as_deref(), Some("group001"));
    namespace_contract(&*namespace).await;
    assert_eq!(log.count("WARN"), 1, "{}", log.text());
}

/// Which node has the key, by what it answers.
fn owner_of(cluster: &RedisCluster, key: &str) -> usize {
    (0..3).find(|&node| !cluster.command(node, &["GET", key]).starts_with("MOVED")).unwrap()
}

#[tokio::test]
async fn in_a_cluster_a_redirection_begins_anew() {
    if !installed(RedisCluster::PROGRAMS) {
        return;
    }
    let cluster = RedisCluster::start();
    let config = config(&cluster.url(), &[]);
    let namespace = open_namespace(&config, "2f1c7c1e").await;
    let (before, epoch) = (namespace.get("a").await.ticket, "tnv:epoch:{2f1c7c1e}");
    let from = owner_of(&cluster, epoch);
    let to = (from + 1) % 3;
    // A slot changes its node when it is empty; at the other one the epoch is there already, as with a replica.
    let old = cluster.command(from, &["GETDEL", epoch]);
    let (slot, id) =
        (cluster.command(0, &["CLUSTER", "KEYSLOT", epoch]), cluster.command(to, &["CLUSTER", "MYID"]));
    for node in [to, from, (from + 2) % 3] {
        assert_eq!(cluster.command(node, &["CLUSTER", "SETSLOT", &slot, "NODE", &id]), "OK");
    }
    assert_eq!(cluster.command(to, &["SET", epoch, &old]), "OK");
    until("the redirection is noticed", async || namespace.get("a").await.ticket != before).await;
    until_there(namespace.outside()).await;
    assert_eq!(owner_of(&cluster, epoch), to);
    namespace.set(before, "a", "old".to_owned()).await;
    assert_eq!(value(&*namespace, "a").await, None);
    fill(&*namespace, "a", "new").await;
}
