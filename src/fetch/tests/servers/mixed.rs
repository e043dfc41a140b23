//! Many servers that misbehave at random, and three good ones: always the right bytes.

use std::time::Duration;

use crate::bench::{Bench, pattern};
use crate::server::{Content, Server, Step, status};

const SIZE: usize = 300_000;
const PIECE: usize = 16 * 1024;

/// A small generator, so that a failing round can be told by its number.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}

/// A server with one of many faults. Those that give wrong bytes are left out where nothing could tell.
async fn faulty(dice: &mut Dice, content: &Content, may_corrupt: bool) -> Server {
    let (content, at) = (content.clone(), dice.roll(SIZE));
    let fault = dice.roll(if may_corrupt { 9 } else { 7 });
    let mut damaged = content.bytes.to_vec();
    damaged[at] ^= 1;
    let damaged = Content::new(&damaged, &content.etag);
    let other = Content::new(&pattern(99, SIZE), "\"other\"");
    Server::start(move |request| match fault {
        0 => content.steps_until(request, at % 50_000, Step::Reset),
        1 => content.steps_until(request, at % 50_000, Step::Hang),
        2 => status(["503 Busy", "404 Not Found", "400 What"][at % 3]),
        3 => {
            let (head, body) = content.whole();
            vec![Step::Send([head.into_bytes(), body].concat())]
        }
        4 => match request.number {
            0 => content.steps_until(request, at % 80_000, Step::Reset),
            _ => other.steps(request),
        },
        5 => {
            let (head, mut body) = content.answer(request);
            body.truncate(body.len() / 2);
            vec![Step::Send([head.into_bytes(), body].concat())]
        }
        6 => {
            let (head, body) = content.answer(request);
            vec![
                Step::Send(head.into_bytes()),
                Step::Trickle(body, 20_000, Duration::from_millis(1 + at as u64 % 20)),
            ]
        }
        7 => damaged.steps(request),
        _ => damaged.steps_until(request, at % 50_000, Step::Reset),
    })
    .await
}

#[tokio::test]
async fn three_good_ones_are_enough_among_many() {
    for round in 0..40 {
        let mut dice = Dice(round * 7919 + 1);
        let content = Content::new(&pattern(round, SIZE), "\"a\"");
        let knows = dice.roll(3);
        let mut servers = Vec::new();
        for _ in 0..3 {
            servers.push(content.serve().await);
        }
        for _ in 0..dice.roll(6) + 1 {
            let at = dice.roll(servers.len() + 1);
            servers.insert(at, faulty(&mut dice, &content, knows > 0).await);
        }
        let urls: Vec<String> = servers.iter().map(Server::url).collect();
        let bench = Bench::new();
        let bench = if dice.roll(2) == 0 { bench } else { bench.parallel(dice.roll(4) + 2) };
        let mut bench = match knows {
            0 => bench,
            1 => bench.hashed(&content.bytes),
            _ => bench.hashed(&content.bytes).pieces(&content.bytes, PIECE),
        };
        bench.options.idle_timeout = Duration::from_millis(250);
        let (outcome, told) = bench.fetch(&urls).await;
        if outcome.is_err() {
            panic!("round {round}: {outcome:?} {:?}", told.notes);
        }
        bench.expect(&outcome, &content.bytes);
    }
}
