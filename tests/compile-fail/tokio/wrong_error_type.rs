use queue_tokio::{Job, Queue};

fn main() {
    let queue = Queue::new();
    queue.register("save", |job: Job| async move {
        std::fs::write("/dev/null", job.raw_payload())
    });
}
