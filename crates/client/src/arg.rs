//! What can be an argument of a command.

use redial_resp::Command;

/// A value that is written as one argument. Numbers are written in decimal; floats in the shortest form that reads back the same.
pub trait ToArg {
    /// Appends it.
    fn write_to(self, command: &mut Command);
}

macro_rules! bytes_like {
    ($($t:ty),*) => {$(
        impl ToArg for $t {
            fn write_to(self, command: &mut Command) {
                command.push_arg(self.as_ref());
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
    )*};
}

bytes_like!(&str, &[u8], &String, &Vec<u8>);
integers!(i8, i16, i32, i64, u8, u16, u32, u64, usize, isize);

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

impl ToArg for &bytes::Bytes {
    fn write_to(self, command: &mut Command) {
        command.push_bytes(self.clone());
    }
}

impl<const N: usize> ToArg for &[u8; N] {
    fn write_to(self, command: &mut Command) {
        command.push_arg(self);
    }
}

impl ToArg for f64 {
    fn write_to(self, command: &mut Command) {
        command.push_f64(self);
    }
}

impl ToArg for f32 {
    fn write_to(self, command: &mut Command) {
        command.push_f64(f64::from(self));
    }
}
