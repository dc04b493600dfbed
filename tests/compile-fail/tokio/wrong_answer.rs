use queue_tokio::{BoxError, Job, Queue};

fn main() {
    let queue = Queue::new();
    queue.register("count", |job: Job| async move {
        let length = job.raw_payload().len();
        Ok::<usize, BoxError>(length)
    });
}
