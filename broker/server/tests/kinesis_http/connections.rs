//! The listener: protocols, bounds, and the end.

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use millrace_server::http::ListenerConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::{Answer, Api, Options};
use crate::wire::{head, rest, whole};

#[tokio::test]
async fn one_port_speaks_http_1_and_http_2() {
    let api = Api::start().await;
    let answer = api.call("ListStreams", json!({})).await;
    assert_eq!(answer.status, 200);
    for name in ["x-amzn-requestid", "x-amz-id-2", "x-amz-crc32"] {
        assert!(answer.headers.contains_key(name), "{name}");
    }
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.1");
    let http2 = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let mut request = api.request("team-a", "ListStreams", b"{}");
    request.headers_mut().remove("host");
    *request.version_mut() = http::Version::HTTP_2;
    let answer = Answer::of(http2.request(request).await.unwrap()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn the_probe_needs_no_signature_and_everything_else_does() {
    let api = Api::start().await;
    let get = async |path: &str| {
        let request = Request::get(format!("http://{}{path}", api.address)).body(Full::default()).unwrap();
        api.send(request).await.status
    };
    assert_eq!(get("/ready").await, StatusCode::SERVICE_UNAVAILABLE);
    api.readiness.set(true);
    assert_eq!(get("/ready").await, StatusCode::OK);
    assert_eq!(get("/").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn connections_that_say_nothing_or_too_slowly_are_closed() {
    let listener = ListenerConfig { idle_timeout: Duration::from_millis(200), ..ListenerConfig::default() };
    let api = Api::start_with(Options { listener, ..Options::default() }).await;
    for beginning in ["", "P", "POST / HTTP/1.1\r\nHost: x\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(&api.address).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        // It returns at all: the server closes.
        rest(&mut stream).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let options = Options { body_timeout: Some(Duration::from_millis(200)), ..Options::default() };
    let api = Api::start_with(options).await;
    let head = head(&api, "ListStreams", b"{}", "Content-Length: 2\r\n");
    let mut stream = TcpStream::connect(&api.address).await.unwrap();
    stream.write_all(format!("{head}\r\n{{").as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("RequestTimeoutException"), "{answer}");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_send_its_body() {
    let api = Api::start().await;
    let more = "Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n";
    let head = head(&api, "ListStreams", b"{}", more);
    let mut stream = TcpStream::connect(&api.address).await.unwrap();
    stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
    let told = "HTTP/1.1 100 Continue\r\n\r\n";
    let mut begin = vec![0; told.len()];
    tokio::time::timeout(Duration::from_secs(20), stream.read_exact(&mut begin)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(begin).unwrap(), told);
    stream.write_all(b"{}").await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let api = Api::start().await;
    let refusals =
        [(1 << 30, "413", "RequestEntityTooLargeException"), (3, "400", "UnrecognizedClientException")];
    for (length, status, name) in refusals {
        let more = format!("Content-Length: {length}\r\nExpect: 100-continue\r\n");
        let mut head = head(&api, "ListStreams", b"{}", &more);
        if status == "400" {
            head = head.replace("team-a", "team-x");
        }
        let mut stream = TcpStream::connect(&api.address).await.unwrap();
        stream.write_all(format!("{head}\r\n").as_bytes()).await.unwrap();
        // Nothing was sent, so that the server closes without waiting for it.
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(name), "{answer}");
    }
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_turn_on_one_connection() {
    let api = Api::start().await;
    let describe =
        |name: &str| whole(&api, "DescribeStreamSummary", &json!({"StreamName": name}).to_string());
    let names: Vec<String> = (0..50).map(|index| format!("none-{index:02}")).collect();
    let all: String = names.iter().map(|name| describe(name)).collect();
    let last = whole(&api, "ListStreams", "{}").replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut stream = TcpStream::connect(&api.address).await.unwrap();
    stream.write_all(format!("{all}{last}").as_bytes()).await.unwrap();
    let answers = rest(&mut stream).await;
    let mut from = 0;
    for name in &names {
        from += answers[from..]
            .find(&format!("Stream {name} under account"))
            .unwrap_or_else(|| panic!("{name}: {answers}"));
    }
    assert_eq!(answers.matches("HTTP/1.1 400 ").count(), names.len());
    assert!(answers[from..].contains("HTTP/1.1 200 ") && answers.ends_with('}'), "{answers}");
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let api = Api::start().await;
    let mut stream = TcpStream::connect(&api.address).await.unwrap();
    for _ in 0..3 {
        stream.write_all(whole(&api, "ListStreams", "{}").as_bytes()).await.unwrap();
        let mut begin = [0; 13];
        stream.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200 ");
        let mut seen = Vec::new();
        while !seen.ends_with(b"}") {
            seen.push(stream.read_u8().await.unwrap());
        }
    }
}

#[tokio::test]
async fn a_body_may_be_packed_and_is_signed_as_it_is_sent() {
    let api = Api::start().await;
    api.make_stream("team-a", "orders", 1).await;
    let pack = |text: &str| {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut packer, text.as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let send = async |encoding: &'static str, body: &[u8]| {
        let mut request = api.request("team-a", "PutRecord", body);
        request.headers_mut().insert("content-encoding", http::HeaderValue::from_static(encoding));
        api.send(request).await
    };
    let put = json!({"StreamName": "orders", "Data": "", "PartitionKey": "k"}).to_string();
    assert_eq!(send("gzip", &pack(&put)).await.status, 200);
    assert_eq!(send("amz-1.0", put.as_bytes()).await.status, 200);
    assert_eq!(send("gzip", put.as_bytes()).await.error(), ("SerializationException".into(), 400));
    let bomb = pack(&" ".repeat(17 << 20));
    assert!(bomb.len() < 100_000);
    assert_eq!(send("gzip", &bomb).await.error(), ("RequestEntityTooLargeException".into(), 413));
}

#[tokio::test]
async fn every_answer_says_which_request_it_belongs_to() {
    let api = Api::start().await;
    let unsigned = Request::post(format!("http://{}/", api.address))
        .header("x-amz-target", "Kinesis_20131202.PutRecord");
    let unsigned = api.send(unsigned.body(Full::default()).unwrap()).await;
    let unknown = api.call("ListStream", json!({})).await;
    let refused = api.call("DescribeStream", json!({"StreamName": "none"})).await;
    for answer in [unsigned, unknown, refused] {
        assert_eq!(answer.headers["x-amz-crc32"], crc32fast::hash(&answer.body).to_string().as_str());
        assert_eq!(answer.headers["x-amzn-requestid"].len(), 36, "{answer:?}");
    }
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_a_place() {
    let listener = ListenerConfig { max_connections: 1, ..ListenerConfig::default() };
    let api = Api::start_with(Options { listener, ..Options::default() }).await;
    let mut first = TcpStream::connect(&api.address).await.unwrap();
    let probe = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n";
    first.write_all(probe).await.unwrap();
    let mut begin = [0; 12];
    first.read_exact(&mut begin).await.unwrap();
    let mut second = TcpStream::connect(&api.address).await.unwrap();
    second.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut byte = [0; 1];
    let early = tokio::time::timeout(Duration::from_millis(200), second.read_exact(&mut byte)).await;
    assert!(early.is_err(), "the second connection was served beside the first");
    drop(first);
    assert!(rest(&mut second).await.contains("503"));
}

#[tokio::test]
async fn a_stopping_listener_closes_idle_connections_and_takes_no_new_ones() {
    let api = Api::start().await;
    assert_eq!(api.call("ListStreams", json!({})).await.status, 200);
    // The client keeps its connection open; the end does not wait for it.
    tokio::time::timeout(Duration::from_secs(10), api.stop()).await.expect("the listener did not stop");
    assert!(TcpStream::connect(&api.address).await.is_err());
}
