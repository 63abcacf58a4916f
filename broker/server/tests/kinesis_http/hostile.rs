//! Clients that mean harm, and a good one among them.

use std::io::ErrorKind;
use std::time::Duration;

use base64_simd::STANDARD;
use http::{Response, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use millrace_server::http::ListenerConfig;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::api::{Api, Options};
use crate::wire::{head, rest, whole};

/// When the server loses its patience: far longer than a good client needs, however busy the machine.
const SOON: Duration = Duration::from_secs(3);
const SLOW_CLIENTS: usize = 1_000;
const OVERSIZED_CLIENTS: usize = 100;

/// An API that loses its patience soon, with a stream that has 6 MiB to be read.
async fn start(listener: ListenerConfig) -> (Api, String) {
    let options = Options {
        listener,
        body_timeout: Some(SOON),
        bodies_bytes: Some(64 << 20),
        answers_bytes: Some(64 << 20),
        ..Options::default()
    };
    let api = Api::start_with(options).await;
    api.make_stream("team-a", "orders", 1).await;
    let data = STANDARD.encode_to_string(vec![7; 1 << 20]);
    for _ in 0..6 {
        let record = json!({"StreamName": "orders", "Data": data[..1_000_000], "PartitionKey": "k"});
        api.ok("PutRecord", record).await;
    }
    let iterator = api.iterator("orders", "shardId-000000000000", "TRIM_HORIZON", json!({})).await;
    (api, json!({"ShardIterator": iterator}).to_string())
}

/// Sends a byte now and then, and reads as slowly, until the server has had enough.
async fn drip(mut stream: TcpStream, bytes: &[u8]) {
    let mut pace = tokio::time::interval(SOON / 10);
    for byte in bytes.iter().cycle() {
        pace.tick().await;
        match stream.try_read(&mut [0; 64]) {
            Ok(0) => return,
            Err(error) if error.kind() != ErrorKind::WouldBlock => return,
            _ => {}
        }
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
}

/// A connection whose client has little room for what it does not read.
async fn connect(api: &Api) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(api.address.parse().unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_oversized_clients_are_cut_and_a_good_one_is_served_meanwhile() {
    let listener = ListenerConfig { idle_timeout: SOON, answer_timeout: SOON, ..ListenerConfig::default() };
    let (api, read_all) = start(listener).await;
    let put = json!({"StreamName": "orders", "Data": "", "PartitionKey": "k"});
    let good = async || {
        let answer = api.call("PutRecord", put.clone()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let mut hostile = JoinSet::new();
    let announced = "Content-Length: 1000000\r\n";
    let begun = head(&api, "ListStreams", &[b'x'; 1_000_000], announced);
    let get = whole(&api, "GetRecords", &read_all);
    for client in 0..SLOW_CLIENTS {
        if client % 100 == 0 {
            good().await;
        }
        let mut stream = connect(&api).await;
        let (begun, get) = (begun.clone(), get.clone());
        hostile.spawn(async move {
            match client % 4 {
                0 => drop(rest(&mut stream).await),
                1 => drip(stream, b"POST / HTTP/1.1\r\nX-More: 1\r\n").await,
                2 => {
                    let _ = stream.write_all(format!("{begun}\r\n").as_bytes()).await;
                    drip(stream, b"x").await;
                }
                // Blank lines stand before no request, and show when the server has gone.
                _ => {
                    let _ = stream.write_all(get.as_bytes()).await;
                    drip(stream, b"\r\n").await;
                }
            }
        });
    }
    let endless = head(&api, "ListStreams", b"{}", "Transfer-Encoding: chunked\r\n");
    let long = head(&api, "ListStreams", b"{}", "Content-Length: 1000000000000\r\n");
    for client in 0..OVERSIZED_CLIENTS {
        if client % 10 == 0 {
            good().await;
        }
        let mut stream = connect(&api).await;
        let (endless, long) = (endless.clone(), long.clone());
        hostile.spawn(async move {
            let (begin, more) = match client % 10 {
                0 => (format!("{endless}\r\n"), format!("10000\r\n{}\r\n", "x".repeat(65_536))),
                1..5 => (format!("{long}\r\n"), "x".repeat(65_536)),
                _ => ("POST / HTTP/1.1\r\n".into(), "X-More: header flood\r\n".repeat(1_000)),
            };
            let _ = stream.write_all(begin.as_bytes()).await;
            while stream.write_all(more.as_bytes()).await.is_ok() {}
        });
    }
    while !hostile.is_empty() {
        good().await;
        while let Some(ended) = hostile.try_join_next() {
            ended.unwrap();
        }
    }
}

#[tokio::test]
async fn an_oversized_body_that_says_so_is_refused_before_it_is_sent() {
    let api = Api::start().await;
    let mut stream = TcpStream::connect(&api.address).await.unwrap();
    let head = head(&api, "ListStreams", b"{}", "Content-Length: 1000000000000\r\n");
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("RequestEntityTooLargeException"), "{answer}");
}

#[tokio::test]
async fn a_flood_of_headers_is_refused() {
    let api = Api::start().await;
    let mut stream = TcpStream::connect(&api.address).await.unwrap();
    let flood = format!("POST / HTTP/1.1\r\n{}", "X-More: header flood\r\n".repeat(150));
    stream.write_all(format!("{flood}\r\n").as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn answers_that_nobody_reads_are_bounded_and_given_back() {
    let (api, read_all) = start(ListenerConfig::default()).await;
    let http2 = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let mut request = api.request("team-a", "GetRecords", read_all.as_bytes());
    request.headers_mut().remove("host");
    *request.version_mut() = Version::HTTP_2;
    // Each answer has 6 MiB, and all together may have 64.
    let mut unread = Vec::new();
    while unread.last().is_none_or(|answer: &Response<Incoming>| answer.status() == 200) {
        unread.push(http2.request(request.clone()).await.unwrap());
        assert!(unread.len() < 12, "answers are not bounded");
    }
    let read_all: Value = serde_json::from_str(&read_all).unwrap();
    let refused = api.call("GetRecords", read_all.clone()).await;
    assert_eq!(refused.error(), ("ServiceUnavailable".into(), 503));
    // Others still get theirs, as long as they are small.
    assert_eq!(api.call("ListStreams", json!({})).await.status, 200);
    drop((http2, unread));
    while api.call("GetRecords", read_all.clone()).await.status == 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(api.call("GetRecords", read_all).await.status, 200);
}
