//! Group commit: what arrives while a batch is being carried out goes into the next one together. A single operation
//! waits for nobody, and none waits for more than the batches that are under way when it comes.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::database::DbError;

/// Operations that may wait; more wait at their sender.
const QUEUE: usize = 1024;

/// Carries out operations together.
#[async_trait]
pub trait Execute: Send + Sync + 'static {
    /// What is asked for.
    type Operation: Send + Sync + 'static;
    /// What comes of one.
    type Outcome: Send + 'static;

    /// Carries out all of them or none: an outcome for each, in their order.
    async fn execute(&self, operations: &[Self::Operation]) -> Result<Vec<Self::Outcome>, DbError>;
}

struct Job<E: Execute> {
    operation: E::Operation,
    answer: oneshot::Sender<Result<E::Outcome, DbError>>,
}

/// Where operations are handed in. Those that were are carried out even if nobody waits for them any more.
pub struct Batcher<E: Execute> {
    jobs: mpsc::Sender<Job<E>>,
}

impl<E: Execute> Batcher<E> {
    /// Starts `lanes` tasks, each of which carries out up to `max_batch` operations at a time. They end with the last
    /// handle.
    pub fn start(executor: E, lanes: usize, max_batch: usize) -> Batcher<E> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (executor, queue) = (Arc::new(executor), Arc::new(Mutex::new(queue)));
        for _ in 0..lanes.max(1) {
            tokio::spawn(lane(executor.clone(), queue.clone(), max_batch.max(1)));
        }
        Batcher { jobs }
    }

    /// Has an operation carried out.
    ///
    /// # Errors
    /// [`DbError`], of this operation alone.
    pub async fn run(&self, operation: E::Operation) -> Result<E::Outcome, DbError> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { operation, answer }).await.map_err(|_| DbError::Closed)?;
        answered.await.map_err(|_| DbError::Closed)?
    }
}

async fn lane<E: Execute>(executor: Arc<E>, queue: Arc<Mutex<mpsc::Receiver<Job<E>>>>, max_batch: usize) {
    let mut jobs = Vec::with_capacity(max_batch);
    loop {
        // Whoever has the queue takes all that is there; the next lane waits for what comes then.
        if queue.lock().await.recv_many(&mut jobs, max_batch).await == 0 {
            return;
        }
        let (operations, answers): (Vec<_>, Vec<_>) =
            jobs.drain(..).map(|job| (job.operation, job.answer)).unzip();
        carry_out(&*executor, &operations, answers).await;
    }
}

async fn carry_out<E: Execute>(
    executor: &E,
    operations: &[E::Operation],
    answers: Vec<oneshot::Sender<Result<E::Outcome, DbError>>>,
) {
    match executor.execute(operations).await {
        Ok(outcomes) => {
            // Whoever asked may have gone; what was done stands all the same.
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                let _ = answer.send(Ok(outcome));
            }
        }
        // One of them is refused: the others shall not suffer for it.
        Err(DbError::Statement { is_full: false, .. }) if operations.len() > 1 => {
            for (operation, answer) in operations.iter().zip(answers) {
                let outcome = executor.execute(std::slice::from_ref(operation)).await;
                let _ = answer.send(outcome.and_then(|mut one| one.pop().ok_or(DbError::Closed)));
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// Doubles numbers, a batch for each permit; 13 is refused.
    struct Double {
        permits: Arc<Semaphore>,
        batches: Arc<AtomicUsize>,
    }

    #[async_trait]
    impl Execute for Double {
        type Operation = u32;
        type Outcome = u32;

        async fn execute(&self, numbers: &[u32]) -> Result<Vec<u32>, DbError> {
            self.permits.acquire().await.unwrap().forget();
            self.batches.fetch_add(1, Ordering::Relaxed);
            if numbers.contains(&13) {
                let (server, reason) = (String::new(), "unlucky".to_owned());
                return Err(DbError::Statement { server, reason, is_full: false });
            }
            Ok(numbers.iter().map(|number| number * 2).collect())
        }
    }

    fn start(max_batch: usize) -> (Arc<Batcher<Double>>, Arc<Semaphore>, Arc<AtomicUsize>) {
        let (permits, batches) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let double = Double { permits: permits.clone(), batches: batches.clone() };
        (Arc::new(Batcher::start(double, 1, max_batch)), permits, batches)
    }

    async fn run(batcher: &Arc<Batcher<Double>>, numbers: std::ops::Range<u32>) -> Vec<Result<u32, DbError>> {
        let tasks: Vec<_> = numbers
            .map(|number| {
                let batcher = batcher.clone();
                tokio::spawn(async move { batcher.run(number).await })
            })
            .collect();
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.unwrap());
        }
        outcomes
    }

    #[tokio::test]
    async fn what_comes_during_a_batch_is_the_next_one() {
        let (batcher, permits, batches) = start(256);
        let first = tokio::spawn({
            let batcher = batcher.clone();
            async move { batcher.run(1).await }
        });
        // The first is on its way alone: nothing else was there when it came.
        while batcher.jobs.capacity() < QUEUE || batches.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        let others = tokio::spawn({
            let batcher = batcher.clone();
            async move { run(&batcher, 20..120).await }
        });
        while batcher.jobs.capacity() > QUEUE - 100 {
            tokio::task::yield_now().await;
        }
        permits.add_permits(2);
        assert_eq!(first.await.unwrap().unwrap(), 2);
        let outcomes: Vec<u32> = others.await.unwrap().into_iter().map(Result::unwrap).collect();
        assert_eq!(outcomes, (20..120).map(|number| number * 2).collect::<Vec<_>>());
        assert_eq!(batches.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn one_that_is_refused_takes_no_other_with_it() {
        let (batcher, permits, _) = start(8);
        permits.add_permits(1000);
        let refused: Vec<_> = run(&batcher, 0..40)
            .await
            .into_iter()
            .enumerate()
            .filter(|(_, outcome)| outcome.is_err())
            .collect();
        assert_eq!(refused.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [13]);
    }

    #[tokio::test]
    async fn the_lanes_end_with_the_last_handle() {
        let (batcher, permits, _) = start(8);
        drop(batcher);
        while Arc::strong_count(&permits) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
