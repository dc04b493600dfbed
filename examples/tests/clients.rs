//! Every scenario once, with each client on its own runtime, against every behaviour.

use std::error::Error;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use futures::stream::{self, StreamExt};
use queue_examples::webhooks::payloads;
use queue_examples::webhooks::post::{Delivery, Post, PostError, compio, smol, tokio};
use queue_examples::webhooks::receivers::{Account, Behaviour, Fingerprint, Receivers, Record};

const OK: Result<u16, Failure> = Ok(200);
const NEVER: Duration = Duration::from_hours(1);

macro_rules! on_every_runtime {
    ($($scenario:ident),* $(,)?) => {$(
        mod $scenario {
            #[test]
            fn tokio_multi_thread() {
                let runtime = ::tokio::runtime::Builder::new_multi_thread().enable_all().build();
                let scenario = super::$scenario(super::tokio::Client::new());
                runtime.expect("a runtime").block_on(scenario);
            }

            #[test]
            fn tokio_current_thread() {
                let runtime = ::tokio::runtime::Builder::new_current_thread().enable_all().build();
                let scenario = super::$scenario(super::tokio::Client::new());
                runtime.expect("a runtime").block_on(scenario);
            }

            #[test]
            fn smol() {
                ::smol::block_on(super::$scenario(super::smol::Client::new()));
            }

            #[test]
            fn compio() {
                let runtime = ::compio::runtime::Runtime::new().expect("a runtime");
                runtime.block_on(super::$scenario(super::compio::Client::new()));
            }
        }
    )*};
}

on_every_runtime!(
    healthy,
    empty_body,
    all_payloads_arrive_untouched,
    flaky,
    rate_limited,
    gone,
    broken,
    slow_for_a_patient_client,
    slow_for_an_impatient_client,
    refused,
    hangup,
    stopped,
    not_http,
    invalid,
);

/// A job handler captures a client, so clients cross threads everywhere; futures do where the
/// runtime steals work.
#[test]
fn what_may_cross_threads() {
    fn shared<T: Clone + Send + Sync>(client: T) -> T {
        client
    }
    let receiver = Receiver::start(Behaviour::Refused);
    let delivery = receiver.delivery("a");
    let tokio = shared(tokio::Client::new());
    let smol = shared(smol::Client::new());
    let compio = shared(compio::Client::new());
    assert!(Probe(tokio.post(&delivery)).is_send());
    assert!(Probe(smol.post(&delivery)).is_send());
    assert!(!(&Probe(compio.post(&delivery))).is_send());
}

/// Method lookup prefers [`IsSend`] wherever its bound holds, as it needs one reference less.
struct Probe<T>(T);

trait IsSend {
    fn is_send(&self) -> bool {
        true
    }
}
impl<T: Send> IsSend for Probe<T> {}

trait IsNotSend {
    fn is_send(&self) -> bool {
        false
    }
}
impl<T> IsNotSend for &Probe<T> {}

async fn healthy(client: impl Post) {
    let receiver = Receiver::start(Behaviour::Healthy);
    for id in ["a", "b", "c"] {
        assert_eq!(receiver.send(&client, id).await, OK);
    }
    let account = receiver.stop();
    assert_eq!(account.deliveries.len(), 3);
    assert_eq!((account.attempts(), account.acks()), (3, 3));
    assert_eq!(account.malformed, 0);
}

async fn empty_body(client: impl Post) {
    let receiver = Receiver::start(Behaviour::Healthy);
    let mut delivery = receiver.delivery("a");
    delivery.body = Bytes::new();
    let reply = client.post(&delivery).await.expect("a reply");
    assert_eq!(reply.status, 200);
    let record = receiver.stop_with_record("a");
    assert_eq!(record.fingerprint, Fingerprint::of("ping", b""));
}

async fn all_payloads_arrive_untouched(client: impl Post) {
    let receiver = Receiver::start(Behaviour::Healthy);
    let payloads = payloads::load().expect("the data file is well formed");
    let deliveries = payloads.iter().enumerate().map(|(index, payload)| {
        let delivery = Delivery {
            id: index.to_string(),
            event: payload.event.clone(),
            url: receiver.url(),
            body: Bytes::from(payload.body.clone()),
        };
        let client = &client;
        async move { client.post(&delivery).await.expect("a reply").status }
    });
    let statuses: Vec<_> = stream::iter(deliveries).buffer_unordered(8).collect().await;
    assert_eq!(statuses, vec![200; payloads.len()]);

    let account = receiver.stop();
    assert_eq!(account.deliveries.len(), payloads.len());
    for (index, payload) in payloads.iter().enumerate() {
        let record = &account.deliveries[&index.to_string()];
        assert_eq!((record.attempts, record.acks), (1, 1));
        let sent = Fingerprint::of(&payload.event, payload.body.as_bytes());
        assert_eq!(record.fingerprint, sent);
    }
}

async fn flaky(client: impl Post) {
    let receiver = Receiver::start(Behaviour::Flaky { failures: 2 });
    assert_eq!(receiver.send(&client, "a").await, Ok(500));
    assert_eq!(receiver.send(&client, "b").await, Ok(500));
    assert_eq!(receiver.send(&client, "a").await, Ok(500));
    assert_eq!(receiver.send(&client, "a").await, OK);
    let account = receiver.stop();
    let record = &account.deliveries["a"];
    assert_eq!((record.attempts, record.acks, record.duplicates), (3, 1, 0));
    assert_eq!(account.deliveries["b"].acks, 0);
}

async fn rate_limited(client: impl Post) {
    let receiver = Receiver::start(Behaviour::RateLimited { limit: 2, window: NEVER });
    assert_eq!(receiver.send(&client, "a").await, OK);
    assert_eq!(receiver.send(&client, "b").await, OK);
    let reply = client.post(&receiver.delivery("c")).await.expect("a reply");
    assert_eq!(reply.status, 429);
    let wait = reply.retry_after.expect("a Retry-After header");
    assert!(!wait.is_zero() && wait <= NEVER, "{wait:?}");
    let account = receiver.stop();
    assert_eq!((account.attempts(), account.acks()), (3, 2));
    assert!(!account.deliveries["c"].processed);
}

async fn gone(client: impl Post) {
    never_acknowledged(client, Behaviour::Gone, 410).await;
}

async fn broken(client: impl Post) {
    never_acknowledged(client, Behaviour::Broken, 500).await;
}

async fn never_acknowledged(client: impl Post, behaviour: Behaviour, status: u16) {
    let receiver = Receiver::start(behaviour);
    for _ in 0..3 {
        assert_eq!(receiver.send(&client, "a").await, Ok(status));
    }
    let record = receiver.stop_with_record("a");
    assert_eq!((record.attempts, record.acks), (3, 0));
    assert!(!record.processed);
}

async fn slow_for_a_patient_client(client: impl Post) {
    let receiver = Receiver::start(Behaviour::Slow { delay: Duration::from_millis(20) });
    assert_eq!(receiver.send(&client, "a").await, OK);
    let record = receiver.stop_with_record("a");
    assert_eq!((record.attempts, record.acks, record.abandoned), (1, 1, 0));
}

/// The client gives up on a signal rather than on a timer: once the receiver has the delivery.
async fn slow_for_an_impatient_client(client: impl Post) {
    let receiver = Receiver::start(Behaviour::Slow { delay: NEVER });
    {
        let delivery = receiver.delivery("a");
        let post = Box::pin(client.post(&delivery));
        let seen = receiver.until("a", |record| record.attempts == 1);
        match select(post, Box::pin(seen)).await {
            Either::Left((reply, _)) => panic!("answered too early: {reply:?}"),
            Either::Right(((), post)) => drop(post),
        }
    }
    receiver.until("a", |record| record.abandoned == 1).await;
    assert_eq!(receiver.send(&client, "a").await, OK);
    let record = receiver.stop_with_record("a");
    assert_eq!((record.attempts, record.acks), (2, 1));
    assert_eq!((record.abandoned, record.duplicates), (1, 1));
}

async fn refused(client: impl Post) {
    let mut receiver = Receiver::start(Behaviour::Refused);
    for _ in 0..2 {
        assert_eq!(receiver.send(&client, "a").await, Err(Failure::Connect));
    }
    receiver.receivers.open().expect("the receiver can listen");
    assert_eq!(receiver.send(&client, "a").await, OK);
    let record = receiver.stop_with_record("a");
    assert_eq!((record.attempts, record.acks), (1, 1));
}

async fn hangup(client: impl Post) {
    let receiver = Receiver::start(Behaviour::Hangup);
    for id in ["a", "b"] {
        assert_eq!(receiver.send(&client, id).await, Err(Failure::Closed));
        assert_eq!(receiver.send(&client, id).await, OK);
    }
    let record = receiver.stop_with_record("a");
    assert_eq!((record.attempts, record.acks, record.duplicates), (2, 1, 1));
}

/// A pooled connection to a receiver that has stopped is no reason for another kind of error.
async fn stopped(client: impl Post) {
    let receiver = Receiver::start(Behaviour::Healthy);
    let delivery = receiver.delivery("a");
    assert_eq!(receiver.send(&client, "a").await, OK);
    let _ = receiver.stop();
    let error = client.post(&delivery).await.expect_err("nobody listens");
    assert!(matches!(error, PostError::Connect(_) | PostError::Closed(_)), "{error:?}");
}

async fn not_http(client: impl Post) {
    let receiver = Receiver::start(Behaviour::Refused);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("it is bound");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        stream.read_exact(&mut [0; 4])?;
        stream.write_all(b"220 smtp ready\r\n\r\n")?;
        io::copy(&mut stream, &mut io::sink())
    });
    let mut delivery = receiver.delivery("a");
    delivery.url = format!("http://{address}/");
    let error = client.post(&delivery).await.expect_err("not an HTTP reply");
    assert!(matches!(error, PostError::Protocol(_)), "{error:?}");
    drop(client);
    let _ = server.join().expect("the server does not panic");
}

async fn invalid(client: impl Post) {
    let receiver = Receiver::start(Behaviour::Healthy);
    let delivery = receiver.delivery("a");
    let mut unsendable = [delivery.clone(), delivery.clone(), delivery];
    "https://127.0.0.1/".clone_into(&mut unsendable[0].url);
    "/webhooks".clone_into(&mut unsendable[1].url);
    "two\nlines".clone_into(&mut unsendable[2].event);
    for delivery in unsendable {
        let error = client.post(&delivery).await.expect_err("not sendable");
        assert!(matches!(error, PostError::Invalid(_)), "{error:?}");
    }
    assert_eq!(receiver.stop().attempts(), 0);
}

#[derive(Debug, PartialEq, Eq)]
enum Failure {
    Connect,
    Closed,
}

struct Receiver {
    receivers: Receivers,
}

impl Receiver {
    fn start(behaviour: Behaviour) -> Self {
        let receivers = Receivers::start([("it", behaviour)]).expect("loopback ports");
        Self { receivers }
    }

    fn url(&self) -> String {
        self.receivers.url("it").expect("started under this name")
    }

    fn delivery(&self, id: &str) -> Delivery {
        Delivery {
            id: id.to_owned(),
            event: "ping".to_owned(),
            url: self.url(),
            body: Bytes::from_static(br#"{"zen":"Anything added dilutes everything else."}"#),
        }
    }

    async fn send(&self, client: &impl Post, id: &str) -> Result<u16, Failure> {
        match client.post(&self.delivery(id)).await {
            Ok(reply) => Ok(reply.status),
            Err(error) => {
                assert!(error.source().is_some(), "{error:?} keeps its cause");
                match error {
                    PostError::Connect(_) => Err(Failure::Connect),
                    PostError::Closed(_) => Err(Failure::Closed),
                    error => panic!("unexpected: {error:?}"),
                }
            }
        }
    }

    /// Polls without a timer, so that it works on every runtime and no pause is too short.
    fn until(&self, id: &str, reached: impl Fn(&Record) -> bool) -> impl Future<Output = ()> {
        poll_fn(move |context| {
            let ledger = self.receivers.ledger();
            let account = ledger.account("it").expect("started under this name");
            if account.deliveries.get(id).is_some_and(&reached) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }

    fn stop(self) -> Account {
        let ledger = self.receivers.stop();
        ledger.account("it").expect("started so").clone()
    }

    fn stop_with_record(self, id: &str) -> Record {
        self.stop().deliveries[id].clone()
    }
}
