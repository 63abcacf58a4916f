//! Which API answers a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Method, Request, Response, StatusCode, header};

use super::{Api, Body, full};

/// Whether the process is ready to serve, as `GET /ready` tells it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Says from now on that it is, or is not.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// Whether it is.
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The APIs behind one listener.
pub struct Router {
    apis: Vec<Arc<dyn Api>>,
    readiness: Readiness,
}

impl Router {
    /// A router that asks the APIs in this order.
    pub fn new(apis: Vec<Arc<dyn Api>>, readiness: Readiness) -> Router {
        Router { apis, readiness }
    }

    /// Answers a request: the probe itself, all others by the API that claims them.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        if head.uri.path() == "/ready" && matches!(head.method, Method::GET | Method::HEAD) {
            return match self.readiness.get() {
                true => plain(StatusCode::OK, "ready\n"),
                false => plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            };
        }
        match self.apis.iter().find(|api| api.claims(&head)) {
            Some(api) => api.answer(Request::from_parts(head, body)).await,
            None => plain(
                StatusCode::NOT_FOUND,
                "No API here answers this request. Amazon's APIs are told by the header X-Amz-Target.\n",
            ),
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut answer = Response::new(full(text));
    *answer.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use http::request::Parts;

    struct Named(&'static str);

    #[async_trait]
    impl Api for Named {
        fn claims(&self, head: &Parts) -> bool {
            head.uri.path().starts_with(self.0)
        }

        async fn answer(&self, _request: Request<Body>) -> Response<Body> {
            plain(StatusCode::OK, self.0)
        }
    }

    async fn ask(router: &Router, method: Method, path: &str) -> (StatusCode, String) {
        use http_body_util::BodyExt;
        let request = Request::builder().method(method).uri(path).body(full("")).unwrap();
        let answer = router.answer(request).await;
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_first_api_that_claims_a_request_answers_it() {
        let apis: Vec<Arc<dyn Api>> = vec![Arc::new(Named("/a/b")), Arc::new(Named("/a"))];
        let router = Router::new(apis, Readiness::default());
        assert_eq!(ask(&router, Method::POST, "/a/b/c").await, (StatusCode::OK, "/a/b".into()));
        assert_eq!(ask(&router, Method::POST, "/a/c").await, (StatusCode::OK, "/a".into()));
        assert_eq!(ask(&router, Method::POST, "/c").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn the_probe_tells_whether_the_process_is_ready() {
        let readiness = Readiness::default();
        let router = Router::new(vec![Arc::new(Named("/"))], readiness.clone());
        assert_eq!(ask(&router, Method::GET, "/ready").await.0, StatusCode::SERVICE_UNAVAILABLE);
        readiness.set(true);
        assert_eq!(ask(&router, Method::GET, "/ready").await.0, StatusCode::OK);
    }
}
