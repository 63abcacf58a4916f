//! How names may be written.
//! Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/>.

/// Letters and digits, with these in between.
fn is_word(text: &str, between: &str, longest: usize) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= longest
        && ends(text.chars().next())
        && ends(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || between.contains(c))
}

fn is_lower(text: &str) -> bool {
    text.chars().all(|c| !c.is_ascii_uppercase())
}

/// A name, and perhaps a domain and a slash before it: what labels and annotations are called.
pub(crate) fn is_label_key(key: &str) -> bool {
    let (domain, name) = match key.split_once('/') {
        Some((domain, name)) => (Some(domain), name),
        None => (None, key),
    };
    let is_domain = |domain: &str| is_lower(domain) && is_word(domain, "-.", 253);
    domain.is_none_or(is_domain) && is_word(name, "-_.", 63)
}

pub(crate) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_word(value, "-_.", 63)
}

/// What a namespace may be called.
pub(crate) fn is_namespace(name: &str) -> bool {
    is_lower(name) && is_word(name, "-", 63)
}
