//! How states are written: any serde type by postcard (ADR 0002), and a type with a layout of its own by itself.

use postcard::ser_flavors::Flavor;
use serde::{Serialize, de::DeserializeOwned};

/// What a rule remembers of a key. Every serde type is one; a type that is none may say itself how it is written, where every event counts.
pub trait State: Sized {
    /// Reads a state, all of its bytes.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    fn read(bytes: &[u8]) -> Result<Self, String>;

    /// As [`State::read`], into `place`. What lies there is of another visit: it may lend its memory, and nothing of what it says.
    ///
    /// # Errors
    /// As of [`State::read`]; what then lies in `place` is not looked at.
    fn read_into(place: &mut Option<Self>, bytes: &[u8]) -> Result<(), String> {
        *place = Some(Self::read(bytes)?);
        Ok(())
    }

    /// Appends a state.
    ///
    /// # Errors
    /// What cannot be expressed.
    fn append(&self, bytes: &mut Vec<u8>) -> Result<(), String>;
}

impl<S: Serialize + DeserializeOwned> State for S {
    fn read(bytes: &[u8]) -> Result<Self, String> {
        decode_state(bytes)
    }

    fn append(&self, bytes: &mut Vec<u8>) -> Result<(), String> {
        postcard::serialize_with_flavor(self, Behind(bytes))
            .map_err(|error| format!("the state cannot be written: {error}"))
    }
}

/// Appends to a list. Texts are copied: postcard's own way with one is a byte at a time.
struct Behind<'a>(&'a mut Vec<u8>);

impl Flavor for Behind<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Reads a state, all of its bytes.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode_state<S: DeserializeOwned>(bytes: &[u8]) -> Result<S, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((state, [])) => Ok(state),
        Ok((_, rest)) => {
            Err(format!("the state does not decode: {} of {} bytes are left over", rest.len(), bytes.len()))
        }
        Err(error) => Err(format!("the state does not decode: {error} ({} bytes)", bytes.len())),
    }
}

/// Writes a state.
///
/// # Errors
/// What the type cannot express, as a sequence of unknown length.
pub fn encode_state<S: State>(state: &S) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    state.append(&mut bytes)?;
    Ok(bytes)
}
