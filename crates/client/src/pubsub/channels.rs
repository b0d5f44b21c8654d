//! One channel or many, in whatever type a program has them.

use bytes::Bytes;

/// Channels or patterns to subscribe to: one name (`&str`, `String`, `&[u8]`, `Vec<u8>`, `Bytes`), or an array, slice or `Vec` of names.
pub trait ToChannels {
    /// Their names.
    fn to_channels(self) -> Vec<Bytes>;
}

/// One name; not public, so that a byte is known not to be one.
pub(crate) trait Name {
    fn name(self) -> Bytes;
}

macro_rules! names {
    ($($t:ty => $name:expr),* $(,)?) => {$(
        impl Name for $t {
            fn name(self) -> Bytes {
                let convert: fn(Self) -> Bytes = $name;
                convert(self)
            }
        }

        impl ToChannels for $t {
            fn to_channels(self) -> Vec<Bytes> {
                vec![self.name()]
            }
        }
    )*};
}

names! {
    &str => |name| Bytes::copy_from_slice(name.as_bytes()),
    String => Bytes::from,
    &String => |name| Bytes::copy_from_slice(name.as_bytes()),
    &[u8] => Bytes::copy_from_slice,
    Vec<u8> => Bytes::from,
    &Vec<u8> => |name| Bytes::copy_from_slice(name),
    Bytes => |name| name,
    &Bytes => Bytes::clone,
}

macro_rules! lists {
    ($([$($generics:tt)*] $t:ty => $names:expr),* $(,)?) => {$(
        impl<$($generics)*> ToChannels for $t {
            fn to_channels(self) -> Vec<Bytes> {
                self.into_iter().map($names).collect()
            }
        }
    )*};
}

lists! {
    [T: Name, const N: usize] [T; N] => Name::name,
    [T: Name] Vec<T> => Name::name,
    [T: Name + Clone, const N: usize] &[T; N] => |name: &T| name.clone().name(),
    [T: Name + Clone] &[T] => |name: &T| name.clone().name(),
    [T: Name + Clone] &Vec<T> => |name: &T| name.clone().name(),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_and_many_names_are_told_apart() {
        let names = |channels: Vec<Bytes>| {
            channels
                .iter()
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names("ab".to_channels()), ["ab"]);
        assert_eq!(names(b"ab".as_slice().to_channels()), ["ab"]);
        assert_eq!(names(b"ab".to_vec().to_channels()), ["ab"]);
        assert_eq!(names(["a", "b"].to_channels()), ["a", "b"]);
        assert_eq!(names([b"a".as_slice(), b"b"].to_channels()), ["a", "b"]);
        assert_eq!(names(vec!["a".to_owned(), "b".to_owned()].to_channels()), ["a", "b"]);
        assert_eq!(names((&["a", "b"][..]).to_channels()), ["a", "b"]);
    }
}
