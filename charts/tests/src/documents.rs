//! YAML texts of several documents.

use serde::Deserialize;
use serde_json::Value;

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Document(pub Value);

impl Document {
    /// Its kind, or nothing.
    pub fn kind(&self) -> &str {
        self.0["kind"].as_str().unwrap_or_default()
    }

    /// Its name, or nothing.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// Its namespace; nothing where it has none.
    pub fn namespace(&self) -> &str {
        self.0["metadata"]["namespace"].as_str().unwrap_or_default()
    }

    /// Kind, namespace and name, for people.
    pub fn title(&self) -> String {
        format!("{} {}/{}", self.kind(), self.namespace(), self.name())
    }
}

/// The objects of a text. Documents that hold nothing are left out.
pub fn documents(text: &str) -> Vec<Document> {
    serde_yaml::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).expect("a text of YAML documents"))
        .filter(|value| !value.is_null())
        .map(Document)
        .collect()
}
