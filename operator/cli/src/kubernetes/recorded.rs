//! An API server for tests that answers from a list, and knows nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};

use super::Cluster;

/// Answers by path.
#[derive(Clone, Default)]
pub struct Answers(BTreeMap<String, (StatusCode, Value)>);

impl Answers {
    /// Answers with this object.
    pub fn object(mut self, path: &str, object: Value) -> Answers {
        self.0.insert(path.to_owned(), (StatusCode::OK, object));
        self
    }

    /// Answers with a list of these.
    pub fn list(self, path: &str, items: &[Value]) -> Answers {
        let list = json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": items });
        self.object(path, list)
    }

    /// Refuses with this status.
    pub fn refuse(mut self, path: &str, code: u16) -> Answers {
        let status = json!({ "kind": "Status", "status": "Failure", "code": code, "reason": "", "message": "refused" });
        self.0.insert(path.to_owned(), (StatusCode::from_u16(code).expect("a status"), status));
        self
    }

    fn answer(&self, request: &Request<Body>) -> (StatusCode, Value) {
        assert_eq!(request.method(), http::Method::GET, "nothing may be written: {request:?}");
        let missing = || {
            (
                StatusCode::NOT_FOUND,
                json!({ "kind": "Status", "code": 404, "reason": "NotFound", "message": "not found" }),
            )
        };
        self.0.get(request.uri().path()).cloned().unwrap_or_else(missing)
    }
}

/// A cluster that answers so, with `demo` for the namespace.
pub fn cluster(answers: Answers) -> Cluster {
    let answers = Arc::new(answers);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (status, body) = answers.answer(&request);
        let response = Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
        async move { response }
    });
    Cluster { api: kube::Client::new(service, "demo"), namespace: "demo".to_owned() }
}
