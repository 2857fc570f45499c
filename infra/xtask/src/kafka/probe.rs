//! Asking a broker who is there, and giving users their rights.
//!
//! Owns the few bytes of Kafka's protocol that this takes (a Metadata and a CreateAcls request, version 1 both), so that the tool needs
//! no client library, which is what the tool has to make buildable in the first place.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// One question on the loopback takes a millisecond; a broker that is starting may hold it longer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// The answer to a question about no topics is a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The ids of the brokers that this one knows to be serving.
pub(super) fn brokers(port: u16) -> Result<Vec<i32>> {
    let answer = ask(port, &request())?;
    parse(&answer).ok_or_else(malformed)
}

/// What a user may do with every topic, group or transactional id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Right {
    /// Who.
    pub(super) user: &'static str,
    /// Kafka's number of the kind of thing.
    pub(super) kind: u8,
    /// Kafka's number of the operation.
    pub(super) operation: u8,
}

/// Gives rights.
pub(super) fn allow(port: u16, rights: &[Right]) -> Result<()> {
    let answer = ask(port, &creation(rights))?;
    let codes = outcomes(&answer).ok_or_else(malformed)?;
    match codes.iter().find(|code| **code != 0) {
        None => Ok(()),
        Some(code) => Err(Error::other(format!("the broker refused to give a right: error {code}"))),
    }
}

fn ask(port: u16, request: &[u8]) -> Result<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME_MAX)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| malformed())?;
    if length > ANSWER_BYTES_MAX {
        return Err(malformed());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Api key 30, version 1: each right on the literal name `*`, from every host, allowed.
fn creation(rights: &[Right]) -> Vec<u8> {
    const LITERAL: u8 = 3;
    const ALLOW: u8 = 3;
    let text = |text: &str| {
        let length = i16::try_from(text.len()).expect("invariant: users and names are short");
        [&length.to_be_bytes()[..], text.as_bytes()].concat()
    };
    let count = i32::try_from(rights.len()).expect("invariant: rights are few");
    let mut body = [&30_i16.to_be_bytes()[..], &1_i16.to_be_bytes(), &[0; 4], &(-1_i16).to_be_bytes()].concat();
    body.extend_from_slice(&count.to_be_bytes());
    for right in rights {
        body.push(right.kind);
        body.extend(text("*"));
        body.push(LITERAL);
        body.extend(text(&format!("User:{}", right.user)));
        body.extend(text("*"));
        body.extend([right.operation, ALLOW]);
    }
    framed(&body)
}

/// Correlation id, throttle time, then an error code and a message for each right.
fn outcomes(answer: &[u8]) -> Option<Vec<i16>> {
    let mut rest = answer.get(8..)?;
    let count = int32(&mut rest)?;
    let mut codes = Vec::new();
    for _ in 0..count {
        let (code, after) = rest.split_first_chunk()?;
        rest = after;
        codes.push(i16::from_be_bytes(*code));
        string(&mut rest)?;
    }
    Some(codes)
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len()).expect("invariant: requests are short");
    [&length.to_be_bytes()[..], body].concat()
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "not an answer to a Metadata request")
}

/// Size, api key 3, version 1, correlation id 0, client id null, no topics.
fn request() -> Vec<u8> {
    let body = [&3_i16.to_be_bytes()[..], &1_i16.to_be_bytes(), &[0; 4], &(-1_i16).to_be_bytes(), &[0; 4]].concat();
    framed(&body)
}

/// Correlation id, then the brokers: id, host, port, rack.
fn parse(answer: &[u8]) -> Option<Vec<i32>> {
    let mut rest = answer.get(4..)?;
    let count = int32(&mut rest)?;
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(int32(&mut rest)?);
        string(&mut rest)?;
        int32(&mut rest)?;
        string(&mut rest)?;
    }
    Some(ids)
}

fn int32(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(i32::from_be_bytes(*bytes))
}

/// Steps over a string; a length of -1 is null.
fn string(rest: &mut &[u8]) -> Option<()> {
    let (bytes, after) = rest.split_first_chunk()?;
    let length = usize::try_from(i16::from_be_bytes(*bytes).max(0)).ok()?;
    *rest = after.get(length..)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::{Right, brokers, creation, outcomes, parse};
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Two brokers, ids 1 and 7, hosts `a` and `bc`, no rack and rack `r`.
    const ANSWER: &[u8] = b"\0\0\0\0\0\0\0\x02\0\0\0\x01\0\x01a\0\0\x23\x84\xff\xff\0\0\0\x07\0\x02bc\0\0\x23\x85\0\x01r\0\0\0\x01\0\0\0\0";

    #[test]
    fn the_ids_of_the_brokers_are_read() {
        assert_eq!(parse(ANSWER), Some(vec![1, 7]));
    }

    #[test]
    fn an_answer_cut_short_is_none() {
        let end_of_brokers = ANSWER.len() - 8;
        for length in 0..end_of_brokers {
            assert_eq!(parse(&ANSWER[..length]), None, "cut at {length}");
        }
    }

    #[test]
    fn a_server_is_asked_and_its_answer_awaited() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("is bound").port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("one connects");
            let mut request = [0; 18];
            stream.read_exact(&mut request).expect("the request is 18 bytes");
            let length = u8::try_from(ANSWER.len()).expect("is short");
            stream.write_all(&[&[0, 0, 0, length], ANSWER].concat()).expect("it still listens");
            request
        });
        assert_eq!(brokers(port).expect("answers"), vec![1, 7]);
        assert_eq!(server.join().expect("served")[..8], [0, 0, 0, 14, 0, 3, 0, 1]);
    }

    #[test]
    fn a_right_is_asked_for_as_the_protocol_has_it() {
        let request = creation(&[Right { user: "u", kind: 2, operation: 3 }]);
        let expected = b"\0\0\0\x20\0\x1e\0\x01\0\0\0\0\xff\xff\0\0\0\x01\x02\0\x01*\x03\0\x06User:u\0\x01*\x03\x03";
        assert_eq!(request, expected);
        let answer = b"\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\xff\xff\0\x1d\0\x02no";
        assert_eq!(outcomes(answer), Some(vec![0, 29]));
        assert_eq!(outcomes(&answer[..14]), None);
    }

    #[test]
    fn nobody_there_is_an_error() {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").port();
        assert!(brokers(port).is_err());
    }
}
