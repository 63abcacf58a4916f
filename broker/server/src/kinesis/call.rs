//! One authenticated request: who calls, and what its names mean within the caller's account.

use std::sync::Arc;

use millrace_core::{AccountSettings, Limits, ShardId, StreamAttributes, StreamConfig};

use super::account::{self, Account, Resource};
use super::error::ApiError;
use super::format::Format;
use super::{Kinesis, describe, shards};
use crate::broker::{Broker, Stream};
use crate::sigv4::Identity;

/// One authenticated request.
pub(super) struct Call<'a> {
    pub(super) kinesis: &'a Kinesis,
    /// How it is written, and its answer.
    pub(super) format: Format,
    pub(super) caller: Identity,
    pub(super) account: Account,
    /// When the request's body was there, in Unix milliseconds.
    pub(super) now_ms: i64,
}

impl Call<'_> {
    pub(super) fn broker(&self) -> &Broker {
        &self.kinesis.broker
    }

    pub(super) fn namespace(&self) -> &str {
        &self.caller.namespace
    }

    pub(super) fn stream_arn(&self, stream: &str) -> String {
        self.account.stream_arn(&self.caller.region, stream)
    }

    /// The name of the stream that a request means by a name, an ARN or both.
    pub(super) fn stream_name<'b>(
        &self,
        name: Option<&'b str>,
        arn: Option<&'b str>,
    ) -> Result<&'b str, ApiError> {
        let named =
            arn.map(|arn| account::stream_of_arn(arn, &self.caller.region, &self.account)).transpose()?;
        match (name, named) {
            (Some(name), Some(named)) if name != named => Err(ApiError::invalid_argument(format!(
                "StreamName {name} and StreamARN {} name two streams.",
                arn.unwrap_or_default()
            ))),
            (Some(name), _) | (None, Some(name)) => Ok(name),
            (None, None) => Err(ApiError::invalid_argument("StreamName or StreamARN has to be given.")),
        }
    }

    /// The stream that a request means.
    pub(super) fn stream(&self, name: Option<&str>, arn: Option<&str>) -> Result<Arc<Stream>, ApiError> {
        let name = self.stream_name(name, arn)?;
        let stream = self.broker().stream(self.namespace(), name);
        stream.ok_or_else(|| ApiError::no_stream(name, &self.account))
    }

    /// Ends a request that was made only to find out whether it would succeed.
    pub(super) fn check_dry_run(&self, stream: &Stream, dry_run: Option<bool>) -> Result<(), ApiError> {
        if dry_run != Some(true) {
            return Ok(());
        }
        let limited = stream.entry.config.limits == Limits::Kinesis;
        match limited && !self.kinesis.dry_runs.admit(&stream.entry.data, self.now_ms) {
            true => Err(ApiError::too_many_dry_runs(&stream.name, &self.account)),
            false => Err(ApiError::dry_run()),
        }
    }

    /// The stream that a request means, if it is ACTIVE: most changes of one are made only then.
    pub(super) fn active_stream(
        &self,
        name: Option<&str>,
        arn: Option<&str>,
    ) -> Result<Arc<Stream>, ApiError> {
        self.if_active(self.stream(name, arn)?)
    }

    fn if_active(&self, stream: Arc<Stream>) -> Result<Arc<Stream>, ApiError> {
        match describe::status(&stream) {
            "ACTIVE" => Ok(stream),
            status => Err(ApiError::not_active(&stream.name, &self.account, status)),
        }
    }

    /// The shard that a request means, which there may be or have been.
    pub(super) fn shard(&self, stream: &Stream, text: &str) -> Result<ShardId, ApiError> {
        shards::shard_id(text).ok_or_else(|| ApiError::no_such_shard(text, &stream.name, &self.account))
    }

    /// What an ARN names, within this account and region.
    pub(super) fn resource_of_arn<'b>(&self, arn: &'b str) -> Result<Resource<'b>, ApiError> {
        account::resource_of_arn(arn, &self.caller.region, &self.account)
    }

    /// What an ARN names, and the stream that it is or belongs to.
    pub(super) fn resource<'b>(&self, arn: &'b str) -> Result<(Arc<Stream>, Resource<'b>), ApiError> {
        let resource = self.resource_of_arn(arn)?;
        Ok((self.stream(Some(resource.stream()), None)?, resource))
    }

    /// The same, to be changed.
    pub(super) fn active_resource<'b>(&self, arn: &'b str) -> Result<(Arc<Stream>, Resource<'b>), ApiError> {
        let (stream, resource) = self.resource(arn)?;
        Ok((self.if_active(stream)?, resource))
    }

    /// What users keep of a stream, as it is now.
    pub(super) async fn attributes(&self, stream: &Stream) -> Result<Arc<StreamAttributes>, ApiError> {
        let found = self.broker().attributes(stream).await;
        found.map_err(|error| ApiError::of_control(&error, &stream.name, &self.account))
    }

    /// Changes what users keep of a stream, unless `change` refuses.
    pub(super) async fn change_attributes<T: Send>(
        &self,
        stream: &Stream,
        change: impl Fn(&mut StreamAttributes) -> Result<T, ApiError> + Send + Sync,
    ) -> Result<T, ApiError> {
        let changed = self.broker().change_attributes(stream, change).await;
        changed.map_err(|error| ApiError::of_control(&error, &stream.name, &self.account))?
    }

    /// The settings of the caller's account.
    pub(super) async fn account_settings(&self) -> Result<AccountSettings, ApiError> {
        let found = self.broker().account_settings(self.namespace()).await;
        found.map_err(|error| ApiError::of_control(&error, "", &self.account))
    }

    /// Changes a stream's configuration.
    pub(super) async fn configure(
        &self,
        stream: &Stream,
        change: impl Fn(&mut StreamConfig) + Send + Sync,
    ) -> Result<(), ApiError> {
        let changed = self.broker().configure_stream(self.namespace(), &stream.name, &change).await;
        changed.map_err(|error| ApiError::of_control(&error, &stream.name, &self.account))
    }

    /// The stream that a request means, if records can be written to it and read from it. A stream that is
    /// being made or removed counts as absent, as it does in Kinesis.
    pub(super) fn stream_with_data(
        &self,
        name: Option<&str>,
        arn: Option<&str>,
    ) -> Result<Arc<Stream>, ApiError> {
        let stream = self.stream(name, arn)?;
        match describe::has_data(&stream) {
            true => Ok(stream),
            false => Err(ApiError::no_stream(&stream.name, &self.account)),
        }
    }
}
