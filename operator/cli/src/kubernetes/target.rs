//! How somebody names an object: `orders`, `stream/orders`, `broker/default`. Pure.

use std::str::FromStr;

/// An object as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A Stream, by its object's name or the name that clients use.
    Stream(String),
    /// A Broker.
    Broker(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("stream", text));
        // What kubectl takes for the kind, as `kubectl get -o name` writes it too.
        let kind = kind.strip_suffix(".millrace.dev").unwrap_or(kind).to_lowercase();
        if name.is_empty() || name.contains('/') {
            return Err(format!("{text:?} names nothing: write stream/NAME or broker/NAME"));
        }
        match kind.as_str() {
            "stream" | "streams" | "mrs" => Ok(Target::Stream(name.to_owned())),
            "broker" | "brokers" | "mrb" => Ok(Target::Broker(name.to_owned())),
            _ => Err(format!("{kind} is no kind of Millrace: write stream/NAME or broker/NAME")),
        }
    }
}

/// The name of the stream that somebody means; for commands that take streams only.
///
/// # Errors
/// When it names something else, in a sentence.
pub fn stream_name(text: &str) -> Result<String, String> {
    match text.parse()? {
        Target::Stream(name) => Ok(name),
        Target::Broker(name) => Err(format!("broker/{name} is no stream: write the name of a stream")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_a_streams_and_kinds_are_written_as_kubectl_does() {
        let stream = |name: &str| Ok(Target::Stream(name.to_owned()));
        assert_eq!("orders".parse(), stream("orders"));
        for text in
            ["stream/orders", "streams/orders", "Stream/orders", "mrs/orders", "stream.millrace.dev/orders"]
        {
            assert_eq!(text.parse(), stream("orders"), "{text}");
        }
        assert_eq!("mrb/default".parse(), Ok(Target::Broker("default".to_owned())));
        assert_eq!("Orders_v1.raw".parse(), stream("Orders_v1.raw"));
    }

    #[test]
    fn what_names_nothing_is_refused_with_the_form_to_write() {
        for text in ["", "stream/", "a/b/c", "pod/x"] {
            let said = text.parse::<Target>().unwrap_err();
            assert!(said.ends_with("write stream/NAME or broker/NAME"), "{said}");
        }
        assert!(stream_name("broker/default").unwrap_err().contains("is no stream"));
    }
}
