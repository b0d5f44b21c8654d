//! Which writes may run twice, by command and options. Asked only under [`crate::Resend::Idempotent`].

use redial_resp::Command;

use super::Class;

/// True if running it a second time leaves the same data, provided that nobody else wrote in between. The reply may differ.
#[must_use]
pub fn is_idempotent(command: &Command, class: Class) -> bool {
    if class.is(Class::READ) {
        return true;
    }
    if !class.is(Class::IDEMPOTENT) {
        return false;
    }
    let conditional: &[&[u8]] = match command.name().to_ascii_uppercase().as_slice() {
        // NX makes the second run fail, GET makes it answer the first one's value; EX and PX count from the second run, which is what was asked.
        b"SET" => &[b"NX", b"XX", b"GET", b"IFEQ", b"IFNE", b"IFDEQ", b"IFDNE"],
        b"EXPIRE" | b"PEXPIRE" | b"EXPIREAT" | b"PEXPIREAT" => &[b"NX", b"XX", b"GT", b"LT"],
        b"ZADD" => &[b"INCR", b"NX", b"XX", b"GT", b"LT"],
        b"GEOADD" => &[b"NX", b"XX"],
        _ => return true,
    };
    // An argument that merely looks like an option errs to the safe side.
    let mut options = command.args().skip(3);
    if command.name().eq_ignore_ascii_case(b"ZADD")
        || command.name().eq_ignore_ascii_case(b"GEOADD")
    {
        options = command.args().skip(2);
    }
    !options.any(|arg| conditional.iter().any(|option| arg.eq_ignore_ascii_case(option)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::command;
    use super::*;

    #[test]
    fn options_that_make_the_second_run_differ_exclude_a_write() {
        for (line, expected) in [
            ("SET k v", true),
            ("SET k v EX 10", true),
            ("SET k NX", true),
            ("SET k v nx", false),
            ("SET k v EX 10 GET", false),
            ("DEL k", true),
            ("EXPIRE k 10", true),
            ("EXPIRE k 10 GT", false),
            ("ZADD z 1 m", true),
            ("ZADD z INCR 1 m", false),
            ("INCR k", false),
            ("APPEND k v", false),
            ("LPUSH k v", false),
            ("SPOP k", false),
            ("EVAL s 0", false),
            ("PUBLISH c m", false),
            ("GET k", true),
        ] {
            let command = command(line);
            assert_eq!(is_idempotent(&command, Class::of(&command)), expected, "{line}");
        }
    }
}
