//! What people are told of their Redis.

use tnv_testbed::Certificates;

use super::*;

/// What `--check` says of a Redis that is in order.
async fn found(url: &str) -> String {
    config(url, &[]).check().await.unwrap()
}

/// What it says of one that is not: always with its name, never with a password.
async fn refused(url: &str) -> String {
    let config = config(url, &[("timeout", "300ms"), ("connect_timeout", "300ms")]);
    let message = config.check().await.unwrap_err();
    assert!(message.starts_with(&format!("{config}: ")), "{message}");
    assert!(!message.contains("hunter2"), "{message}");
    message
}

#[tokio::test]
async fn a_password_is_asked_for_in_words() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let (log, _guard) = Log::capture();
    let mut redis = Redis::start();
    let plain = redis.url();
    let cache = open(&config(&plain, &[])).await;
    redis.restart_with(&["--requirepass", "hunter2"]);
    until_away(&*cache).await;
    until("it was told", async || log.count("it asks for a password") == 1).await;

    assert!(refused(&plain).await.contains("it asks for a password"));
    let wrong = format!("redis://:hunter22@{}", redis.address());
    assert!(refused(&wrong).await.contains("wrong user or password"));
    let wrong = config(&wrong, &[]).open();
    until("it was told", async || log.count("wrong user or password") == 1).await;
    assert!(wrong.is_away());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let config = config(&plain, &[("password_file", file.to_str().unwrap())]);
    assert!(config.check().await.unwrap().starts_with(&format!("redis://:***@{}: Redis ", redis.address())));
    contract(&*open(&config).await).await;
    assert!(!log.text().contains("hunter2"), "{}", log.text());
}

#[tokio::test]
async fn each_fault_has_its_sentence() {
    if !installed(Redis::PROGRAMS) {
        return;
    }
    let mut redis = Redis::start();
    assert!(found(&redis.url()).await.starts_with(&format!("{}: Redis ", redis.url())));
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    assert!(refused(&redis.url()).await.contains("it is a replica"));
    redis.command(&["REPLICAOF", "NO", "ONE"]);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(refused(&redis.url()).await.contains("its memory is full"));
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.command(&["ACL", "SETUSER", "reader", "on", ">hunter2", "~*", "+get"]);
    let reader = format!("redis://reader:hunter2@{}", redis.address());
    assert!(refused(&reader).await.contains("the user needs"));
    let cluster = format!("redis+cluster://{}", redis.address());
    assert!(refused(&cluster).await.contains("it is no cluster"));
    assert!(refused(&format!("redis://{}/99", redis.address())).await.contains("database"));
    // No sentinel, and no TLS: whatever it is called, it has an end.
    refused(&format!("redis+sentinel://{}/films", redis.address())).await;
    refused(&format!("rediss://{}", redis.address())).await;
    redis.pause();
    assert!(refused(&redis.url()).await.contains("within"));
    redis.kill();
    assert!(refused(&redis.url()).await.contains("refused"));
    assert!(refused("redis://no-such-host.invalid").await.contains("no-such-host.invalid"));
}

#[tokio::test]
async fn sentinels_say_whom_they_know() {
    if !installed(Sentinel::PROGRAMS) {
        return;
    }
    let servers = Sentinel::start();
    assert!(found(&servers.url()).await.ends_with(&format!(", master 127.0.0.1:{}", servers.master())));
    let unknown = servers.url().replace("/films", "/series");
    assert!(refused(&unknown).await.contains("know no master of this name"));
}

#[tokio::test]
async fn a_cluster_says_how_large_it_is() {
    if !installed(RedisCluster::PROGRAMS) {
        return;
    }
    let cluster = RedisCluster::start();
    assert!(found(&cluster.url()).await.ends_with(", 3 masters"));
    // The key that is written lies on one of the three.
    let hosts = cluster.url();
    let mut redirected = 0;
    for host in hosts.strip_prefix("redis+cluster://").unwrap().split(',') {
        if let Err(message) = config(&format!("redis://{host}"), &[]).check().await {
            assert!(message.contains("it is a node of a cluster"), "{message}");
            redirected += 1;
        }
    }
    assert_eq!(redirected, 2);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    if !installed(&[Redis::PROGRAMS, &["openssl"]].concat()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = Certificates::make(folder.path());
    let ((certificate, key), ca) = (made.server(), made.ca());
    let [port] = tnv_testbed::free_ports();
    let files = [&certificate, &key, &ca].map(|file| file.to_str().unwrap());
    let _redis = Redis::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        files[0],
        "--tls-key-file",
        files[1],
        "--tls-ca-cert-file",
        files[2],
    ]);
    assert!(
        refused(&format!("rediss://:hunter2@127.0.0.1:{port}"))
            .await
            .contains("its certificate is not signed")
    );
}
