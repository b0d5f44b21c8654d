//! Numbers as decimal text, without allocating; what an integer argument may be.

use std::fmt::{self, Write as _};

/// The digits of one integer, in a buffer on the stack.
pub(crate) struct Decimal {
    digits: [u8; 20],
    start: usize,
}

const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
    2021222324252627282930313233343536373839\
    4041424344454647484950515253545556575859\
    6061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899";

impl Decimal {
    #[inline]
    pub(crate) fn unsigned(mut n: u64) -> Self {
        let mut digits = [0; 20];
        let mut start = digits.len();
        while n >= 100 {
            let pair = (n % 100) as usize * 2;
            n /= 100;
            start -= 2;
            digits[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        }
        if n >= 10 {
            start -= 2;
            let pair = n as usize * 2;
            digits[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        } else {
            start -= 1;
            digits[start] = b'0' + n as u8;
        }
        Self { digits, start }
    }

    #[inline]
    pub(crate) fn signed(n: i64) -> Self {
        let mut decimal = Self::unsigned(n.unsigned_abs());
        if n < 0 {
            // An i64 has at most 19 digits, so there is room for the sign.
            decimal.start -= 1;
            decimal.digits[decimal.start] = b'-';
        }
        decimal
    }

    #[inline]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// An integer argument, made `from` any primitive integer of up to 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Int {
    /// One that may be below zero.
    Signed(i64),
    /// One that is not.
    Unsigned(u64),
}

macro_rules! int_from {
    ($variant:ident($wide:ty): $($int:ty),*) => {$(
        impl From<$int> for Int {
            #[inline]
            fn from(n: $int) -> Self {
                Self::$variant(n as $wide)
            }
        }
    )*};
}

int_from!(Signed(i64): i8, i16, i32, i64, isize);
int_from!(Unsigned(u64): u8, u16, u32, u64, usize);

impl From<Int> for Decimal {
    #[inline]
    fn from(n: Int) -> Self {
        match n {
            Int::Signed(n) => Self::signed(n),
            Int::Unsigned(n) => Self::unsigned(n),
        }
    }
}

/// The shortest text of an `f64` that reads back as the same number.
pub(crate) struct FloatText {
    bytes: [u8; 32],
    len: usize,
}

impl FloatText {
    pub(crate) fn new(n: f64) -> Self {
        let mut text = Self { bytes: [0; 32], len: 0 };
        // 25 bytes are the longest that an f64 takes, so this can't fail.
        let _ = write!(text, "{n:?}");
        text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        let text = &self.bytes[..self.len];
        // Commands that want an integer take `3` but not `3.0`.
        text.strip_suffix(b".0").unwrap_or(text)
    }
}

impl fmt::Write for FloatText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..self.len + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_fmt_at_every_length() {
        for power in 0..20 {
            for near in [-1_i128, 0, 1] {
                let n = 10_i128.pow(power) + near;
                if let Ok(n) = u64::try_from(n) {
                    assert_eq!(Decimal::unsigned(n).as_bytes(), n.to_string().as_bytes());
                }
                if let Ok(n) = i64::try_from(-n) {
                    assert_eq!(Decimal::signed(n).as_bytes(), n.to_string().as_bytes());
                }
            }
        }
        for n in [i64::MIN, i64::MAX] {
            assert_eq!(Decimal::signed(n).as_bytes(), n.to_string().as_bytes());
        }
        assert_eq!(Decimal::unsigned(u64::MAX).as_bytes(), u64::MAX.to_string().as_bytes());
    }
}
