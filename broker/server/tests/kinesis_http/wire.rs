//! Requests as bytes, for clients that send them in ways of their own.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::api::Api;

/// The head of a signed request of `team-a`, but for its last line, and more headers before it.
pub(crate) fn head(api: &Api, operation: &str, body: &[u8], more: &str) -> String {
    let signed = api.request("team-a", operation, body);
    let mut head = format!("POST / HTTP/1.1\r\n{more}");
    for (name, value) in signed.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    head
}

/// A whole signed request of `team-a`.
pub(crate) fn whole(api: &Api, operation: &str, body: &str) -> String {
    let length = format!("Content-Length: {}\r\n", body.len());
    format!("{}\r\n{body}", head(api, operation, body.as_bytes(), &length))
}

/// What the server sends until it closes.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is cut counts as closed.
    let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut text)).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}
