//! What no well-behaved client does, over bare sockets.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use queue_examples::webhooks::receivers::{Behaviour, Receivers};

const PING: &str = "POST /webhooks HTTP/1.1\r\nHost: it\r\nX-GitHub-Delivery: 1\r\n\
                    X-GitHub-Event: ping\r\nContent-Length: 2\r\n\r\n{}";

#[test]
fn malformed_requests_are_answered_and_counted() {
    let receivers = start(Behaviour::Healthy);
    let cases = [
        "nonsense\r\n\r\n".to_owned(),
        "\0\x01\x02\r\n\r\n".to_owned(),
        PING.replace("POST", "GET"),
        PING.replace("X-GitHub-Delivery", "X-Other"),
        PING.replace("X-GitHub-Event", "X-Other"),
        PING.replace("Content-Length: 2", "Content-Length: many"),
        PING.replace("Content-Length: 2", "Content-Length: -1"),
        PING.replace("Content-Length: 2", "Content-Length: 18446744073709551615"),
        PING.replace("Host: it", "Transfer-Encoding: chunked"),
        PING.replace("Host: it", &format!("Host: {}", "x".repeat(100_000))),
        PING.replace("Host: it", &"A: b\r\n".repeat(100)),
    ];
    for case in &cases {
        let mut stream = connect(&receivers);
        stream.write_all(case.as_bytes()).expect("sent");
        let answer = read_to_end(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{case:?}: {answer:?}");
    }
    let ledger = receivers.stop();
    let account = ledger.account("it").expect("started under this name");
    assert_eq!(account.malformed, cases.len() as u64);
    assert!(account.deliveries.is_empty());
}

#[test]
fn requests_cut_off_halfway_count_for_nothing() {
    let receivers = start(Behaviour::Healthy);
    for length in [0, 1, PING.len() / 2, PING.len() - 1] {
        let mut stream = connect(&receivers);
        stream.write_all(&PING.as_bytes()[..length]).expect("sent");
        stream.shutdown(Shutdown::Write).expect("still connected");
        assert_eq!(read_to_end(&mut stream), "");
    }
    let ledger = receivers.stop();
    let account = ledger.account("it").expect("started under this name");
    assert_eq!((account.malformed, account.attempts()), (0, 0));
}

#[test]
fn one_connection_carries_many_requests_in_any_pieces() {
    let receivers = start(Behaviour::Healthy);
    let mut stream = connect(&receivers);
    for piece in PING.as_bytes().chunks(7) {
        stream.write_all(piece).expect("sent");
    }
    stream.write_all(PING.repeat(2).as_bytes()).expect("sent on the same connection");
    stream
        .write_all(PING.replace("Host: it", "Connection: close").as_bytes())
        .expect("sent on the same connection");
    let answers = read_to_end(&mut stream);
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 4);
    assert_eq!(answers.matches("Connection: keep-alive\r\n").count(), 3);

    let ledger = receivers.stop();
    let record = &ledger.account("it").expect("started so").deliveries["1"];
    assert_eq!((record.attempts, record.acks, record.duplicates), (4, 4, 3));
}

#[test]
fn a_changed_body_under_the_same_id_is_refused() {
    let receivers = start(Behaviour::Healthy);
    let changed = PING.replace("{}", "[]").replace("Host: it", "Connection: close");
    let mut stream = connect(&receivers);
    stream.write_all(PING.as_bytes()).expect("sent");
    stream.write_all(changed.as_bytes()).expect("sent");
    let answers = read_to_end(&mut stream);
    assert!(answers.contains("HTTP/1.1 400 "), "{answers:?}");
    let ledger = receivers.stop();
    let record = &ledger.account("it").expect("started so").deliveries["1"];
    assert_eq!((record.attempts, record.altered), (2, 1));
}

#[test]
fn stop_waits_for_no_client() {
    let receivers = Receivers::start([
        ("it", Behaviour::Healthy),
        ("slow", Behaviour::Slow { delay: Duration::from_hours(1) }),
        ("refused", Behaviour::Refused),
    ])
    .expect("loopback ports");
    let idle = connect(&receivers);
    let mut halfway = connect(&receivers);
    halfway.write_all(&PING.as_bytes()[..PING.len() / 2]).expect("sent");
    let mut waiting = connect_to(&receivers, "slow").expect("it listens");
    waiting.write_all(PING.as_bytes()).expect("sent");
    while receivers.ledger().account("slow").is_some_and(|slow| slow.attempts() == 0) {
        thread::yield_now();
    }

    let ledger = receivers.stop();
    let record = &ledger.account("slow").expect("started so").deliveries["1"];
    assert_eq!((record.attempts, record.acks, record.abandoned), (1, 0, 1));
    drop((idle, halfway, waiting));
}

#[test]
fn a_refusing_receiver_keeps_its_port() {
    let mut receivers = start(Behaviour::Refused);
    let url = receivers.url("it");
    let error = connect_to(&receivers, "it").expect_err("nobody listens");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    receivers.open().expect("it can listen");
    receivers.open().expect("again is no error");
    assert_eq!(receivers.url("it"), url);
    connect_to(&receivers, "it").expect("it listens");
    assert_eq!(receivers.names().collect::<Vec<_>>(), ["it"]);
    drop(receivers);
}

fn start(behaviour: Behaviour) -> Receivers {
    Receivers::start([("it", behaviour)]).expect("loopback ports")
}

fn connect(receivers: &Receivers) -> TcpStream {
    connect_to(receivers, "it").expect("it listens")
}

fn connect_to(receivers: &Receivers, name: &str) -> io::Result<TcpStream> {
    let url = receivers.url(name).expect("started under this name");
    let address = url.trim_start_matches("http://").trim_end_matches("/webhooks");
    TcpStream::connect(address)
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("a clean end");
    answer
}
