//! Asking a broker who is there.
//!
//! Owns the few bytes of Kafka's protocol that this takes (a Metadata request, version 1), so that the tool needs no client
//! library, which is what the tool has to make buildable in the first place.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// One question on the loopback takes a millisecond; a broker that is starting may hold it longer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// The answer to a question about no topics is a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The ids of the brokers that this one knows to be serving.
pub(super) fn brokers(port: u16) -> Result<Vec<i32>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIME_MAX)?;
    stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
    stream.write_all(&request())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| malformed())?;
    if length > ANSWER_BYTES_MAX {
        return Err(malformed());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    parse(&answer).ok_or_else(malformed)
}

fn malformed() -> Error {
    Error::new(ErrorKind::InvalidData, "not an answer to a Metadata request")
}

/// Size, api key 3, version 1, correlation id 0, client id null, no topics.
fn request() -> Vec<u8> {
    let body = [&3_i16.to_be_bytes()[..], &1_i16.to_be_bytes(), &[0; 4], &(-1_i16).to_be_bytes(), &[0; 4]].concat();
    let length = i32::try_from(body.len()).expect("invariant: the request has 14 bytes");
    [&length.to_be_bytes()[..], &body].concat()
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
    use super::{brokers, parse};
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
    fn nobody_there_is_an_error() {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port is free").port();
        assert!(brokers(port).is_err());
    }
}
