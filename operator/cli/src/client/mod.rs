//! A small Kinesis client for people's tools: JSON 1.1 over HTTP, signed with Signature Version 4.

mod identity;
mod model;
mod place;
mod refusal;
mod transport;

pub use model::{ApiRecord, ApiShard, GetRecordsOutput, PutRecordsEntry};
pub use place::{ClientArgs, PlaceArgs};
pub use refusal::CallError;

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow, bail};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use millrace_crds::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::kubernetes;
use identity::Identity;
use place::Place;
use transport::{NoAnswer, Transport};

/// How often a call is made again that the service could not take.
const TRIES: u32 = 6;
/// The pause after the first failure; it doubles with each, up to the longest.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a call looks for a pod that serves, after the one that did has gone.
const RECONNECT_FOR: Duration = Duration::from_secs(60);

/// A caller of the Kinesis API.
#[derive(Clone)]
pub struct Client {
    /// What requests are addressed and signed to.
    endpoint: String,
    /// What people call it.
    place: String,
    region: String,
    identity: Identity,
    transport: Transport,
}

/// A client, and the stream that it was made for.
pub struct Opened {
    /// The client.
    pub client: Client,
    /// What the API calls the stream.
    pub stream: String,
    /// The Stream on the cluster, where there is one.
    pub object: Option<Stream>,
}

#[cfg(test)]
impl Opened {
    /// A client that reaches nobody, for a Stream on a cluster.
    pub fn of_object(object: Stream) -> Opened {
        let client = Client::at("http://127.0.0.1:9", "us-east-1").expect("an address");
        Opened { client, stream: object.stream_name().to_owned(), object: Some(object) }
    }
}

impl Client {
    /// A client for the service that the arguments and the environment name, and the name of the stream that
    /// is meant by `stream`: `orders` or `stream/orders`, on a cluster by the object's name too.
    ///
    /// # Errors
    /// When the endpoint is no `http://` address, or there are no credentials for a host other than this one;
    /// on a cluster when the Stream, its brokers or their access key can't be found.
    pub async fn open(args: &ClientArgs, stream: &str) -> anyhow::Result<Opened> {
        let name = kubernetes::stream_name(stream).map_err(|error| anyhow!(error))?;
        match args.place.place() {
            Place::Endpoint(endpoint) => {
                let client = Client::at(&endpoint, &args.region)?;
                Ok(Opened { client, stream: name, object: None })
            }
            Place::Kubernetes => {
                let cluster = args.place.kubernetes.connect().await?;
                let found = kubernetes::find(&cluster, &name).await?;
                let client = Client {
                    endpoint: format!("http://{}-api.{}.svc:4566", found.broker, cluster.namespace),
                    place: format!(
                        "the brokers of Broker {} in namespace {}",
                        found.broker, cluster.namespace
                    ),
                    region: args.region.clone(),
                    identity: Identity::new(&found.key_id, &found.key_secret, None),
                    transport: Transport::forward(found.forward),
                };
                Ok(Opened {
                    client,
                    stream: found.stream.stream_name().to_owned(),
                    object: Some(found.stream),
                })
            }
        }
    }

    fn at(endpoint: &str, region: &str) -> anyhow::Result<Client> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let uri: http::Uri = endpoint.parse().with_context(|| format!("{endpoint} is no address"))?;
        let (Some("http"), Some(host)) = (uri.scheme_str(), uri.host()) else {
            bail!(
                "{endpoint} is no http:// address: these tools speak to a broker on this host or through a tunnel"
            );
        };
        let host = host.trim_matches(['[', ']']);
        let loopback =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let identity = Identity::from_environment(loopback)?;
        let (place, region) = (endpoint.clone(), region.to_owned());
        Ok(Client { endpoint, place, region, identity, transport: Transport::direct() })
    }

    /// Calls an action of the API, and again while the service is only busy; on a cluster also while another
    /// pod may take the place of one that has gone.
    ///
    /// # Errors
    /// When nobody answers, or the service refuses.
    pub async fn call<O: DeserializeOwned>(&self, action: &str, input: &Value) -> Result<O, CallError> {
        let begun = Instant::now();
        let (mut tries, mut pause) = (1, PAUSE);
        loop {
            let error = match self.once(action, input).await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            let again = match &error {
                CallError::Unreachable { again, .. } => *again && begun.elapsed() < RECONNECT_FOR,
                _ => error.passes() && tries < TRIES,
            };
            if !again {
                return Err(error);
            }
            tracing::debug!(%error, action, "calling again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            tries += 1;
        }
    }

    async fn once<O: DeserializeOwned>(&self, action: &str, input: &Value) -> Result<O, CallError> {
        let strange = |what: String| CallError::Strange { place: self.place.clone(), what };
        let request =
            self.request(action, input.to_string()).map_err(|error| strange(format!("{error:#}")))?;
        let (status, body) =
            self.transport.send(request).await.map_err(|failure| self.unreachable(action, failure))?;
        if status == StatusCode::OK {
            let body: &[u8] = if body.is_empty() { b"null" } else { &body };
            return serde_json::from_slice(body).map_err(|error| strange(error.to_string()));
        }
        #[derive(Deserialize)]
        struct Refusal {
            #[serde(rename = "__type")]
            name: String,
            #[serde(default, alias = "Message")]
            message: String,
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(Refusal { name, message }) => {
                // Some servers write the name behind a namespace and '#'.
                let name = name.rsplit('#').next().unwrap_or_default().to_owned();
                Err(CallError::Refused { name, message })
            }
            Err(_) => Err(strange(format!("HTTP status {status}"))),
        }
    }

    fn unreachable(&self, action: &str, failure: NoAnswer) -> CallError {
        let twice = failure.sent && !reads_only(action);
        let advice = match &self.transport {
            _ if twice && failure.may_pass => "the call may have been carried out: look before you repeat it",
            Transport::Direct(_) => "start it with `millrace dev`, or name another with --endpoint",
            Transport::Forward(_) => "look at `kubectl millrace status`",
        };
        let again = failure.may_pass && !twice;
        CallError::Unreachable { place: self.place.clone(), cause: failure.cause, advice, again }
    }

    fn request(&self, action: &str, body: String) -> anyhow::Result<Request<Full<Bytes>>> {
        let target = format!("Kinesis_20131202.{action}");
        let uri = format!("{}/", self.endpoint);
        let authority: http::Uri = uri.parse()?;
        let authority = authority.authority().context("an endpoint without a host")?.to_string();
        let headers =
            [("content-type", "application/x-amz-json-1.1"), ("host", &authority), ("x-amz-target", &target)];
        let identity = self.identity.credentials().into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("kinesis")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let signable = SignableRequest::new(
            "POST",
            uri.as_str(),
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        )?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        let mut request = Request::post(&uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut request = request.body(Full::new(Bytes::from(body)))?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }

    /// Calls an action on a stream. Where there is no such stream, the error names those there are.
    ///
    /// # Errors
    /// When nobody answers, or the service refuses, in a sentence.
    pub async fn call_on<O: DeserializeOwned>(
        &self,
        stream: &str,
        action: &str,
        mut input: Value,
    ) -> anyhow::Result<O> {
        input["StreamName"] = json!(stream);
        match self.call(action, &input).await {
            Ok(output) => Ok(output),
            Err(error) if error.name() == "ResourceNotFoundException" => {
                Err(self.explain(stream, error).await)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// A stream's shards, in the order of their ids.
    ///
    /// # Errors
    /// As [`Client::call_on`].
    pub async fn shards(&self, stream: &str, filter: Option<Value>) -> anyhow::Result<Vec<ApiShard>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            shards: Vec<ApiShard>,
            next_token: Option<String>,
        }
        let first = filter.map_or(json!({}), |filter| json!({ "ShardFilter": filter }));
        let mut page: Output = self.call_on(stream, "ListShards", first).await?;
        let mut shards = page.shards;
        while let Some(token) = page.next_token {
            page = self.call("ListShards", &json!({ "NextToken": token })).await?;
            shards.append(&mut page.shards);
        }
        Ok(shards)
    }

    /// Why a stream or a shard of it was not found, with the streams that there are.
    async fn explain(&self, stream: &str, error: CallError) -> anyhow::Error {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Output {
            stream_names: Vec<String>,
        }
        let Ok(Output { stream_names }) = self.call("ListStreams", &json!({})).await else {
            return error.into();
        };
        if stream_names.iter().any(|name| name == stream) {
            return error.into();
        }
        if stream_names.is_empty() {
            return anyhow!(
                "there is no stream {stream}, nor any other: {}",
                match self.transport {
                    Transport::Direct(_) => "declare one in a file and give it to `millrace dev -f`",
                    Transport::Forward(_) => "the brokers have not taken up the Stream yet",
                }
            );
        }
        let meant = millrace_crds::admission::nearest(stream, stream_names.iter().map(String::as_str));
        let hint = meant.map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
        anyhow!("there is no stream {stream}; {hint}there are: {}", stream_names.join(", "))
    }
}

/// Whether a call changes nothing, so that making it twice is making it once.
fn reads_only(action: &str) -> bool {
    ["Get", "List", "Describe"].iter().any(|verb| action.starts_with(verb))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::Forward;
    use crate::kubernetes::recorded::{Answers, cluster};

    fn client(transport: Transport) -> Client {
        Client {
            endpoint: "http://default-api.demo.svc:4566".to_owned(),
            place: "there".to_owned(),
            region: "us-east-1".to_owned(),
            identity: Identity::new("id", "secret", None),
            transport,
        }
    }

    fn again(transport: Transport, action: &str, sent: bool) -> bool {
        let may_pass = matches!(transport, Transport::Forward(_));
        let failure = NoAnswer { cause: "broken".to_owned(), sent, may_pass };
        matches!(client(transport).unreachable(action, failure), CallError::Unreachable { again: true, .. })
    }

    #[tokio::test]
    async fn a_call_is_repeated_through_another_pod_unless_it_may_happen_twice() {
        let tunnel = || Transport::forward(Forward::new(cluster(Answers::default()).api, "demo", "default"));
        assert!(again(tunnel(), "GetRecords", true));
        assert!(again(tunnel(), "PutRecord", false), "it was never sent");
        assert!(!again(tunnel(), "PutRecord", true));
        assert!(!again(tunnel(), "SplitShard", true));
        assert!(!again(Transport::direct(), "GetRecords", true), "an address has one place only");
    }

    #[tokio::test]
    async fn a_right_that_is_missing_ends_the_call_at_once() {
        let pod = json!({
            "metadata": { "name": "default-broker-0" },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
        });
        let pods = "/api/v1/namespaces/demo/pods";
        let answers = Answers::default()
            .list(pods, &[pod])
            .refuse(&format!("{pods}/default-broker-0/portforward"), 403);
        let transport = Transport::forward(Forward::new(cluster(answers).api, "demo", "default"));
        let said = client(transport).call::<Value>("ListStreams", &json!({})).await.unwrap_err().to_string();
        assert!(
            said.contains("you may not get and create pods/portforward in namespace demo: ask"),
            "{said}"
        );
    }
}
