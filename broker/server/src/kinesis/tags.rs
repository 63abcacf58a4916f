//! Tags: `AddTagsToStream`, `RemoveTagsFromStream`, `ListTagsForStream` for streams, and `TagResource`,
//! `UntagResource`, `ListTagsForResource` for streams and their consumers.

use std::collections::BTreeMap;
use std::fmt::Write;

use millrace_core::StreamAttributes;
use millrace_core::attributes::Tags;
use serde::{Deserialize, Serialize};

use super::Call;
use super::account::Resource;
use super::check::{self, Checks};
use super::error::ApiError;
use super::input::{Text, as_str};

/// The most tags of a stream or consumer (Kinesis API, `TagResource`).
const MAX_TAGS: usize = 50;
/// The model's bounds, in characters and in numbers.
const MAX_KEY: usize = 128;
const MAX_VALUE: usize = 256;
const MAX_GIVEN: usize = 200;
const MAX_KEYS: usize = 50;
/// What stands before the keys of tags that are nobody's to set.
const RESERVED: &str = "aws:";

/// Tags as a request brings them.
pub(super) type TagsInput<'a> = BTreeMap<Text<'a>, Text<'a>>;

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct TagForm<'a> {
    key: &'a str,
    value: &'a str,
}

/// Names what is wrong with tags by the model.
pub(super) fn check_tags(checks: &mut Checks, tags: Option<&TagsInput<'_>>) {
    let Some(tags) = tags else { return };
    let long = |text: &Text<'_>, most: usize| text.as_str().chars().count() > most;
    let keys = tags.keys().any(|key| key.as_str().is_empty() || long(key, MAX_KEY));
    let values = tags.values().any(|value| long(value, MAX_VALUE));
    if !keys && !values && (1..=MAX_GIVEN).contains(&tags.len()) {
        return;
    }
    let mut quoted = String::from("{");
    for (index, (key, value)) in tags.iter().take(MAX_GIVEN).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let _ = write!(quoted, "{comma}{}={}", key.as_str(), value.as_str());
    }
    quoted.push('}');
    checks.length("tags", &quoted, tags.len(), 1, MAX_GIVEN);
    let lengths = |least: usize, most: usize| {
        format!(
            "[Member must have length less than or equal to {most}, Member must have length greater than or equal \
             to {least}]"
        )
    };
    if keys {
        checks.violated(
            "tags",
            Some(&quoted),
            format!("Map keys must satisfy constraint: {}", lengths(1, MAX_KEY)),
        );
    }
    if values {
        checks.violated(
            "tags",
            Some(&quoted),
            format!("Map value must satisfy constraint: {}", lengths(0, MAX_VALUE)),
        );
    }
}

/// Names what is wrong with the keys of tags by the model.
fn check_keys(checks: &mut Checks, keys: Option<&Vec<Text<'_>>>) {
    checks.required("tagKeys", keys);
    let Some(keys) = keys else { return };
    let shown: Vec<&str> = keys.iter().take(MAX_KEYS).map(Text::as_str).collect();
    let quoted = format!("[{}]", shown.join(", "));
    checks.length("tagKeys", &quoted, keys.len(), 1, MAX_KEYS);
    if keys.iter().any(|key| key.as_str().is_empty() || key.as_str().chars().count() > MAX_KEY) {
        let constraint = format!(
            "Member must satisfy constraint: [Member must have length less than or equal to {MAX_KEY}, Member must \
             have length greater than or equal to 1]"
        );
        checks.violated("tagKeys", Some(&quoted), constraint);
    }
}

/// Whether all of a tag's characters are allowed.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-%@".contains(c))
}

/// Refuses characters and keys that tags may not have.
fn check_texts<'a>(mut texts: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    match texts.all(is_plain) {
        true => Ok(()),
        false => Err(ApiError::invalid_argument(
            "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . : / = \
             + - % @.",
        )),
    }
}

/// Adds tags to those that are there. `what` they are the tags of, for people.
pub(super) fn add_tags(kept: &mut Tags, given: &TagsInput<'_>, what: &str) -> Result<(), ApiError> {
    check_texts(given.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]))?;
    if let Some(key) = given.keys().find(|key| key.as_str().starts_with(RESERVED)) {
        return Err(ApiError::invalid_argument(format!(
            "Tag {} can't be set: keys that begin with {RESERVED} are reserved.",
            key.as_str()
        )));
    }
    let new = given.keys().filter(|key| !kept.contains_key(key.as_str())).count();
    if kept.len() + new > MAX_TAGS {
        return Err(ApiError::invalid_argument(format!(
            "Failed to add tags to {what} because it cannot have more than {MAX_TAGS} tags associated with it."
        )));
    }
    let texts = given.iter().map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned()));
    kept.extend(texts);
    Ok(())
}

fn remove_tags(kept: &mut Tags, keys: &[Text<'_>]) {
    for key in keys {
        kept.remove(key.as_str());
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamTagsInput<'a> {
    #[serde(borrow, rename = "StreamARN")]
    stream_arn: Option<Text<'a>>,
    #[serde(borrow)]
    stream_name: Option<Text<'a>>,
    #[serde(borrow)]
    tag_keys: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    tags: Option<TagsInput<'a>>,
    #[serde(borrow)]
    exclusive_start_tag_key: Option<Text<'a>>,
    limit: Option<i64>,
}

pub(super) async fn add_tags_to_stream(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: StreamTagsInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    checks.required("tags", input.tags.as_ref());
    check_tags(&mut checks, input.tags.as_ref());
    checks.finish()?;
    let stream = call.active_stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let given = input.tags.unwrap_or_default();
    let what = format!("stream {} under account {}", stream.name, call.account);
    call.change_attributes(&stream, |kept| add_tags(&mut kept.tags, &given, &what)).await?;
    Ok(Vec::new())
}

pub(super) async fn remove_tags_from_stream(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: StreamTagsInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    check_keys(&mut checks, input.tag_keys.as_ref());
    checks.finish()?;
    let stream = call.active_stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let keys = input.tag_keys.unwrap_or_default();
    check_texts(keys.iter().map(Text::as_str))?;
    call.change_attributes(&stream, |kept| {
        remove_tags(&mut kept.tags, &keys);
        Ok(())
    })
    .await?;
    Ok(Vec::new())
}

pub(super) async fn list_tags_for_stream(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        has_more_tags: bool,
        tags: Vec<TagForm<'a>>,
    }
    let input: StreamTagsInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    let after = as_str(&input.exclusive_start_tag_key);
    let rule = check::TextRule { min: 1, max: MAX_KEY, pattern: check::Pattern::Any };
    checks.text("exclusiveStartTagKey", after, rule);
    checks.number("limit", input.limit, 1, MAX_TAGS as i64);
    checks.stream(as_str(&input.stream_name), as_str(&input.stream_arn));
    checks.finish()?;
    let stream = call.stream(as_str(&input.stream_name), as_str(&input.stream_arn))?;
    let kept = call.attributes(&stream).await?;
    let mut tags: Vec<TagForm<'_>> = forms(&kept.tags);
    tags.retain(|tag| after.is_none_or(|after| tag.key > after));
    let most = input.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(MAX_TAGS);
    let has_more_tags = tags.len() > most;
    tags.truncate(most);
    call.format.write(&Output { has_more_tags, tags })
}

fn forms(tags: &Tags) -> Vec<TagForm<'_>> {
    tags.iter().map(|(key, value)| TagForm { key, value }).collect()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceTagsInput<'a> {
    #[serde(borrow, rename = "ResourceARN")]
    resource_arn: Option<Text<'a>>,
    #[serde(borrow)]
    tag_keys: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    tags: Option<TagsInput<'a>>,
}

/// The tags of a stream or of one of its consumers.
fn tags_of<'a>(
    kept: &'a mut StreamAttributes,
    resource: &Resource<'_>,
    call: &Call<'_>,
) -> Result<&'a mut Tags, ApiError> {
    match resource {
        Resource::Stream(_) => Ok(&mut kept.tags),
        Resource::Consumer { name, at_s, .. } => Ok(&mut call.registered_mut(kept, name, Some(*at_s))?.tags),
    }
}

pub(super) async fn tag_resource(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: ResourceTagsInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.resource(as_str(&input.resource_arn));
    checks.required("tags", input.tags.as_ref());
    check_tags(&mut checks, input.tags.as_ref());
    checks.finish()?;
    let arn = as_str(&input.resource_arn).unwrap_or_default();
    let (stream, resource) = call.active_resource(arn)?;
    let given = input.tags.unwrap_or_default();
    call.change_attributes(&stream, |kept| add_tags(tags_of(kept, &resource, call)?, &given, arn)).await?;
    Ok(Vec::new())
}

pub(super) async fn untag_resource(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let input: ResourceTagsInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.resource(as_str(&input.resource_arn));
    check_keys(&mut checks, input.tag_keys.as_ref());
    checks.finish()?;
    let (stream, resource) = call.active_resource(as_str(&input.resource_arn).unwrap_or_default())?;
    let keys = input.tag_keys.unwrap_or_default();
    check_texts(keys.iter().map(Text::as_str))?;
    call.change_attributes(&stream, |kept| {
        remove_tags(tags_of(kept, &resource, call)?, &keys);
        Ok(())
    })
    .await?;
    Ok(Vec::new())
}

pub(super) async fn list_tags_for_resource(call: &Call<'_>, body: &[u8]) -> Result<Vec<u8>, ApiError> {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Output<'a> {
        tags: Vec<TagForm<'a>>,
    }
    let input: ResourceTagsInput<'_> = call.format.read(body)?;
    let mut checks = Checks::default();
    checks.resource(as_str(&input.resource_arn));
    checks.finish()?;
    let (stream, resource) = call.resource(as_str(&input.resource_arn).unwrap_or_default())?;
    let kept = call.attributes(&stream).await?;
    let tags = match resource {
        Resource::Stream(_) => &kept.tags,
        Resource::Consumer { name, at_s, .. } => &call.registered(&kept, name, Some(at_s))?.tags,
    };
    call.format.write(&Output { tags: forms(tags) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::format::Format;
    use serde_json::json;

    fn checked(tags: serde_json::Value) -> Result<(), String> {
        let body = json!({ "Tags": tags }).to_string();
        let input: StreamTagsInput<'_> = Format::Json.read(body.as_bytes()).unwrap();
        let mut checks = Checks::default();
        check_tags(&mut checks, input.tags.as_ref());
        checks.finish().map_err(|error| error.message)
    }

    fn added(kept: &mut Tags, tags: serde_json::Value) -> Result<(), ApiError> {
        let body = json!({ "Tags": tags }).to_string();
        let input: StreamTagsInput<'_> = Format::Json.read(body.as_bytes()).unwrap();
        add_tags(kept, &input.tags.unwrap(), "stream s under account 1")
    }

    #[test]
    fn keys_and_values_have_the_models_lengths() {
        assert_eq!(checked(json!({"k".repeat(128): "v".repeat(256), "ä": ""})), Ok(()));
        let said = checked(json!({"": "v".repeat(257)})).unwrap_err();
        assert!(said.starts_with("2 validation errors detected: Value '{=vvv"), "{said}");
        assert!(
            said.contains(
                "at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member"
            )
        );
        assert!(said.contains(
            "Map value must satisfy constraint: [Member must have length less than or equal to 256"
        ));
        assert!(
            checked(json!({})).unwrap_err().contains("Value '{}' at 'tags' failed to satisfy constraint")
        );
    }

    #[test]
    fn tags_are_added_over_those_that_are_there_up_to_fifty() {
        let mut kept = Tags::from([("a".into(), "1".into())]);
        added(&mut kept, json!({"a": "2", "b": "x y"})).unwrap();
        assert_eq!(kept, Tags::from([("a".into(), "2".into()), ("b".into(), "x y".into())]));
        let more =
            |count: usize| json!((0..count).map(|n| (format!("k{n}"), "v")).collect::<BTreeMap<_, _>>());
        let error = added(&mut kept, more(49)).unwrap_err();
        assert_eq!(error.name, "InvalidArgumentException");
        assert!(error.message.contains("cannot have more than 50 tags"), "{}", error.message);
        added(&mut kept, more(48)).unwrap();
        added(&mut kept, more(48)).expect("none of them is new");
        for bad in [json!({"a;": "b"}), json!({"a": "b*"}), json!({"aws:a": "b"})] {
            assert_eq!(added(&mut kept, bad).unwrap_err().name, "InvalidArgumentException");
        }
    }
}
