use std::collections::HashMap;
use std::net::Ipv4Addr;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A registry, its time, and its chance.
struct World {
    registry: Registry,
    now: Instant,
    rng: StdRng,
    meeting: MeetingId,
    version: Hash,
    clients: u32,
}

fn policy() -> Policy {
    Policy { heartbeat_timeout: 60 * SECOND, return_window: 10 * SECOND, ..Policy::default() }
}

fn id(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

impl World {
    fn new(policy: Policy) -> World {
        World {
            registry: Registry::new(policy, 100),
            now: Instant::now(),
            rng: StdRng::seed_from_u64(7),
            meeting: MeetingId::new("m1").unwrap(),
            version: blake3::hash(b"1"),
            clients: u32::from(Ipv4Addr::new(10, 1, 0, 0)),
        }
    }

    /// A node that is fine and holds the package.
    fn add(&mut self, name: &str) {
        self.register(name);
        let target = self.target(name);
        self.registry.probed(&target, Finding::Answered(Duration::from_millis(5)), self.now);
        self.beat(name, self.holding());
    }

    fn register(&mut self, name: &str) -> bool {
        let registration = Registration {
            id: id(name),
            address: format!("{name}:8001").parse().unwrap(),
            status: "online".to_owned(),
            storage_capacity: 100,
            storage_used: 10,
        };
        self.registry.register(registration, ip(1), self.now).unwrap()
    }

    fn target(&self, name: &str) -> Target {
        Target { id: id(name), address: self.registry.node(&id(name)).unwrap().address.clone() }
    }

    fn holding(&self) -> Beat {
        let packages = Some(vec![(self.meeting.clone(), self.version)]);
        Beat { health: Some(1.0), status: Some("active".to_owned()), packages, ..Beat::default() }
    }

    fn beat(&mut self, name: &str, beat: Beat) {
        assert!(self.registry.beat(&id(name), beat, self.now));
    }

    fn choose_for(&mut self, client: IpAddr, has_fallback: bool) -> Option<String> {
        let asker = Asker { client, goes: true, has_fallback };
        let World { registry, now, rng, meeting, version, .. } = self;
        registry.choose(meeting, *version, asker, *now, rng).map(|choice| choice.id.to_string())
    }

    /// How often each node is chosen for so many new clients.
    fn spread(&mut self, clients: u16) -> HashMap<String, u16> {
        let mut spread = HashMap::new();
        for _ in 0..clients {
            self.clients += 1;
            if let Some(chosen) = self.choose_for(Ipv4Addr::from(self.clients).into(), true) {
                *spread.entry(chosen).or_default() += 1;
            }
        }
        spread
    }
}

#[test]
fn only_nodes_that_are_fine_and_hold_this_version_are_chosen() {
    let mut world = World::new(policy());
    for name in ["fine", "silent", "stopped", "drained", "older", "lost", "elsewhere"] {
        world.add(name);
    }
    world.register("unseen");
    let holding = world.holding();
    world.beat("unseen", holding);
    world.now += 59 * SECOND;
    for name in ["fine", "stopped", "drained", "older", "lost", "elsewhere", "unseen"] {
        world.beat(name, Beat::default());
    }
    world.now += 2 * SECOND;
    world.beat("stopped", Beat { status: Some("maintenance".to_owned()), ..Beat::default() });
    assert!(world.registry.drain(&id("drained"), true));
    let older = vec![(world.meeting.clone(), blake3::hash(b"0"))];
    world.beat("older", Beat { packages: Some(older), ..Beat::default() });
    for _ in 0..2 {
        let target = world.target("lost");
        world.registry.probed(&target, Finding::Failed("connection refused".to_owned()), world.now);
    }
    let target = world.target("elsewhere");
    world.registry.probed(&target, Finding::Impostor("fine".to_owned()), world.now);
    assert_eq!(world.registry.holders(&world.meeting, world.version, world.now), 1);
    assert_eq!(world.spread(50), HashMap::from([("fine".to_owned(), 50)]));

    // All of that can be mended.
    for name in ["silent", "stopped", "older"] {
        let holding = world.holding();
        world.beat(name, holding);
    }
    assert!(world.registry.drain(&id("drained"), false));
    for name in ["lost", "elsewhere", "unseen"] {
        let target = world.target(name);
        world.registry.probed(&target, Finding::Answered(Duration::from_millis(1)), world.now);
    }
    assert_eq!(world.registry.holders(&world.meeting, world.version, world.now), 8);
}

#[test]
fn those_who_come_together_are_spread_evenly() {
    let mut world = World::new(policy());
    for name in ["a", "b", "c"] {
        world.add(name);
    }
    let spread = world.spread(300);
    assert_eq!(spread.values().copied().collect::<Vec<_>>(), [100, 100, 100]);
    // What a node says of its downloads counts, and then who was sent to it since.
    world.beat("a", Beat { downloads: Some(0), ..Beat::default() });
    assert_eq!(world.spread(100), HashMap::from([("a".to_owned(), 100)]));
}

#[test]
fn weights_are_kept() {
    let weights = HashMap::from([(id("b"), 3.0)]);
    let mut world = World::new(Policy { weights, ..policy() });
    for name in ["a", "b"] {
        world.add(name);
    }
    let spread = world.spread(400);
    assert!((295..=305).contains(&spread["b"]), "{spread:?}");
}

#[test]
fn a_node_that_is_much_worse_is_left_out() {
    for worse in [
        Beat { health: Some(0.6), ..Beat::default() },
        Beat { health: Some(0.9), storage_used: Some(100), ..Beat::default() },
    ] {
        let mut world = World::new(policy());
        world.add("good");
        world.add("worse");
        world.beat("worse", worse);
        assert_eq!(world.spread(100).get("worse"), None);
    }
    let mut world = World::new(policy());
    world.add("good");
    world.add("slow");
    let target = world.target("slow");
    world.registry.probed(&target, Finding::Answered(2 * SECOND), world.now);
    assert_eq!(world.spread(100).get("slow"), None);
    world.registry.probed(&target, Finding::Answered(SECOND / 10), world.now);
    world.registry.probed(&target, Finding::Failed("time out".to_owned()), world.now);
    assert_eq!(world.spread(100).get("slow"), None);
    world.registry.probed(&target, Finding::Answered(SECOND / 10), world.now);
    assert!(world.spread(100).contains_key("slow"));
}

#[test]
fn a_client_that_comes_back_is_sent_elsewhere_and_the_node_loses() {
    let mut world = World::new(policy());
    world.add("a");
    world.add("b");
    let first = world.choose_for(ip(9), true).unwrap();
    let second = world.choose_for(ip(9), true).unwrap();
    assert_ne!(first, second);
    // After a while it has other reasons.
    world.now += 11 * SECOND;
    assert!(world.choose_for(ip(9), true).is_some());

    // A node that fails everybody is left out once that is plain.
    let mut world = World::new(policy());
    world.add("bad");
    world.add("good");
    for n in 0..20 {
        if world.choose_for(ip(n), true).unwrap() == "bad" {
            assert_eq!(world.choose_for(ip(n), true).unwrap(), "good");
        }
    }
    world.beat("good", Beat { downloads: Some(50), ..Beat::default() });
    world.beat("bad", Beat { downloads: Some(0), ..Beat::default() });
    assert_eq!(world.spread(20).get("bad"), None);
    // And it gets its chance again.
    world.now += 600 * SECOND;
    world.beat("good", Beat { downloads: Some(50), ..Beat::default() });
    world.beat("bad", Beat::default());
    assert!(world.spread(20).contains_key("bad"));
}

#[test]
fn many_clients_behind_one_address_do_not_make_nodes_bad() {
    let mut world = World::new(policy());
    world.add("a");
    world.add("b");
    let mut spread: HashMap<String, u16> = HashMap::new();
    // Where the hub has enough to do.
    for _ in 0..100 {
        *spread.entry(world.choose_for(ip(9), false).unwrap()).or_default() += 1;
    }
    assert!(spread.values().all(|count| *count == 50), "{spread:?}");
}

#[test]
fn a_client_that_all_nodes_fail_is_served_by_the_hub() {
    let mut world = World::new(policy());
    for name in ["a", "b", "c"] {
        world.add(name);
    }
    let mut sent: Vec<_> = (0..3).filter_map(|_| world.choose_for(ip(9), true)).collect();
    sent.sort_unstable();
    assert_eq!(sent, ["a", "b", "c"]);
    for _ in 0..5 {
        world.now += SECOND;
        assert_eq!(world.choose_for(ip(9), true), None);
    }
    // Others are sent to nodes as before, and so is this one where the hub cannot, or after a while.
    assert!(world.choose_for(ip(8), true).is_some());
    assert!(world.choose_for(ip(9), false).is_some());
    world.now += 10 * SECOND;
    assert!(world.choose_for(ip(9), true).is_some());
}

#[test]
fn the_only_node_is_followed_by_the_hub_if_that_can() {
    let mut world = World::new(policy());
    world.add("a");
    assert_eq!(world.choose_for(ip(9), true).as_deref(), Some("a"));
    assert_eq!(world.choose_for(ip(9), true), None);
    assert_eq!(world.choose_for(ip(9), true), None);
    assert_eq!(world.choose_for(ip(9), false).as_deref(), Some("a"));
    world.now += 10 * SECOND;
    assert_eq!(world.choose_for(ip(9), true).as_deref(), Some("a"));
}

#[test]
fn who_only_asks_is_not_counted() {
    let mut world = World::new(policy());
    world.add("a");
    let asker = Asker { client: ip(9), goes: false, has_fallback: true };
    let World { registry, now, rng, meeting, version, .. } = &mut world;
    for _ in 0..3 {
        assert!(registry.choose(meeting, *version, asker, *now, rng).is_some());
    }
    assert_eq!(registry.node(&id("a")).unwrap().load(), 0);
}

#[test]
fn nodes_without_the_package_come_last_where_they_may_get_it() {
    let mut world = World::new(Policy { pull_through: true, ..policy() });
    world.add("holds");
    world.add("pulls");
    world.beat("pulls", Beat { packages: Some(Vec::new()), ..Beat::default() });
    assert_eq!(world.spread(50), HashMap::from([("holds".to_owned(), 50)]));
    world.registry.unregister(&id("holds"));
    assert_eq!(world.spread(50), HashMap::from([("pulls".to_owned(), 50)]));
}

#[test]
fn a_client_keeps_to_its_region_and_its_node() {
    let regions = vec![("10.0.0.0/16".parse().unwrap(), "north".to_owned())];
    let mut world = World::new(Policy { regions, ..policy() });
    world.add("near");
    let far = Registration {
        id: id("far"),
        address: "192.0.2.1:8001".parse().unwrap(),
        status: "active".to_owned(),
        storage_capacity: 0,
        storage_used: 0,
    };
    assert!(world.registry.register(far, ip(1), world.now).unwrap());
    let target = world.target("far");
    world.registry.probed(&target, Finding::Answered(SECOND / 100), world.now);
    let holding = world.holding();
    world.beat("far", holding);
    for n in 0..20 {
        assert_eq!(world.choose_for(ip(n), true).as_deref(), Some("near"));
    }

    let mut world = World::new(Policy { affinity: true, return_window: Duration::ZERO, ..policy() });
    for name in ["a", "b", "c"] {
        world.add(name);
    }
    let first = world.choose_for(ip(9), true);
    world.beat(&first.clone().unwrap(), Beat { downloads: Some(1), ..Beat::default() });
    assert_eq!(world.choose_for(ip(9), true), first);
    world.beat(&first.clone().unwrap(), Beat { downloads: Some(100), ..Beat::default() });
    assert_ne!(world.choose_for(ip(9), true), first);
}

#[test]
fn registering_again_changes_nothing_but_what_is_new() {
    let mut world = World::new(policy());
    world.add("a");
    assert!(!world.register("a"), "it was found at this address");
    assert_eq!(world.registry.holders(&world.meeting, world.version, world.now), 1);
    // At another address it has to be found first.
    let moved = Registration {
        id: id("a"),
        address: "b:8001".parse().unwrap(),
        status: "active".to_owned(),
        storage_capacity: 0,
        storage_used: 0,
    };
    let before = world.target("a");
    assert!(world.registry.register(moved, ip(1), world.now).unwrap());
    assert_eq!(world.registry.holders(&world.meeting, world.version, world.now), 0);
    world.registry.probed(&before, Finding::Answered(SECOND / 100), world.now);
    assert_eq!(world.registry.holders(&world.meeting, world.version, world.now), 0, "that was elsewhere");
    let target = world.target("a");
    world.registry.probed(&target, Finding::Answered(SECOND / 100), world.now);
    assert_eq!(world.registry.holders(&world.meeting, world.version, world.now), 1);
}

#[test]
fn a_node_whose_id_another_has_taken_gets_it_back_and_both_are_named() {
    let mut world = World::new(policy());
    world.add("a");
    let at = |address: &str| Registration {
        id: id("a"),
        address: address.parse().unwrap(),
        status: "active".to_owned(),
        storage_capacity: 0,
        storage_used: 0,
    };
    let beat = |address: &str| Beat { address: Some(address.parse().unwrap()), ..Beat::default() };
    assert!(world.registry.beat(&id("a"), beat("A:8001"), world.now));
    assert!(world.registry.register(at("b:8001"), ip(2), world.now).unwrap());
    let trouble = |world: &World| world.registry.node(&id("a")).unwrap().trouble(world.now);
    assert_eq!(trouble(&world), None, "it may have moved");
    world.now += 50 * SECOND;
    assert!(!world.registry.beat(&id("a"), beat("a:8001"), world.now), "it has to register");
    assert!(trouble(&world).unwrap().contains("a:8001"));
    world.now += 20 * SECOND;
    assert_eq!(world.registry.targets(world.now), [], "nobody was heard at the address that is known");
    assert!(world.registry.register(at("a:8001"), ip(1), world.now).unwrap());
    assert!(trouble(&world).unwrap().contains("b:8001"));
    assert!(world.registry.beat(&id("a"), beat("a:8001"), world.now));
    assert_eq!(world.registry.targets(world.now).len(), 1);
    // The other one does not come back.
    world.now += 120 * SECOND;
    assert_eq!(trouble(&world), None);
}

#[test]
fn what_an_operator_has_decided_holds_when_a_node_comes_back() {
    let mut world = World::new(policy());
    world.add("a");
    assert!(world.registry.drain(&id("a"), true));
    assert!(world.registry.unregister(&id("a")));
    world.add("a");
    assert!(world.registry.node(&id("a")).unwrap().is_draining);
    assert_eq!(world.choose_for(ip(9), true), None);
    // Silent for so long that it was forgotten.
    world.now += 25 * 3600 * SECOND;
    world.registry.forget_silent(world.now);
    world.add("a");
    assert_eq!(world.choose_for(ip(9), true), None);
    assert!(world.registry.drain(&id("a"), false));
    world.registry.unregister(&id("a"));
    world.add("a");
    assert!(world.choose_for(ip(9), true).is_some());
    // Nor does anything stay of one that the operator has forgotten.
    world.registry.drain(&id("a"), true);
    assert!(world.registry.forget(&id("a")) && !world.registry.forget(&id("a")));
    world.add("a");
    assert!(!world.registry.node(&id("a")).unwrap().is_draining);
}

#[test]
fn nodes_are_bounded_and_forgotten() {
    let mut world = World::new(policy());
    world.registry.max_nodes = 2;
    world.register("a");
    world.register("b");
    let one_more = Registration {
        id: id("c"),
        address: "c:8001".parse().unwrap(),
        status: "active".to_owned(),
        storage_capacity: 0,
        storage_used: 0,
    };
    assert!(world.registry.register(one_more.clone(), ip(1), world.now).is_err());
    world.now += 25 * 3600 * SECOND;
    assert!(world.registry.register(one_more, ip(1), world.now).is_ok());
    assert!(!world.registry.beat(&id("a"), Beat::default(), world.now));
    assert!(world.registry.unregister(&id("c")) && !world.registry.unregister(&id("c")));
    assert_eq!(world.registry.targets(world.now), []);
}

#[test]
fn nonsense_of_a_node_does_no_harm() {
    let mut world = World::new(policy());
    world.add("a");
    world.beat("a", Beat { health: Some(f64::NAN), ..Beat::default() });
    world.beat("a", Beat { health: Some(1e9), storage_used: Some(u64::MAX), ..Beat::default() });
    let node = world.registry.node(&id("a")).unwrap();
    assert_eq!(node.health, 1.0);
    let score = world.registry.policy().score(node, true, None, world.now);
    assert_eq!(score, 7.0);
}
