//! Where in a YAML text a field stands.
//!
//! The parser keeps no positions beside the values it makes, but it tells where an error arose. So the text is
//! walked once more, with a visitor that gives up where the wanted field begins.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Line and column, both from 1, of the field at `path` (such as `spec.capacity.shards` or `spec.list[0].name`)
/// in one document of `text`; of the nearest part around it that is there, where it is not.
pub(super) fn locate(text: &str, document: usize, path: &str) -> Option<(usize, usize)> {
    let mut path = path;
    loop {
        let document = serde_yaml::Deserializer::from_str(text).nth(document)?;
        let seek = Seek { wanted: path, here: String::new() };
        if let Some(place) = seek.deserialize(document).err().and_then(|error| error.location()) {
            return Some((place.line(), place.column()));
        }
        let end = path.rfind(['.', '['])?;
        path = &path[..end];
    }
}

/// Gives up where `wanted` begins. `here` is the path of what is being read.
struct Seek<'a> {
    wanted: &'a str,
    here: String,
}

const FOUND: &str = "here";

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.wanted.starts_with(&self.here) {
            deserializer.deserialize_any(self)
        } else {
            deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ())
        }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(here) = map.next_key_seed(Key { wanted: self.wanted, parent: &self.here })? {
            map.next_value_seed(Seek { wanted: self.wanted, here })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for index in 0.. {
            let here = format!("{}[{index}]", self.here);
            if list.next_element_seed(Element { wanted: self.wanted, here })?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key of a mapping: gives up at the wanted one, and says its path otherwise.
struct Key<'a> {
    wanted: &'a str,
    parent: &'a str,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        let here = if self.parent.is_empty() { key.to_owned() } else { format!("{}.{key}", self.parent) };
        if here == self.wanted { Err(E::custom(FOUND)) } else { Ok(here) }
    }
}

/// An entry of a list: gives up at the wanted one.
struct Element<'a> {
    wanted: &'a str,
    here: String,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.here == self.wanted {
            return deserializer.deserialize_any(Stop);
        }
        Seek { wanted: self.wanted, here: self.here }.deserialize(deserializer)
    }
}

/// Gives up at whatever comes: a visitor without methods refuses every type, and the parser says where.
struct Stop;

impl Visitor<'_> for Stop {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FOUND)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Two documents.
kind: A
spec:
  capacity: {shards: 4, mode: OnDemand}
  list:
    - name: first
    - name: second
---
kind: B
spec:
  retention: 24h
";

    #[test]
    fn a_field_is_found_at_its_key() {
        assert_eq!(locate(TEXT, 0, "spec.list"), Some((5, 3)));
        assert_eq!(locate(TEXT, 1, "spec.retention"), Some((11, 3)));
        assert_eq!(locate(TEXT, 0, "kind"), Some((2, 1)));
    }

    #[test]
    fn a_field_within_a_line_is_found_at_its_column() {
        assert_eq!(locate(TEXT, 0, "spec.capacity.mode"), Some((4, 25)));
    }

    #[test]
    fn an_entry_of_a_list_and_what_is_in_it_are_found() {
        assert_eq!(locate(TEXT, 0, "spec.list[1].name"), Some((7, 7)));
        assert_eq!(locate(TEXT, 0, "spec.list[1]"), Some((7, 7)));
    }

    #[test]
    fn what_is_not_there_is_looked_for_around_it() {
        assert_eq!(locate(TEXT, 0, "spec.capacity.target.rate"), Some((4, 3)));
        assert_eq!(locate(TEXT, 1, "metadata.name"), None);
        assert_eq!(locate(TEXT, 9, "spec"), None);
    }

    #[test]
    fn a_name_that_begins_like_another_is_not_taken_for_it() {
        assert_eq!(locate("max: 1\nmaxShards: 2\n", 0, "maxShards"), Some((2, 1)));
    }
}
