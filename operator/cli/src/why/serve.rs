//! What `millrace dev` answers on `GET /why/NAME`: nothing that has to be kept from those who reach it.

use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use millrace_operator::stream::autoscaler;
use millrace_server::broker::Broker;
use millrace_server::controller::Controller;
use millrace_server::http::{Api, Body, full};
use millrace_server::sigv4::ANY_NAMESPACE;
use serde::{Deserialize, Serialize};

use super::answer::{Answer, Known};
use super::steps::Place;

/// What comes before the stream's name.
pub(super) const PATH: &str = "/why/";

/// Why there is no answer.
#[derive(Serialize, Deserialize)]
pub(super) struct Refusal {
    /// A sentence.
    pub(super) error: String,
}

/// Answers by what the controller of this process sees.
pub struct WhyApi {
    broker: Arc<Broker>,
    controller: Arc<Controller>,
}

impl WhyApi {
    /// For the streams of this broker, which this controller tends.
    pub fn new(broker: Arc<Broker>, controller: Arc<Controller>) -> WhyApi {
        WhyApi { broker, controller }
    }

    fn why(&self, name: &str) -> Result<Answer, Refusal> {
        let namespace = ANY_NAMESPACE;
        let stream = self.broker.stream(namespace, name).ok_or_else(|| self.no_stream(name))?;
        let outlook = self.controller.outlook(namespace, name);
        let told = self.controller.why(namespace, name);
        let seen = autoscaler::status(None, outlook.as_deref(), &told, &Time(Timestamp::now()));
        let count = |count: usize| i32::try_from(count).ok();
        let map = stream.map.as_ref();
        let known = Known {
            stream: name,
            namespace,
            config: Some(&stream.entry.config),
            open_shards: map.and_then(|map| count(map.open.len())),
            reshards: map.and_then(|map| count(map.reshards.len())),
            autoscaler: seen.as_ref(),
        };
        Ok(Answer::of(&known, &Place::Dev))
    }

    fn no_stream(&self, name: &str) -> Refusal {
        let streams = self.broker.streams(ANY_NAMESPACE);
        let names: Vec<&str> = streams.iter().take(20).map(|stream| stream.name.as_str()).collect();
        let there = match names.is_empty() {
            true => "nor any other: declare one in a file and give it to `millrace dev -f`".to_owned(),
            false => format!("there are: {}", names.join(", ")),
        };
        Refusal { error: format!("there is no stream {name}; {there}") }
    }
}

#[async_trait]
impl Api for WhyApi {
    fn claims(&self, head: &Parts) -> bool {
        head.method == Method::GET && head.uri.path().starts_with(PATH)
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let name = request.uri().path().strip_prefix(PATH).unwrap_or_default();
        let (status, body) = match self.why(name) {
            Ok(answer) => (StatusCode::OK, serde_json::to_vec(&answer)),
            Err(refusal) => (StatusCode::NOT_FOUND, serde_json::to_vec(&refusal)),
        };
        // Text, numbers and lists of them: none is refused.
        let mut response = Response::new(full(body.unwrap_or_default()));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}
