//! A struct as it was declared, as far as deriving needs it.

use std::fmt;
use std::iter::Peekable;

use proc_macro::token_stream::IntoIter;
use proc_macro::{Delimiter, TokenStream, TokenTree};

/// What is derived for.
pub(crate) struct Declaration {
    pub(crate) name: String,
    /// `<T: Clone + FromReply>`
    pub(crate) parameters: String,
    /// `<T>`
    pub(crate) arguments: String,
    /// `where …`
    pub(crate) bounds: String,
    pub(crate) fields: Vec<Field>,
}

pub(crate) struct Field {
    pub(crate) name: String,
    /// What a reply calls it.
    pub(crate) wire: String,
    pub(crate) has_default: bool,
}

/// Why it can't be derived.
pub(crate) struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn refuse<T>(text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(text.into()))
}

type Tokens = Peekable<IntoIter>;

impl Declaration {
    pub(crate) fn parse(input: TokenStream) -> Result<Self, Refusal> {
        let mut tokens = input.into_iter().peekable();
        let options = attributes(&mut tokens)?;
        if options.rename.is_some() || options.has_default {
            return refuse("`rename` and `default` are for fields; a struct has `rename_all`");
        }
        visibility(&mut tokens);
        if word(tokens.next()).as_deref() != Some("struct") {
            return refuse("FromReply can be derived for structs with named fields only");
        }
        let Some(name) = word(tokens.next()) else { return refuse("this struct has no name") };
        let (parameters, arguments) = parameters(&mut tokens)?;
        let mut bounds = Vec::new();
        for token in tokens {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let fields = fields(group.stream(), options.rename_all.as_deref())?;
                    let bounds = bounds.into_iter().collect::<TokenStream>().to_string();
                    return Ok(Self { name, parameters, arguments, bounds, fields });
                }
                token => bounds.push(token),
            }
        }
        refuse(
            "FromReply can be derived for structs with named fields only: a tuple decodes by itself",
        )
    }
}

/// What `#[redial(…)]` says.
#[derive(Default)]
struct Options {
    rename: Option<String>,
    rename_all: Option<String>,
    has_default: bool,
}

/// Passes over attributes, and reads ours.
fn attributes(tokens: &mut Tokens) -> Result<Options, Refusal> {
    let mut options = Options::default();
    while is_punct(tokens.peek(), '#') {
        tokens.next();
        let Some(TokenTree::Group(group)) = tokens.next() else { break };
        let mut inner = group.stream().into_iter();
        if word(inner.next()).as_deref() == Some("redial")
            && let Some(TokenTree::Group(list)) = inner.next()
        {
            options.read(list.stream())?;
        }
    }
    Ok(options)
}

impl Options {
    fn read(&mut self, list: TokenStream) -> Result<(), Refusal> {
        let mut tokens = list.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let name = token.to_string();
            let value = if is_punct(tokens.peek(), '=') {
                tokens.next();
                tokens.next().map(|value| value.to_string())
            } else {
                None
            };
            match (name.as_str(), value) {
                ("rename", Some(value)) => self.rename = Some(text(&value)?),
                ("rename_all", Some(value)) => self.rename_all = Some(text(&value)?),
                ("default", None) => self.has_default = true,
                _ => {
                    return refuse(format!(
                        "`{name}` is not understood: there are rename = \"…\", rename_all = \"…\" and default"
                    ));
                }
            }
            if is_punct(tokens.peek(), ',') {
                tokens.next();
            }
        }
        Ok(())
    }
}

/// The text of a literal.
fn text(literal: &str) -> Result<String, Refusal> {
    match literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(text) if !text.contains('\\') => Ok(text.to_owned()),
        _ => refuse(format!("{literal} is not a plain text between quotes")),
    }
}

fn visibility(tokens: &mut Tokens) {
    if matches!(tokens.peek(), Some(TokenTree::Ident(word)) if word.to_string() == "pub") {
        tokens.next();
        if matches!(tokens.peek(), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
        {
            tokens.next();
        }
    }
}

/// Type parameters with their bounds, and as arguments.
fn parameters(tokens: &mut Tokens) -> Result<(String, String), Refusal> {
    if !is_punct(tokens.peek(), '<') {
        return Ok(Default::default());
    }
    tokens.next();
    let (mut parameters, mut arguments) = (Vec::new(), Vec::new());
    for parameter in until_closed(tokens) {
        let mut parts = parameter.into_iter().peekable();
        let Some(name) = word(parts.next()).filter(|name| name != "const") else {
            return refuse(
                "FromReply can be derived with type parameters only: a reply is gone once it is decoded",
            );
        };
        // A default is for the declaration only.
        let bounds: TokenStream = parts
            .take_while(|token| !matches!(token, TokenTree::Punct(p) if p.as_char() == '='))
            .skip(1)
            .collect();
        let bounds = bounds.to_string();
        let plus = if bounds.is_empty() { "" } else { " + " };
        parameters.push(format!("{name}: {bounds}{plus}::redial::FromReply"));
        arguments.push(name);
    }
    Ok((format!("<{}>", parameters.join(", ")), format!("<{}>", arguments.join(", "))))
}

/// What stands between commas, up to the bracket that closes one already open.
fn until_closed(tokens: &mut Tokens) -> Vec<TokenStream> {
    let (mut parts, mut part, mut depth) = (Vec::new(), Vec::new(), 1);
    for token in tokens.by_ref() {
        if let TokenTree::Punct(punct) = &token {
            match punct.as_char() {
                '<' => depth += 1,
                '>' => depth -= 1,
                ',' if depth == 1 => {
                    parts.push(std::mem::take(&mut part).into_iter().collect());
                    continue;
                }
                _ => {}
            }
        }
        if depth == 0 {
            break;
        }
        part.push(token);
    }
    if !part.is_empty() {
        parts.push(part.into_iter().collect());
    }
    parts
}

fn fields(body: TokenStream, rename_all: Option<&str>) -> Result<Vec<Field>, Refusal> {
    let mut tokens = body.into_iter().peekable();
    let mut fields = Vec::new();
    while tokens.peek().is_some() {
        let options = attributes(&mut tokens)?;
        visibility(&mut tokens);
        let Some(name) = word(tokens.next()) else { return refuse("a field has no name") };
        skip_type(&mut tokens);
        let plain = name.strip_prefix("r#").unwrap_or(&name);
        let wire = match (options.rename, rename_all) {
            (Some(name), _) => name,
            (None, Some(style)) => renamed(plain, style)?,
            (None, None) => plain.to_owned(),
        };
        fields.push(Field { name, wire, has_default: options.has_default });
    }
    Ok(fields)
}

/// Passes over `: Type,`; a comma within angle brackets is the type's.
fn skip_type(tokens: &mut Tokens) {
    let (mut depth, mut is_arrow) = (0, false);
    for token in tokens.by_ref() {
        let TokenTree::Punct(punct) = token else { continue };
        match punct.as_char() {
            '<' => depth += 1,
            '>' if !is_arrow => depth -= 1,
            ',' if depth == 0 => return,
            _ => {}
        }
        is_arrow = punct.as_char() == '-';
    }
}

fn renamed(name: &str, style: &str) -> Result<String, Refusal> {
    Ok(match style {
        "kebab-case" => name.replace('_', "-"),
        "UPPERCASE" => name.to_uppercase(),
        "camelCase" => {
            let mut words = name.split('_');
            let first = words.next().unwrap_or_default().to_owned();
            words.fold(first, |all, word| {
                let mut letters = word.chars();
                let capital = letters.next().map(|first| first.to_uppercase().to_string());
                all + &capital.unwrap_or_default() + letters.as_str()
            })
        }
        _ => {
            return refuse(format!(
                "`{style}` is not understood: rename_all is kebab-case, camelCase or UPPERCASE"
            ));
        }
    })
}

fn word(token: Option<TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(word)) => Some(word.to_string()),
        _ => None,
    }
}

fn is_punct(token: Option<&TokenTree>, punct: char) -> bool {
    matches!(token, Some(TokenTree::Punct(found)) if found.as_char() == punct)
}
