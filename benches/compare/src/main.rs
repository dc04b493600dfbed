use queue_tokio::{Job, Queue};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::*},
    },
    time::{Duration, Instant},
};
#[derive(serde::Serialize, serde::Deserialize)]
struct Mail {
    to: String,
    n: u64,
}
static NN: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
fn n() -> u64 {
    *NN.get_or_init(|| std::env::var("N").map_or(200_000, |t| t.parse().unwrap()))
}
fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::env::var("T").map_or(2, |t| t.parse().unwrap()))
        .enable_all()
        .build()
        .unwrap()
}
fn decode(b: &[u8]) -> u64 {
    let m: Mail = serde_json::from_slice(b).unwrap();
    m.n
}
async fn wait(c: &AtomicU64) {
    while c.load(Acquire) < n() {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}
fn ours(json: bool) -> f64 {
    rt().block_on(async {
        tokio::spawn(async move {
            let c = Arc::new(AtomicU64::new(0));
            let q = Queue::builder().workers(4).build();
            let c2 = c.clone();
            q.register("mail", move |j: Job| {
                let c = c2.clone();
                async move {
                    if json {
                        decode(j.raw_payload());
                    }
                    c.fetch_add(1, Release);
                    Ok(())
                }
            });
            q.start();
            let t = Instant::now();
            for n in 0..n() {
                if json {
                    q.push("mail", &Mail { to: "user@example.com".into(), n }).await.unwrap();
                } else {
                    q.push("mail", &()).await.unwrap();
                }
            }
            wait(&c).await;
            let e = t.elapsed();
            assert_eq!(c.load(Relaxed), n());
            q.shutdown(Duration::from_secs(1)).await;
            e.as_nanos() as f64 / n() as f64
        })
        .await
        .unwrap()
    })
}
fn spawn(json: bool) -> f64 {
    rt().block_on(async {
        tokio::spawn(async move {
            let c = Arc::new(AtomicU64::new(0));
            let t = Instant::now();
            for n in 0..n() {
                let c = c.clone();
                if json {
                    let b = serde_json::to_vec(&Mail { to: "user@example.com".into(), n }).unwrap();
                    tokio::spawn(async move {
                        decode(&b);
                        c.fetch_add(1, Release);
                    });
                } else {
                    tokio::spawn(async move {
                        c.fetch_add(1, Release);
                    });
                }
            }
            wait(&c).await;
            t.elapsed().as_nanos() as f64 / n() as f64
        })
        .await
        .unwrap()
    })
}
fn mpsc(json: bool) -> f64 {
    rt().block_on(async {
        tokio::spawn(async move {
            let c = Arc::new(AtomicU64::new(0));
            let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
            let c2 = c.clone();
            tokio::spawn(async move {
                while let Some(b) = rx.recv().await {
                    if json {
                        decode(&b);
                    }
                    c2.fetch_add(1, Release);
                }
            });
            let t = Instant::now();
            for n in 0..n() {
                if json {
                    tx.send(serde_json::to_vec(&Mail { to: "user@example.com".into(), n }).unwrap()).unwrap();
                } else {
                    tx.send(Vec::new()).unwrap();
                }
            }
            wait(&c).await;
            t.elapsed().as_nanos() as f64 / n() as f64
        })
        .await
        .unwrap()
    })
}
fn med(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}
fn main() {
    for json in [true, false] {
        let (mut a, mut b, mut c) = (vec![], vec![], vec![]);
        for i in 0..11 {
            let (x, y, z) = (ours(json), spawn(json), mpsc(json));
            if i > 0 || true {
                a.push(x);
                b.push(y);
                c.push(z);
            }
        }
        let (a, b, c) = (med(a), med(b), med(c));
        println!(
            "json={json} ours {a:.0} spawn {b:.0} mpsc {c:.0}  ours/spawn {:.2} ours/mpsc {:.2}",
            a / b,
            a / c
        );
    }
}
