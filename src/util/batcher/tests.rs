//! The batcher's rules, with workers that only count.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use proptest::prelude::*;
use tokio::task::JoinSet;

use super::*;

fn options(queue: usize, max_batch: usize) -> BatchOptions {
    BatchOptions {
        name: "test",
        queue,
        max_batch,
        max_wait: Duration::ZERO,
        background: false,
        span: |_, _| Span::none(),
    }
}

/// What the workers were given, batch by batch.
type Seen = Arc<Mutex<Vec<Vec<u32>>>>;

/// A worker that doubles, and that runs each batch only when told so.
fn gated(seen: &Seen) -> (Worker<u32, u32>, mpsc::Sender<()>) {
    let (open, gate) = mpsc::channel::<()>();
    let seen = Arc::clone(seen);
    let worker: Worker<u32, u32> = Box::new(move |jobs| {
        seen.lock().expect("whole").push(jobs.clone());
        // An open gate whose keeper has gone stays open.
        let _ = gate.recv();
        Ok(jobs.into_iter().map(|job| job * 2).collect())
    });
    (worker, open)
}

fn doubling(batches: &Arc<AtomicUsize>) -> Worker<u32, u32> {
    let batches = Arc::clone(batches);
    Box::new(move |jobs| {
        batches.fetch_add(1, Ordering::SeqCst);
        Ok(jobs.into_iter().map(|job| job * 2).collect())
    })
}

/// Polls until the condition holds; a test that waits for ever is ended by the harness of whoever
/// runs it.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

type Answers = JoinSet<(u32, Result<u32, BatchError>)>;

fn ask(
    answers: &mut Answers,
    batcher: &Arc<Batcher<u32, u32>>,
    job: u32,
    length: usize,
    priority: Priority,
) -> tokio::task::AbortHandle {
    let batcher = Arc::clone(batcher);
    answers.spawn(async move { (job, batcher.submit(job, length, priority, None).await) })
}

/// One worker, busy with job 0, and what is queued behind it.
async fn busy(options: BatchOptions) -> (Arc<Batcher<u32, u32>>, mpsc::Sender<()>, Seen, Answers) {
    let seen = Seen::default();
    let (worker, open) = gated(&seen);
    let batcher = Arc::new(Batcher::start(options, vec![worker]).expect("starts"));
    let mut answers = Answers::new();
    ask(&mut answers, &batcher, 0, 5, Priority::Search);
    until(|| !seen.lock().expect("whole").is_empty()).await;
    (batcher, open, seen, answers)
}

async fn collect(answers: Answers) -> BTreeMap<u32, Result<u32, BatchError>> {
    answers.join_all().await.into_iter().collect()
}

/// A worker that takes ten milliseconds a job.
fn slow() -> Worker<u32, u32> {
    Box::new(|jobs| {
        std::thread::sleep(Duration::from_millis(10) * u32::try_from(jobs.len()).expect("few"));
        Ok(jobs)
    })
}

#[tokio::test]
async fn what_would_come_too_late_is_refused_at_once_and_what_is_taken_is_answered() {
    let batcher = Arc::new(Batcher::start(options(1_000, 1), vec![slow()]).expect("starts"));
    let ask = |job: u32, time: Duration| {
        let batcher = Arc::clone(&batcher);
        let deadline = Some(Instant::now() + time);
        async move { batcher.submit(job, 0, Priority::Search, deadline).await }
    };
    ask(0, Duration::from_mins(1)).await.expect("answers");
    // Two hundred at once take two seconds; half a second is allowed.
    let mut answers = JoinSet::new();
    for job in 0..200 {
        answers.spawn(ask(job, Duration::from_millis(500)));
    }
    let (mut answered, mut refused, mut late) = (0, 0, 0);
    while let Some(answer) = answers.join_next().await {
        match answer.expect("no panic") {
            Ok(_) => answered += 1,
            Err(BatchError::Overloaded) => refused += 1,
            Err(BatchError::Expired) => late += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(answered > 0 && refused > 0, "{answered} {refused} {late}");
    // Without the refusal all that are not answered wait for their time to be over.
    assert!(refused > late, "{answered} {refused} {late}");
    // One slow job keeps nobody out for ever: with nobody before it, a job is taken.
    until(|| batcher.queued().search == 0).await;
    assert_eq!(
        ask(7, Duration::from_millis(5)).await.err(),
        Some(BatchError::Expired)
    );
}

#[tokio::test]
async fn what_is_new_goes_before_all_else_of_the_catalog() {
    let (batcher, open, seen, mut answers) = busy(options(100, 1)).await;
    let waiting = [
        (1, Priority::Bulk),
        (2, Priority::New),
        (3, Priority::Bulk),
        (4, Priority::New),
        (5, Priority::Search),
    ];
    for (n, (job, priority)) in waiting.into_iter().enumerate() {
        ask(&mut answers, &batcher, job, 5, priority);
        until(|| batcher.queued().search + batcher.queued().bulk == n + 1).await;
    }
    drop(open);
    collect(answers).await;
    let order: Vec<u32> = seen.lock().expect("whole").concat();
    assert_eq!(order, [0, 5, 2, 4, 1, 3]);
}

#[tokio::test]
async fn what_waits_goes_together_and_by_length() {
    let (batcher, open, seen, mut answers) = busy(options(100, 3)).await;
    for (job, length) in [(1, 5), (2, 40), (3, 6), (4, 41), (5, 5), (6, 7)] {
        ask(&mut answers, &batcher, job, length, Priority::Search);
        until(|| batcher.queued().search == job as usize).await;
    }
    drop(open);
    let answers = collect(answers).await;
    assert!(
        answers.iter().all(|(job, answer)| *answer == Ok(job * 2)),
        "{answers:?}"
    );
    assert_eq!(
        *seen.lock().expect("whole"),
        [vec![0], vec![1, 3, 5], vec![2, 4], vec![6]]
    );
}

#[tokio::test]
async fn a_full_queue_refuses_searches_and_lets_catalog_work_wait() {
    let (batcher, open, _, mut answers) = busy(options(2, 1)).await;
    for job in [1, 2] {
        ask(&mut answers, &batcher, job, 5, Priority::Search);
    }
    for job in [11, 12, 13, 14] {
        ask(&mut answers, &batcher, job, 5, Priority::Bulk);
    }
    until(|| batcher.queued() == Queued { search: 2, bulk: 2 }).await;
    assert_eq!(
        batcher.submit(3, 5, Priority::Search, None).await,
        Err(BatchError::Overloaded)
    );
    drop(open);
    let answers = collect(answers).await;
    assert_eq!(answers.len(), 7);
    assert!(
        answers.iter().all(|(job, answer)| *answer == Ok(job * 2)),
        "{answers:?}"
    );
}

#[tokio::test]
async fn searches_go_first_and_catalog_work_goes_on() {
    let (batcher, open, seen, mut answers) = busy(options(100, 1)).await;
    for job in 101..=103 {
        ask(&mut answers, &batcher, job, 5, Priority::Bulk);
    }
    for job in 1..=20 {
        ask(&mut answers, &batcher, job, 5, Priority::Search);
    }
    until(|| {
        batcher.queued()
            == Queued {
                search: 20,
                bulk: 3,
            }
    })
    .await;
    drop(open);
    collect(answers).await;
    let order: Vec<bool> = seen
        .lock()
        .expect("whole")
        .iter()
        .skip(1)
        .map(|batch| batch[0] > 100)
        .collect();
    let bulk_at: Vec<usize> = (0..order.len()).filter(|&at| order[at]).collect();
    assert_eq!(
        bulk_at,
        [8, 17, 22],
        "after every eighth search, and when there are no more"
    );
}

#[tokio::test]
async fn who_has_gone_or_is_late_costs_nothing() {
    let (batcher, open, seen, mut answers) = busy(options(2, 1)).await;
    let gone = ask(&mut answers, &batcher, 1, 5, Priority::Search);
    until(|| batcher.queued().search == 1).await;
    gone.abort();
    let soon = Instant::now() + Duration::from_millis(5);
    assert_eq!(
        batcher.submit(2, 5, Priority::Search, Some(soon)).await,
        Err(BatchError::Expired)
    );
    assert_eq!(
        batcher
            .submit(3, 5, Priority::Search, Some(Instant::now()))
            .await,
        Err(BatchError::Expired)
    );
    let late = batcher
        .submit(
            4,
            5,
            Priority::Bulk,
            Some(Instant::now() + Duration::from_millis(5)),
        )
        .await;
    assert_eq!(late, Err(BatchError::Expired));
    // Both dead searches are still in the queue of two, and make room for a living one.
    until(|| gone.is_finished()).await;
    ask(&mut answers, &batcher, 5, 5, Priority::Search);
    until(|| batcher.queued().search == 1).await;
    drop(open);
    while answers.join_next().await.is_some() {}
    assert_eq!(*seen.lock().expect("whole"), [vec![0], vec![5]]);
}

#[tokio::test]
async fn a_panic_is_its_batch_alone() {
    let worker: Worker<u32, u32> = Box::new(|jobs| match jobs[0] {
        1 => panic!("job one"),
        2 => Err("job two".to_owned()),
        3 => Ok(vec![]),
        _ => Ok(jobs),
    });
    let batcher = Batcher::start(options(10, 1), vec![worker]).expect("starts");
    for (job, reason) in [
        (1, "the worker panicked: job one"),
        (2, "job two"),
        (3, "0 results for 1 jobs"),
    ] {
        let failed = Err(BatchError::Failed(reason.into()));
        assert_eq!(batcher.submit(job, 1, Priority::Search, None).await, failed);
    }
    assert_eq!(batcher.submit(4, 1, Priority::Search, None).await, Ok(4));
}

#[tokio::test]
async fn an_idle_worker_waits_for_company_only_as_long_as_told() {
    let count = Arc::new(AtomicUsize::new(0));
    let patient = BatchOptions {
        max_wait: Duration::from_hours(1),
        ..options(10, 2)
    };
    let batcher = Arc::new(Batcher::start(patient, vec![doubling(&count)]).expect("starts"));
    let mut answers = Answers::new();
    ask(&mut answers, &batcher, 1, 5, Priority::Search);
    ask(&mut answers, &batcher, 2, 5, Priority::Search);
    collect(answers).await;
    assert_eq!(count.load(Ordering::SeqCst), 1, "a full batch goes at once");
    let brief = BatchOptions {
        max_wait: Duration::from_millis(1),
        ..options(10, 2)
    };
    let batcher = Batcher::start(brief, vec![doubling(&count)]).expect("starts");
    assert_eq!(batcher.submit(7, 5, Priority::Search, None).await, Ok(14));
}

#[tokio::test]
async fn closing_drains_and_then_refuses() {
    let (batcher, open, _, mut answers) = busy(options(10, 1)).await;
    ask(&mut answers, &batcher, 1, 5, Priority::Search);
    ask(&mut answers, &batcher, 2, 5, Priority::Bulk);
    until(|| batcher.queued() == Queued { search: 1, bulk: 1 }).await;
    let finishing = {
        let batcher = Arc::clone(&batcher);
        tokio::task::spawn_blocking(move || batcher.finish())
    };
    until(|| batcher.shared.lock().closed).await;
    assert_eq!(
        batcher.submit(3, 5, Priority::Search, None).await,
        Err(BatchError::Closed)
    );
    assert_eq!(
        batcher.submit(3, 5, Priority::Bulk, None).await,
        Err(BatchError::Closed)
    );
    drop(open);
    finishing.await.expect("ends");
    assert!(
        collect(answers)
            .await
            .iter()
            .all(|(job, answer)| *answer == Ok(job * 2))
    );
}

#[test]
fn what_the_workers_hold_is_gone_when_the_batcher_is() {
    struct Held(Arc<AtomicUsize>);
    impl Drop for Held {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(20));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let gone = Arc::new(AtomicUsize::new(0));
    let worker = |held: Held| -> Worker<u32, u32> {
        Box::new(move |jobs| {
            let _ = &held;
            Ok(jobs)
        })
    };
    let workers = (0..2).map(|_| worker(Held(Arc::clone(&gone)))).collect();
    drop(Batcher::start(options(10, 1), workers).expect("starts"));
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}

#[test]
fn catalog_batches_shrink_when_a_job_is_slow() {
    let mut state: State<u32, u32> = State {
        search: VecDeque::new(),
        bulk: VecDeque::new(),
        searches_in_a_row: 0,
        seconds_per_job: 0.0,
        closed: false,
    };
    assert_eq!(state.bulk_limit(32), 32);
    state.learn(Duration::from_millis(250), 10);
    assert_eq!(state.bulk_limit(32), 4);
    state.learn(Duration::from_secs(100), 1);
    assert_eq!(state.bulk_limit(32), 1);
}

/// One request of the stress test.
#[derive(Clone, Debug)]
struct Plan {
    length: usize,
    bulk: bool,
    /// Milliseconds; none: no deadline.
    deadline: Option<u64>,
    abandoned: bool,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let deadline = prop_oneof![3 => Just(None), 1 => (0u64..4).prop_map(Some)];
    let plan = (
        2usize..77,
        any::<bool>(),
        deadline,
        prop::bool::weighted(0.1),
    );
    let plan = plan.prop_map(|(length, bulk, deadline, abandoned)| Plan {
        length,
        bulk,
        deadline,
        abandoned,
    });
    prop::collection::vec(plan, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_request_is_answered_once_and_rightly(
        plans in plans(),
        (workers, queue, max_batch, wait) in (1usize..4, 1usize..40, 1usize..17, 0u64..3),
        panics_at in 0usize..60,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("starts");
        let (ran, too_large, unlike) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let worker = || -> Worker<(usize, usize), usize> {
            let (ran, too_large, unlike) = (ran.clone(), too_large.clone(), unlike.clone());
            Box::new(move |jobs| {
                too_large.fetch_add(usize::from(jobs.len() > max_batch), Ordering::SeqCst);
                let (short, long) = (jobs.iter().map(|j| j.1).min(), jobs.iter().map(|j| j.1).max());
                let (short, long) = (short.expect("not empty"), long.expect("not empty"));
                unlike.fetch_add(usize::from(long - short > 4 && long * 4 > short * 5), Ordering::SeqCst);
                assert_ne!(ran.fetch_add(1, Ordering::SeqCst) + 1, panics_at, "as planned");
                Ok(jobs.into_iter().map(|(number, _)| number).collect())
            })
        };
        let options = BatchOptions { max_wait: Duration::from_millis(wait), ..options(queue, max_batch) };
        let batcher = Arc::new(Batcher::start(options, (0..workers).map(|_| worker()).collect()).expect("starts"));
        let outcomes = runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for (number, plan) in plans.iter().cloned().enumerate() {
                let batcher = Arc::clone(&batcher);
                let task = tasks.spawn(async move {
                    let priority = if plan.bulk { Priority::Bulk } else { Priority::Search };
                    let deadline = plan.deadline.map(|ms| Instant::now() + Duration::from_millis(ms));
                    (number, batcher.submit((number, plan.length), plan.length, priority, deadline).await)
                });
                if plan.abandoned {
                    task.abort();
                }
            }
            let mut outcomes = Vec::new();
            while let Some(outcome) = tasks.join_next().await {
                outcomes.extend(outcome.ok());
            }
            outcomes
        });
        for (number, outcome) in outcomes {
            let plan = &plans[number];
            match outcome {
                Ok(answer) => prop_assert_eq!(answer, number),
                Err(BatchError::Overloaded) => prop_assert!(!plan.bulk, "catalog work is never refused"),
                Err(BatchError::Expired) => prop_assert!(plan.deadline.is_some()),
                Err(BatchError::Failed(reason)) => prop_assert!(reason.contains("as planned"), "{}", reason),
                Err(BatchError::Closed) => prop_assert!(false, "nobody closed it"),
            }
        }
        batcher.finish();
        prop_assert_eq!(batcher.queued(), Queued::default());
        prop_assert_eq!(too_large.load(Ordering::SeqCst), 0);
        prop_assert_eq!(unlike.load(Ordering::SeqCst), 0);
    }
}
