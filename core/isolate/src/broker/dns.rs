//! Questions for addresses and their answers, as resolvers write them (RFC 1035). Pure. What must not live here: who may ask.

use std::net::IpAddr;

/// A message has at most so many bytes here: what resolvers ask is far shorter.
pub(super) const LONGEST: usize = 1024;
const HEADER: usize = 12;
/// So long may an answer be kept.
const SECONDS: u32 = 10;
/// More addresses of one name are not told.
const MOST_ADDRESSES: usize = 32;

const ADDRESS: u16 = 1;
const ADDRESS_V6: u16 = 28;
const INTERNET: u16 = 1;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DnsQuestion {
    id: [u8; 2],
    /// In lower case, without the dot at its end.
    pub(super) name: String,
    kind: u16,
    /// As it was asked, to be told again.
    asked: Vec<u8>,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DnsAnswer<'a> {
    Addresses(&'a [IpAddr]),
    /// There is no such name, or it cannot be looked up now.
    Nothing,
    Refused,
}

/// Reads one; none if it is not a question for the addresses of one name.
pub(super) fn read(message: &[u8]) -> Option<DnsQuestion> {
    let header = message.first_chunk::<HEADER>()?;
    let is_standard = header[2] & 0xf8 == 0;
    if !is_standard || header[4..6] != [0, 1] {
        return None;
    }
    let mut name = String::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        // A pointer is nothing for a question to have.
        let label = message.get(at..at + length).filter(|_| length < 64)?;
        if !label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)) {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        at += length;
    }
    let [kind, kind_low, class, class_low] = *message.get(at..at + 4)?.first_chunk::<4>()?;
    if name.is_empty() || name.len() > 253 || u16::from_be_bytes([class, class_low]) != INTERNET {
        return None;
    }
    let kind = u16::from_be_bytes([kind, kind_low]);
    Some(DnsQuestion { id: [header[0], header[1]], name, kind, asked: message[HEADER..at + 4].to_vec() })
}

/// The answer to one.
pub(super) fn write(question: &DnsQuestion, answer: DnsAnswer<'_>) -> Vec<u8> {
    let (code, addresses) = match answer {
        DnsAnswer::Addresses(addresses) => (0, addresses),
        DnsAnswer::Nothing => (3, &[][..]),
        DnsAnswer::Refused => (5, &[][..]),
    };
    let addresses: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (address, question.kind) {
            (IpAddr::V4(address), ADDRESS) => Some(address.octets().to_vec()),
            (IpAddr::V6(address), ADDRESS_V6) => Some(address.octets().to_vec()),
            _ => None,
        })
        .take(MOST_ADDRESSES)
        .collect();
    let mut message = question.id.to_vec();
    // An answer, to what was asked with recursion, which there is.
    message.extend([0x81, 0x80 | code, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    message.extend(&question.asked);
    for address in addresses {
        // The name that was asked for stands behind the header.
        message.extend([0xc0, HEADER as u8]);
        message.extend(question.kind.to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        message.extend(SECONDS.to_be_bytes());
        message.extend((address.len() as u16).to_be_bytes());
        message.extend(address);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(labels: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            message.push(label.len() as u8);
            message.extend(*label);
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend(INTERNET.to_be_bytes());
        message
    }

    #[test]
    fn a_question_and_its_answers() {
        let asked = read(&question(&[b"Api", b"example"], ADDRESS)).unwrap();
        assert_eq!(asked.name, "api.example");
        let addresses = ["192.0.2.7".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let answer = write(&asked, DnsAnswer::Addresses(&addresses));
        assert_eq!((&answer[..2], answer[3] & 15, answer[7]), (&[7, 9][..], 0, 1));
        assert!(answer.ends_with(&[0, 4, 192, 0, 2, 7]), "{answer:?}");
        let other = read(&question(&[b"api", b"example"], ADDRESS_V6)).unwrap();
        assert!(write(&other, DnsAnswer::Addresses(&addresses)).ends_with(&[0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(write(&other, DnsAnswer::Refused)[3] & 15, 5);
        assert_eq!(write(&other, DnsAnswer::Nothing)[3] & 15, 3);
    }

    #[test]
    fn what_is_no_question_is_none() {
        let good = question(&[b"api", b"example"], ADDRESS);
        for end in 0..good.len() {
            assert_eq!(read(&good[..end]), None, "{end}");
        }
        assert_eq!(read(&question(&[], ADDRESS)), None);
        assert_eq!(read(&question(&[b"a b"], ADDRESS)), None);
        assert_eq!(read(&question(&[&[b'a'; 63][..]; 5], ADDRESS)), None);
        let mut pointer = good.clone();
        pointer[HEADER] = 0xc0;
        assert_eq!(read(&pointer), None);
    }
}
