use std::rc::Rc;

use queue_smol::{Job, Queue};

fn main() {
    let queue = Queue::new();
    queue.register("count", |_: Job| async move {
        let not_send = Rc::new(1);
        smol::future::yield_now().await;
        println!("{not_send}");
        Ok(())
    });
}
