//! What can be an argument of a command.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use redial_resp::Command;

/// A value that is written as one argument. Numbers are written in decimal; floats in the shortest form that reads back the same.
///
/// There is none for `u8`: several of them are bytes, and would be written as as many numbers.
pub trait ToArg {
    /// Appends it.
    fn write_to(self, command: &mut Command);
}

/// An integer of any type but `u8`.
pub trait Integer: ToArg {}

/// A number of any type but `u8`.
pub trait Number: ToArg {}

/// Several arguments that belong together: a field and its value, a score and its member.
pub trait Row {
    /// Appends them.
    fn write_to(self, command: &mut Command);
}

macro_rules! bytes_like {
    ($($t:ty),*) => {$(
        impl ToArg for $t {
            fn write_to(self, command: &mut Command) {
                let bytes: &[u8] = self.as_ref();
                command.push_arg(bytes);
            }
        }
    )*};
}

macro_rules! text_like {
    ($($t:ty),*) => {$(
        impl ToArg for $t {
            fn write_to(self, command: &mut Command) {
                command.push_arg(self.as_bytes());
            }
        }
    )*};
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl ToArg for $t {
            fn write_to(self, command: &mut Command) {
                command.push_int(self);
            }
        }

        impl ToArg for &$t {
            fn write_to(self, command: &mut Command) {
                command.push_int(*self);
            }
        }

        impl Integer for $t {}
        impl Integer for &$t {}
        impl Number for $t {}
        impl Number for &$t {}
    )*};
}

macro_rules! floats {
    ($($t:ty),*) => {$(
        impl ToArg for $t {
            fn write_to(self, command: &mut Command) {
                command.push_f64(f64::from(self));
            }
        }

        impl ToArg for &$t {
            fn write_to(self, command: &mut Command) {
                command.push_f64(f64::from(*self));
            }
        }

        impl Number for $t {}
        impl Number for &$t {}
    )*};
}

macro_rules! rows {
    ($($t:ident),*) => {
        impl<$($t: ToArg),*> Row for ($($t,)*) {
            #[allow(non_snake_case, reason = "each is named as its type")]
            fn write_to(self, command: &mut Command) {
                let ($($t,)*) = self;
                $($t.write_to(command);)*
            }
        }
    };
}

integers!(i8, i16, i32, i64, u16, u32, u64, usize, isize);
floats!(f32, f64);
rows!(A, B);
rows!(A, B, D);

text_like!(
    &str,
    &&str,
    &String,
    Cow<'_, str>,
    &Cow<'_, str>,
    Box<str>,
    &Box<str>,
    Arc<str>,
    &Arc<str>
);
bytes_like!(&[u8], &&[u8], &Vec<u8>);

/// Large ones are moved, not copied.
impl ToArg for String {
    fn write_to(self, command: &mut Command) {
        self.into_bytes().write_to(command);
    }
}

/// Large ones are moved, not copied.
impl ToArg for Vec<u8> {
    fn write_to(self, command: &mut Command) {
        if self.len() >= redial_resp::LARGE_ARG {
            command.push_bytes(self.into());
        } else {
            command.push_arg(&self);
        }
    }
}

/// Large ones are shared, not copied.
impl ToArg for Bytes {
    fn write_to(self, command: &mut Command) {
        command.push_bytes(self);
    }
}

/// Large ones are shared, not copied.
impl ToArg for &Bytes {
    fn write_to(self, command: &mut Command) {
        command.push_bytes(self.clone());
    }
}

impl<const N: usize> ToArg for [u8; N] {
    fn write_to(self, command: &mut Command) {
        command.push_arg(&self);
    }
}

impl<const N: usize> ToArg for &[u8; N] {
    fn write_to(self, command: &mut Command) {
        command.push_arg(self);
    }
}
