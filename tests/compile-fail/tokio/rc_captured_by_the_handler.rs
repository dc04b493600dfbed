use std::rc::Rc;

use queue_tokio::local::Queue;

// Even a queue whose handlers' futures stay on their thread is shared between threads, and its handlers with it.
fn main() {
    let queue = Queue::new();
    let captured = Rc::new(1);
    queue.register("count", move |_| {
        let captured = captured.clone();
        async move {
            println!("{captured}");
            Ok(())
        }
    });
}
