//! What nodes and Sentinels say of each other: names and values, a map in RESP3 and a list in RESP2.

use redial_resp::Element;

pub(super) fn text(element: &Element<'_>) -> Option<String> {
    element.text().map(|text| String::from_utf8_lossy(text).into_owned())
}

/// The value of this name.
pub(super) fn field(entry: &Element<'_>, name: &str) -> Option<String> {
    let mut fields = entry.elements()?;
    while let (Some(key), Some(value)) = (fields.next(), fields.next()) {
        if key.text() == Some(name.as_bytes()) {
            return text(&value);
        }
    }
    None
}
