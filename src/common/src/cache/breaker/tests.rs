use std::collections::VecDeque;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const PATIENCE: Duration = Duration::from_millis(500);

/// What the server does when it is looked for.
enum Script {
    Refuses,
    Answers,
    /// It connects, and hangs or fails when the connection is prepared.
    Hangs,
    Fails,
}

/// A server by script; after that it refuses.
struct Scripted {
    script: Mutex<VecDeque<Script>>,
    dials: Arc<Mutex<Vec<Instant>>>,
}

/// What the breaker of a script is asked through, and when it looked for its server.
struct Rig {
    breaker: Breaker<Scripted>,
    dials: Arc<Mutex<Vec<Instant>>>,
}

impl Dial for Scripted {
    type Link = Option<bool>;

    fn server(&self) -> String {
        "script".to_owned()
    }

    async fn dial(&self) -> Result<Option<bool>, Fault> {
        self.dials.lock().unwrap().push(Instant::now());
        match self.script.lock().unwrap().pop_front().unwrap_or(Script::Refuses) {
            Script::Refuses => Err(Fault::passing("refused")),
            Script::Answers => Ok(Some(true)),
            Script::Fails => Ok(Some(false)),
            Script::Hangs => Ok(None),
        }
    }

    async fn prepare(&self, link: Option<bool>) -> Result<(), Fault> {
        match link {
            Some(true) => Ok(()),
            Some(false) => Err(Fault::passing("read-only")),
            None => pending().await,
        }
    }
}

impl Rig {
    fn new(script: impl IntoIterator<Item = Script>) -> Rig {
        let dials = Arc::new(Mutex::new(Vec::new()));
        let dial = Scripted { script: Mutex::new(script.into_iter().collect()), dials: dials.clone() };
        Rig { breaker: Breaker::new(dial, PATIENCE), dials }
    }

    fn dials(&self) -> usize {
        self.dials.lock().unwrap().len()
    }

    async fn until_closed(&self) {
        while !self.breaker.is_closed() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    async fn works(&self, gate: Gate) -> bool {
        self.breaker.run(gate, |_| async { Ok(()) }).await.is_some()
    }

    async fn hangs(&self) -> Option<()> {
        self.breaker.run(Gate::Prepared, |_| pending()).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_hung_server_costs_its_timeout_once() {
    let rig = Arc::new(Rig::new([Script::Answers]));
    rig.until_closed().await;
    let start = Instant::now();
    let first = tokio::spawn({
        let rig = rig.clone();
        async move { rig.hangs().await }
    });
    // Later ones end together with the first, which alone waits for all of its time.
    sleep(Duration::from_millis(400)).await;
    assert_eq!(tokio::join!(rig.hangs(), rig.hangs()), (None, None));
    assert_eq!(first.await.unwrap(), None);
    assert_eq!(start.elapsed(), PATIENCE);
    let sent = AtomicUsize::new(0);
    let count = |_| {
        sent.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    };
    assert_eq!(rig.breaker.run(Gate::Connected, count).await, None);
    assert_eq!((sent.load(Ordering::Relaxed), start.elapsed()), (0, PATIENCE));
}

#[tokio::test(start_paused = true)]
async fn a_failure_opens_it_until_the_server_is_found_again() {
    let rig = Rig::new([Script::Answers, Script::Refuses, Script::Answers]);
    rig.until_closed().await;
    assert!(rig.works(Gate::Prepared).await);
    let failure = |_| async { Err::<(), _>(Fault::passing("reset")) };
    assert_eq!(rig.breaker.run(Gate::Prepared, failure).await, None);
    assert!(!rig.works(Gate::Prepared).await && !rig.works(Gate::Connected).await);
    assert_eq!(rig.dials(), 1, "no request looks for the server");
    rig.until_closed().await;
    assert_eq!(rig.dials(), 3);
    assert!(rig.works(Gate::Prepared).await);
}

#[tokio::test(start_paused = true)]
async fn the_server_is_looked_for_ever_more_rarely() {
    let rig = Rig::new([]);
    while rig.dials() < 12 {
        sleep(Duration::from_millis(10)).await;
    }
    let dials = rig.dials.lock().unwrap().clone();
    let mut delay = FIRST_DELAY;
    for pair in dials.windows(2) {
        let waited = pair[1] - pair[0];
        // A timer is a millisecond late at most.
        assert!(delay / 2 <= waited && waited <= delay + Duration::from_millis(2), "{waited:?} of {delay:?}");
        delay = LAST_DELAY.min(delay * 2);
    }
    assert_eq!(delay, LAST_DELAY);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_and_goes_is_left_alone_for_longer_and_longer() {
    let rig = Rig::new((0..12).map(|_| Script::Answers));
    let start = Instant::now();
    for _ in 0..10 {
        rig.until_closed().await;
        rig.breaker.run(Gate::Prepared, |_| async { Err::<(), _>(Fault::passing("full")) }).await;
    }
    assert!(start.elapsed() > LAST_DELAY * 2, "{:?}", start.elapsed());
    // One that stayed for a while is looked for at once again.
    rig.until_closed().await;
    sleep(LAST_DELAY).await;
    let gone = Instant::now();
    rig.breaker.run(Gate::Prepared, |_| async { Err::<(), _>(Fault::passing("reset")) }).await;
    rig.until_closed().await;
    assert!(gone.elapsed() <= FIRST_DELAY * 2, "{:?}", gone.elapsed());
}

#[tokio::test(start_paused = true)]
async fn removals_go_through_before_reads_do() {
    let rig = Rig::new([Script::Hangs, Script::Fails, Script::Answers]);
    while !rig.works(Gate::Connected).await {
        sleep(Duration::from_millis(1)).await;
    }
    assert!(!rig.works(Gate::Prepared).await && !rig.breaker.is_closed());
    rig.until_closed().await;
    assert_eq!(rig.dials(), 3, "neither a hung nor a failed preparation counts");
}

#[tokio::test(start_paused = true)]
async fn a_late_failure_of_an_old_connection_leaves_the_new_one_alone() {
    let rig = Rig::new([Script::Answers, Script::Answers]);
    rig.until_closed().await;
    let old = rig.breaker.circuit.line(Gate::Prepared).unwrap();
    rig.breaker.circuit.open(&old.down, Fault::passing("reset"));
    rig.until_closed().await;
    rig.breaker.circuit.open(&old.down, Fault::passing("late"));
    assert!(rig.breaker.is_closed());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_dropped_looks_no_further() {
    let rig = Rig::new([]);
    while rig.dials() < 2 {
        sleep(Duration::from_millis(10)).await;
    }
    let dials = rig.dials.clone();
    drop(rig);
    sleep(LAST_DELAY * 3).await;
    assert_eq!(dials.lock().unwrap().len(), 2);
}

#[test]
fn an_outage_is_told_once_and_what_to_do_too() {
    let mut told = None;
    let (gone, refused) = (Fault::passing("connection reset"), Fault::lasting("wrong password"));
    for (fault, then_told) in [
        (gone.clone(), gone.clone()),
        (Fault::passing("refused"), gone),
        (refused.clone(), refused.clone()),
        (Fault::passing("refused"), refused),
    ] {
        tell("script", fault, &mut told);
        assert_eq!(told, Some(then_told));
    }
}
