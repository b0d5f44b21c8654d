//! `#[derive(FromReply)]`: structs from hashes, maps, and anything else of names and values.
//!
//! Reads the few kinds of declaration that make sense by hand: a parser for all of Rust would cost every user more time to build than redial
//! itself. What a field's type accepts is decided by the type.

mod declaration;

use proc_macro::TokenStream;

use crate::declaration::{Declaration, Field};

/// Makes a struct of a reply of names and values: `hgetall`, a map in RESP3, an array of names and values in RESP2.
///
/// ```ignore
/// #[derive(redial::FromReply)]
/// #[redial(rename_all = "kebab-case")]
/// struct User {
///     name: String,
///     age: u32,
///     // Missing: `None`.
///     email: Option<String>,
///     // Missing: `Default::default()`.
///     #[redial(default)]
///     visits: u64,
///     #[redial(rename = "lang")]
///     language: String,
/// }
/// ```
///
/// Each field is taken from what has its name, or the one in `rename`; `rename_all` on the struct is one of `kebab-case`, `camelCase`, `UPPERCASE`. A
/// name that is missing is taken as null, so it is `None` in an `Option`, and an error in a field without `default`. Names that the
/// struct does not have are passed over. As `Option<User>` an empty reply is `None`: that is what `hgetall` answers where there is no key.
///
/// For structs with named fields; type parameters are possible, lifetimes are not, since a reply is gone once it is decoded.
#[proc_macro_derive(FromReply, attributes(redial))]
pub fn derive_from_reply(input: TokenStream) -> TokenStream {
    let code = match Declaration::parse(input) {
        Ok(declaration) => implementation(&declaration),
        Err(error) => format!("::core::compile_error!({:?});", error.to_string()),
    };
    code.parse().unwrap_or_default()
}

fn implementation(declaration: &Declaration) -> String {
    let Declaration { name, parameters, arguments, bounds, fields } = declaration;
    let fields: String = fields
        .iter()
        .map(|Field { name, wire, has_default }| {
            let get = if *has_default { "get_or_default" } else { "get" };
            format!("{name}: fields.{get}({wire:?})?,")
        })
        .collect();
    format!(
        "#[automatically_derived]
        impl{parameters} ::redial::FromReply for {name}{arguments} {bounds} {{
            fn from_reply(
                reply: ::redial::commands::Element<'_>,
            ) -> ::core::result::Result<Self, ::redial::DecodeError> {{
                let fields = ::redial::commands::Fields::of(&reply)?;
                ::core::result::Result::Ok(Self {{ {fields} }})
            }}

            fn option_from_reply(
                reply: ::redial::commands::Element<'_>,
            ) -> ::core::result::Result<::core::option::Option<Self>, ::redial::DecodeError> {{
                if ::redial::commands::Fields::are_missing(&reply) {{
                    return ::core::result::Result::Ok(::core::option::Option::None);
                }}
                Self::from_reply(reply).map(::core::option::Option::Some)
            }}
        }}"
    )
}
