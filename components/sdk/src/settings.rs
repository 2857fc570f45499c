//! Settings: from JSON to a rule, with messages that name the key.

use crate::Rule;

/// Makes a rule of JSON settings; of no settings at all (empty text, `null`) with its defaults.
///
/// # Errors
/// For a person: the path of the key, what is wrong with it, what would be right.
pub fn make<R: Rule>(json: &str) -> Result<R, String> {
    let text = json.trim();
    let settings = if text.is_empty() || text == "null" { R::Settings::default() } else { parse(text)? };
    R::new(settings).map_err(|error| format!("settings of {}: {error}", R::ID))
}

fn parse<S: serde::de::DeserializeOwned>(json: &str) -> Result<S, String> {
    // Without this a list would be read as the fields of a struct in their order.
    if json.starts_with('[') {
        return Err("settings must be a JSON object, not a list".to_owned());
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    let settings = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.inner();
        // A place in the text helps where the text is no JSON; elsewhere the path says it better.
        if inner.is_data() {
            let message = inner.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
            if path == "." { format!("settings: {message}") } else { format!("settings: `{path}`: {message}") }
        } else {
            format!("settings are no valid JSON: {inner}")
        }
    })?;
    reader.end().map_err(|error| format!("settings are no valid JSON: {error}"))?;
    Ok(settings)
}
