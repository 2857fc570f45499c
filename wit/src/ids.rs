//! How findings and commands are named: hashes of what they are about, so that replays and restarts give the same names, and so that a
//! rule knows the name of a command it sends. Owns no other naming.

/// 128 bits of a hash over the parts, each with its length: no two lists of parts collide by concatenation. Base 16 with the letters
/// `a` to `p`: a name without digits can hold no card number by chance, and so is never masked when it comes back in an event.
#[must_use]
pub fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut text = String::with_capacity(32);
    for byte in &hasher.finalize().as_bytes()[..16] {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b'a' + nibble));
        }
    }
    text
}

/// The name of a finding: stable over its generations.
#[must_use]
pub fn finding(rule: &str, kind: &str, scope: &str, txn: &str) -> String {
    hash(&[b"finding", rule.as_bytes(), kind.as_bytes(), scope.as_bytes(), txn.as_bytes()])
}

/// The name of a command, the idempotency key at its target. A command about no payment has its target in place of the transaction.
#[must_use]
pub fn command(rail: &str, txn: &str, kind: &str, chain: u32, attempt: u32) -> String {
    hash(&[b"command", rail.as_bytes(), txn.as_bytes(), kind.as_bytes(), &chain.to_le_bytes(), &attempt.to_le_bytes()])
}

/// The name of an incident; `cause` is the one that it was opened with, and `generation` counts those of one scope and that.
#[must_use]
pub fn incident(scope: &str, cause: &str, generation: u32) -> String {
    hash(&[b"incident", scope.as_bytes(), cause.as_bytes(), &generation.to_le_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_parts_do_not_run_together() {
        assert_eq!(hash(&[b"a", b"bc"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"a", b"bc"]), hash(&[b"ab", b"c"]));
        assert_eq!(hash(&[b"a"]).len(), 32);
        assert!(
            hash(&[b"a"]).bytes().all(|byte| byte.is_ascii_lowercase()),
            "a digit could become part of a card number"
        );
        assert_ne!(command("card", "t", "reprint", 1, 1), command("card", "t", "reprint", 1, 2));
        assert_ne!(command("card", "t", "reprint", 1, 2), command("card", "t", "reprint", 2, 1));
        assert_ne!(incident("site:S1", "N1", 1), incident("site:S1", "N1", 2));
    }
}
