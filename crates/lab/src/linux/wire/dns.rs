//! The name server of the client's host: one name, one address, a TTL of a second.

use std::net::Ipv4Addr;

/// Seconds that an answer may be kept. The shortest that clouds give.
const TTL: u32 = 1;

const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;
const NAME_DOES_NOT_EXIST: u8 = 3;

/// The answer to a query: `name` leads to `ip` and has no other records; every other name does not
/// exist. `None` for what is not a query.
pub(super) fn answer(query: &[u8], name: &str, ip: Ipv4Addr) -> Option<Vec<u8>> {
    let (id, flags) = (query.get(0..2)?, query.get(2..4)?);
    let is_query = flags[0] & 0xf8 == 0;
    if !is_query || query.get(4..6)? != [0, 1] {
        return None;
    }
    let (asked, question_end) = read_question(query)?;
    let known = asked.name.eq_ignore_ascii_case(name);
    let has_address = known && asked.kind == TYPE_A && asked.class == CLASS_IN;

    let mut reply = Vec::with_capacity(question_end + 16);
    reply.extend_from_slice(id);
    let code = if known { 0 } else { NAME_DOES_NOT_EXIST };
    let recursion_desired = flags[0] & 1;
    reply.extend_from_slice(&[0x84 | recursion_desired, 0x80 | code]); // an answer, authoritative
    reply.extend_from_slice(&[0, 1, 0, u8::from(has_address), 0, 0, 0, 0]);
    reply.extend_from_slice(query.get(12..question_end)?);
    if has_address {
        reply.extend_from_slice(&[0xc0, 12]); // the name of the question, at offset 12
        reply.extend_from_slice(&TYPE_A.to_be_bytes());
        reply.extend_from_slice(&CLASS_IN.to_be_bytes());
        reply.extend_from_slice(&TTL.to_be_bytes());
        reply.extend_from_slice(&[0, 4]);
        reply.extend_from_slice(&ip.octets());
    }
    Some(reply)
}

struct Question {
    name: String,
    kind: u16,
    class: u16,
}

/// The question, and where it ends.
fn read_question(query: &[u8]) -> Option<(Question, usize)> {
    let mut name = String::new();
    let mut at = 12;
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1;
        if len == 0 {
            break;
        }
        if len > 63 {
            return None; // a pointer has no place in the first name
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(query.get(at..at + len)?));
        at += len;
    }
    let number = |at: usize| Some(u16::from_be_bytes(query.get(at..at + 2)?.try_into().ok()?));
    Some((Question { name, kind: number(at)?, class: number(at + 2)? }, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    fn query(labels: &[&str], kind: u16) -> Vec<u8> {
        let mut bytes = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            bytes.push(label.len() as u8);
            bytes.extend_from_slice(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes
    }

    fn code_and_answers(reply: &[u8]) -> (u8, u8) {
        (reply[3] & 0x0f, reply[7])
    }

    #[test]
    fn the_name_has_the_address_in_whatever_case_it_is_asked() {
        let reply = answer(&query(&["Redis", "DRILL"], TYPE_A), "redis.drill", IP).unwrap();
        assert_eq!(&reply[..2], &[0xab, 0xcd]);
        assert_eq!(code_and_answers(&reply), (0, 1));
        assert!(reply.ends_with(&[0, 0, 0, 1, 0, 4, 10, 77, 0, 2]));
    }

    #[test]
    fn the_name_exists_without_other_records_and_other_names_do_not_exist() {
        let aaaa = answer(&query(&["redis", "drill"], 28), "redis.drill", IP).unwrap();
        assert_eq!(code_and_answers(&aaaa), (0, 0));
        let other = answer(&query(&["example", "com"], TYPE_A), "redis.drill", IP).unwrap();
        assert_eq!(code_and_answers(&other), (3, 0));
    }

    #[test]
    fn a_query_cut_anywhere_and_an_answer_get_no_answer() {
        let whole = query(&["redis", "drill"], TYPE_A);
        for cut in 0..whole.len() {
            assert_eq!(answer(&whole[..cut], "redis.drill", IP), None, "cut at {cut}");
        }
        let reply = answer(&whole, "redis.drill", IP).unwrap();
        assert_eq!(answer(&reply, "redis.drill", IP), None);
    }
}
