use hyper::body::Frame;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::*;

/// A body that is sent piece by piece.
struct Pieces(mpsc::Receiver<Frame<Bytes>>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|frame| frame.map(Ok))
    }
}

/// Begins to answer with a stream; where its pieces go, and what the server says to it.
fn stream(served: &Arc<Served>, id: &str) -> (mpsc::Sender<Frame<Bytes>>, JoinHandle<Reply>) {
    let (sender, pieces) = mpsc::channel(1);
    let (served, path) = (served.clone(), format!("/2018-06-01/runtime/invocation/{id}/response"));
    let reply = tokio::spawn(async move {
        let headers = [
            ("Lambda-Runtime-Function-Response-Mode", "streaming"),
            ("Content-Type", "text/html"),
            ("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"),
        ];
        let body = UnsyncBoxBody::new(Pieces(pieces));
        served.send_body(Method::POST, &path, &headers, body).await.unwrap()
    });
    (sender, reply)
}

fn piece(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

async fn begin(
    served: &Arc<Served>,
) -> (mpsc::Receiver<Result<Bytes, FunctionError>>, mpsc::Sender<Frame<Bytes>>, JoinHandle<Reply>) {
    let api = served.api.clone();
    let invoked = tokio::spawn(async move { api.invoke(invocation("a")).await.unwrap() });
    served.next().await;
    let (sender, reply) = stream(served, "a");
    sender.send(piece("one ")).await.unwrap();
    let response = invoked.await.unwrap();
    assert_eq!(response.content_type.as_deref(), Some("text/html"));
    let ResponseBody::Streamed(pieces) = response.body else { panic!("it is streamed") };
    (pieces, sender, reply)
}

#[tokio::test]
async fn pieces_come_as_they_are_sent() {
    let served = Arc::new(serve(Settings::default()).await);
    let (mut pieces, sender, reply) = begin(&served).await;
    assert_eq!(pieces.recv().await.unwrap().unwrap(), "one ");
    sender.send(piece("two")).await.unwrap();
    assert_eq!(pieces.recv().await.unwrap().unwrap(), "two");
    drop(sender);
    assert_eq!(pieces.recv().await, None);
    reply.await.unwrap().is_accepted();
    served.answer("a", "response", "1").await.is_refused(StatusCode::BAD_REQUEST, "InvalidRequestID");
}

#[tokio::test]
async fn a_function_that_fails_in_the_middle_says_so_in_trailers() {
    let served = Arc::new(serve(Settings::default()).await);
    let (mut pieces, sender, reply) = begin(&served).await;
    assert_eq!(pieces.recv().await.unwrap().unwrap(), "one ");
    let body = r#"{"errorMessage":"half way"}"#;
    let mut trailers = HeaderMap::new();
    trailers.insert("lambda-runtime-function-error-type", "Runtime.Oops".parse().unwrap());
    let encoded = base64_simd::STANDARD.encode_to_string(body);
    trailers.insert("lambda-runtime-function-error-body", encoded.parse().unwrap());
    sender.send(Frame::trailers(trailers)).await.unwrap();
    drop(sender);
    let error = pieces.recv().await.unwrap().unwrap_err();
    let told =
        FunctionError { cause: Cause::Function, error_type: "Runtime.Oops".into(), payload: body.into() };
    assert_eq!(error, told);
    reply.await.unwrap().is_accepted();
}

#[tokio::test]
async fn a_stream_that_breaks_off_never_looks_whole() {
    for told_before in [false, true] {
        let served = serve(Settings::default()).await;
        let outcome = served.invoke(invocation("a"));
        served.next().await;
        let mut connection = tokio::net::TcpStream::connect(served.api.address()).await.unwrap();
        let head = "POST /2018-06-01/runtime/invocation/a/response HTTP/1.1\r\nHost: runtime\r\n\
            Lambda-Runtime-Function-Response-Mode: streaming\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
        connection.write_all(head.as_bytes()).await.unwrap();
        if told_before {
            served.api.function_exited("Runtime exited with error: signal: killed");
        }
        drop(connection);
        assert_eq!(outcome.await.unwrap().unwrap_err().cause, Cause::Exited);
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_time_is_over() {
    let served = Arc::new(serve(Settings::default()).await);
    let api = served.api.clone();
    let limited = Invocation { timeout: Duration::from_millis(50), ..invocation("a") };
    let invoked = tokio::spawn(async move { api.invoke(limited).await });
    served.next().await;
    let (sender, reply) = stream(&served, "a");
    let outcome = match invoked.await.unwrap() {
        Ok(response) => response.whole(MAX_STREAM_BYTES).await,
        // It was over before the answer began.
        Err(error) => Err(error),
    };
    assert_eq!(outcome.unwrap_err().cause, Cause::TimedOut);
    drop(sender);
    reply.await.unwrap().is_refused(StatusCode::BAD_REQUEST, "InvalidRequestID");
}

#[tokio::test]
async fn a_stream_is_gathered_for_those_who_want_all_of_it() {
    let served = Arc::new(serve(Settings::default()).await);
    let outcome = served.invoke(invocation("a"));
    served.next().await;
    let (sender, reply) = stream(&served, "a");
    for text in ["a", "b", "c"] {
        sender.send(piece(text)).await.unwrap();
    }
    drop(sender);
    reply.await.unwrap().is_accepted();
    assert_eq!(outcome.await.unwrap().unwrap(), "abc");
}
