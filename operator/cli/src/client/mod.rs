//! A small Kinesis client for people's tools: JSON 1.1 over HTTP, signed with Signature Version 4.

mod identity;
mod model;

pub use model::{ApiRecord, ApiShard, GetRecordsOutput, PutRecordsEntry};

use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use identity::Identity;

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:4566";
/// How long one answer may take.
const ANSWER_FOR: Duration = Duration::from_secs(30);
/// How often a call is made again that the service could not take.
const TRIES: u32 = 6;
/// The pause after the first refusal; it doubles with each.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the service is, and who calls.
#[derive(clap::Args, Debug, Clone)]
pub struct ClientArgs {
    /// Where the service is [default: $AWS_ENDPOINT_URL_KINESIS, $AWS_ENDPOINT_URL or http://127.0.0.1:4566]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The region that requests are signed for
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
}

/// A caller of the Kinesis API.
#[derive(Clone)]
pub struct Client {
    endpoint: String,
    region: String,
    identity: Identity,
    http: HttpClient<HttpConnector, Full<Bytes>>,
}

/// Why a call got no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nothing listens there.
    #[error("can't reach {endpoint}: {cause}; start it with `millrace dev`, or name another with --endpoint")]
    Unreachable {
        /// Where it was looked for.
        endpoint: String,
        /// What the connection said.
        cause: String,
    },
    /// The service refused.
    #[error("{name}: {message}")]
    Refused {
        /// The error's name in the API, such as `ResourceNotFoundException`.
        name: String,
        /// What it says.
        message: String,
    },
    /// What came is no answer of this API.
    #[error("{endpoint} does not answer as the Kinesis API does ({what}): is it a millrace broker?")]
    Strange {
        /// Who answered.
        endpoint: String,
        /// What came.
        what: String,
    },
}

impl CallError {
    /// The error's name in the API, if it is one of the API's.
    pub fn name(&self) -> &str {
        match self {
            CallError::Refused { name, .. } => name,
            _ => "",
        }
    }

    /// Whether the same call may succeed a little later.
    fn passes(&self) -> bool {
        matches!(
            self.name(),
            "ProvisionedThroughputExceededException"
                | "LimitExceededException"
                | "ThrottlingException"
                | "KMSThrottlingException"
                | "InternalFailure"
                | "ServiceUnavailable"
                | "ServiceUnavailableException"
                | "ResourceInUseException"
        )
    }
}

impl Client {
    /// A client for the endpoint and the credentials that the arguments and the environment name.
    ///
    /// # Errors
    /// When the endpoint is no `http://` address, or there are no credentials for a host other than this one.
    pub fn new(args: &ClientArgs) -> anyhow::Result<Client> {
        let from_environment = ["AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let endpoint =
            args.endpoint.clone().or(from_environment).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
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
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        Ok(Client { endpoint, region: args.region.clone(), identity, http })
    }

    /// Calls an action of the API, and again while the service is only busy.
    ///
    /// # Errors
    /// When nobody answers, or the service refuses.
    pub async fn call<O: DeserializeOwned>(&self, action: &str, input: &Value) -> Result<O, CallError> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.once(action, input).await {
                Err(error) if error.passes() => tokio::time::sleep(pause).await,
                outcome => return outcome,
            }
            pause *= 2;
        }
        self.once(action, input).await
    }

    async fn once<O: DeserializeOwned>(&self, action: &str, input: &Value) -> Result<O, CallError> {
        let strange = |what: String| CallError::Strange { endpoint: self.endpoint.clone(), what };
        let request =
            self.request(action, input.to_string()).map_err(|error| strange(format!("{error:#}")))?;
        let unreachable = |cause: String| CallError::Unreachable { endpoint: self.endpoint.clone(), cause };
        let answer = async {
            let answer = self.http.request(request).await.map_err(|error| unreachable(root_cause(&error)))?;
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|error| unreachable(root_cause(&error)))?;
            Ok((status, body.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(ANSWER_FOR, answer)
            .await
            .map_err(|_| unreachable(format!("no answer within {} s", ANSWER_FOR.as_secs())))??;
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
                "there is no stream {stream}, nor any other: declare one in a file and give it to `millrace dev -f`"
            );
        }
        let meant = millrace_crds::admission::nearest(stream, stream_names.iter().map(String::as_str));
        let hint = meant.map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
        anyhow!("there is no stream {stream}; {hint}there are: {}", stream_names.join(", "))
    }
}

/// What lies at the bottom of an error: "connection refused" rather than "client error (Connect)".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
