//! Rust source without its comments and texts.
//!
//! No parser: enough to tell a word of the program from a word about it.

/// The source with comments and the insides of string literals blanked; lines stay lines.
pub(super) fn only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| text(rest)).or_else(|| character(rest));
        let length = skipped.unwrap_or_else(|| first.len_utf8());
        let (piece, after) = rest.split_at(length);
        if skipped.is_some() {
            code.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            code.push_str(piece);
        }
        rest = after;
    }
    code
}

/// The length of the comment that the source starts with.
fn comment(source: &str) -> Option<usize> {
    if source.starts_with("//") {
        return Some(source.find('\n').unwrap_or(source.len()));
    }
    let inside = source.strip_prefix("/*")?;
    Some(inside.find("*/").map_or(source.len(), |at| at + 4))
}

/// The length of the string literal that the source starts with, raw ones included.
fn text(source: &str) -> Option<usize> {
    if let Some(raw) = source.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let end = format!("\"{}", &raw[..hashes]);
        if let Some(inside) = raw[hashes..].strip_prefix('"') {
            let before = 2 + hashes;
            return Some(inside.find(&end).map_or(source.len(), |at| before + at + end.len()));
        }
    }
    let inside = source.strip_prefix('"')?;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        if c == '"' && !escaped {
            return Some(at + 2);
        }
        escaped = c == '\\' && !escaped;
    }
    Some(source.len())
}

/// The length of a quote or a backslash as a character literal, which would otherwise open a string.
fn character(source: &str) -> Option<usize> {
    ["'\"'", "'\\\"'", "'\\''", "'\\\\'"].iter().find(|c| source.starts_with(**c)).map(|c| c.len())
}

#[cfg(test)]
mod tests {
    use super::only;

    #[track_caller]
    fn check(source: &str, code: &str) {
        let found = only(source);
        assert_eq!(found.split_whitespace().collect::<Vec<_>>().join(" "), code);
        assert_eq!(found.lines().count(), source.lines().count());
    }

    #[test]
    fn comments_and_texts_are_blanked_and_the_rest_stays() {
        check("let a = 1; // one\nlet b;", "let a = 1; let b;");
        check("a /* b\nc */ d", "a d");
        check(r#"f("a \" // b", c)"#, "f( , c)");
        check("f(r#\"a\" // b\"#, c)", "f( , c)");
        check("if c == '\"' { d } // \"", "if c == { d }");
        check("match c { '\\\\' => \"x\", _ => y }", "match c { => , _ => y }");
        check("for_r(x)", "for_r(x)");
    }

    #[test]
    fn what_never_ends_is_taken_to_the_end() {
        for source in ["a \"b", "a /* b", "a r#\"b\"", "a // b"] {
            check(source, "a");
        }
    }
}
