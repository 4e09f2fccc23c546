//! Random names: NUIDs and the short suffixes of generated consumer names.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Appends `length` random base-62 characters drawn from `random`.
pub fn write(out: &mut Vec<u8>, length: usize, mut random: impl FnMut() -> u64) {
    let mut left = length;
    while left > 0 {
        let mut bits = random();
        // Ten digits of 62 fit into 64 bits with a bias far below what matters for names.
        for _ in 0..left.min(10) {
            out.push(DIGITS[(bits % 62) as usize]);
            bits /= 62;
        }
        left = left.saturating_sub(10);
    }
}

/// `length` random base-62 characters: 22 for a NUID, 8 for a generated consumer name.
pub fn text(length: usize, random: impl FnMut() -> u64) -> String {
    let mut out = Vec::with_capacity(length);
    write(&mut out, length, random);
    String::from_utf8(out).expect("base-62 digits are ASCII")
}

/// The 8 characters that stand for an account (ADR-15) or a stream's identity: SHA-256, bytes
/// modulo 62, mapped to digits, upper and lower case letters.
pub fn hash8(name: &[u8]) -> [u8; 8] {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(name);
    let mut out = [0; 8];
    for (slot, byte) in out.iter_mut().zip(digest) {
        *slot = DIGITS[usize::from(byte % 62)];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_hash_is_the_one_of_the_reference() {
        // Observed on nats-server 2.15.1.
        assert_eq!(&hash8(b"$G"), b"szMpdrwD");
    }

    #[test]
    fn names_have_their_length_and_alphabet() {
        let mut state = 7_u64;
        let name = text(22, || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state
        });
        assert_eq!(name.len(), 22);
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(name, text(22, || 0));
    }
}
