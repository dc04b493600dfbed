//! Time by part, on one thread and with a clock that stands still.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use queue_benches::{Manual, OPERATIONS};
use queue_core::{BoxError, Jitter, Queue, RetryPolicy};

const JOBS: u64 = 4_096;

criterion_group!(parts, retry_math, operations, push_and_run);
criterion_main!(parts);

fn retry_math(criterion: &mut Criterion) {
    let error: BoxError = "no".into();
    let plain = RetryPolicy::exponential(20, Duration::from_secs(1));
    let all = plain.clone().cap(Duration::from_mins(5)).jitter(Jitter::Full);
    for (name, policy) in [("exponential", plain), ("exponential, capped, jittered", all)] {
        let mut random = 1_u64;
        criterion.bench_function(&format!("retry math/{name}"), |bencher| {
            bencher.iter(|| {
                let mut next = || {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    random
                };
                policy.delay(black_box(7), &*error, &mut next)
            });
        });
    }
}

/// What is counted under valgrind, in time.
fn operations(criterion: &mut Criterion) {
    for operation in OPERATIONS {
        criterion.bench_function(&format!("operation/{}", operation.name), |bencher| {
            bencher.iter_custom(|rounds| {
                let beds = rounds.div_ceil(JOBS);
                let time: Duration = (0..beds).map(|_| operation.time(JOBS)).sum();
                // A bed has more jobs than were asked for.
                time.mul_f64(float(rounds) / float(beds * JOBS))
            });
        });
    }
}

fn push_and_run(criterion: &mut Criterion) {
    let runtime = Manual::new();
    let queue = Queue::builder_on(runtime.clone()).workers(1).build();
    queue.register("mail", |_| async { Ok(()) });
    queue.start();
    criterion.bench_function("push and run, one at a time", |bencher| {
        bencher.iter(|| {
            queue.try_push("mail", &1).expect("there is room");
            runtime.run();
        });
    });
}

#[expect(clippy::cast_precision_loss, reason = "rounds need no 53 bits")]
fn float(number: u64) -> f64 {
    number as f64
}
