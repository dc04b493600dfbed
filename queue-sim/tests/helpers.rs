//! What users test with.

use std::time::Duration;

use queue_sim::{BoxError, Drain, Job, Queue, Recorder, RetryPolicy, Sim, assert_pushed, perform};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Mail {
    to: String,
}

async fn send(job: Job) -> Result<(), BoxError> {
    let mail: Mail = job.deserialize()?;
    match mail.to.as_str() {
        "" => Err("nobody".into()),
        "panic" => panic!("oh no"),
        _ => Ok(()),
    }
}

fn mail(to: &str) -> Mail {
    Mail { to: to.to_owned() }
}

#[test]
fn one_handler_is_performed_once() {
    Sim::new(1).run(|_| async {
        assert!(perform(send, &mail("ada")).await.is_ok());
        assert_eq!(perform(send, &mail("")).await.unwrap_err().to_string(), "nobody");
        assert!(perform(send, &mail("panic")).await.unwrap_err().to_string().contains("oh no"));
        assert!(perform(send, &7).await.is_err(), "a number is no mail");
    });
}

#[test]
fn a_retried_job_was_pushed_once() {
    Sim::new(1).run(|_| async {
        let jobs = Recorder::new();
        let queue = Queue::builder().retry(RetryPolicy::fixed(3, Duration::from_hours(1))).build();
        queue.register("send", jobs.before(send));
        queue.register("other", jobs.handler());
        queue.start();
        for to in ["ada", "", "ada"] {
            queue.push("send", &mail(to)).await.expect("there is room");
        }
        queue.drain().await;
        assert_pushed!(jobs, "send");
        assert_pushed!(jobs, "send", 3);
        assert_pushed!(jobs, "send", |mail: Mail| mail.to.is_empty());
        assert_pushed!(jobs, "send", |mail: Mail| mail.to == "ada", 2);
        assert_pushed!(jobs, "other", 0);
        assert_eq!(queue.dead_letters()[0].attempts, 4);
    });
}

#[test]
#[should_panic(expected = r#"no job "send" matches; there are ["{\"to\":\"ada\"}"]"#)]
fn a_missing_job_is_missed() {
    Sim::new(1).run(|_| async {
        let (queue, jobs) = (Queue::new(), Recorder::new());
        queue.register("send", jobs.handler());
        queue.start();
        queue.push("send", &mail("ada")).await.expect("there is room");
        queue.drain().await;
        assert_pushed!(jobs, "send", |mail: Mail| mail.to == "eve");
    });
}
