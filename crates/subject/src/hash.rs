//! The hash of a token.
//!
//! Written here rather than taken from a map, because three users must agree on one value that fits
//! 32 bits: a node's table of children, the node itself and the generation buckets. It is keyed, so
//! that a client that knows the code cannot choose tokens that collide (the key is the caller's), and
//! for one key it is the same everywhere, so that a simulation repeats itself.

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd6e8_feb8_6659_fd93;

/// Hashes one token under `seed`.
pub(crate) fn token(seed: u64, token: &[u8]) -> u32 {
    let mut state = fold(seed ^ K0, (token.len() as u64).wrapping_add(K1));
    let mut chunks = token.chunks_exact(8);
    for chunk in &mut chunks {
        state = fold(state ^ word(chunk), K1);
    }
    let rest = chunks.remainder();
    if !rest.is_empty() {
        state = fold(state ^ word(rest), K0);
    }
    (state ^ (state >> 32)) as u32
}

/// Spreads a stored hash over 64 bits: a table takes its tag from the top and its slot from below.
pub(crate) fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(K0)
}

/// Up to eight bytes, little-endian; what is missing is zero (the length is hashed apart).
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// Both halves of the full product, mixed.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    #[test]
    fn numbered_tokens_hardly_collide_and_the_seed_counts() {
        let hashes: HashSet<u32> =
            (0..50_000).map(|n: u32| super::token(7, n.to_string().as_bytes())).collect();
        // 50,000 values in 2^32: less than one expected collision.
        assert!(hashes.len() > 49_990, "{}", hashes.len());
        assert_ne!(super::token(1, b"orders"), super::token(2, b"orders"));
        assert_ne!(super::token(1, b"a"), super::token(1, b"a\0"));
    }

    #[test]
    fn low_bits_spread_over_a_table() {
        let mut slots = [0_u32; 256];
        for n in 0..25_600_u32 {
            let hash = super::spread(super::token(0, n.to_string().as_bytes()));
            slots[(hash & 255) as usize] += 1;
        }
        assert!(slots.iter().all(|n| (50..=170).contains(n)), "{slots:?}");
    }
}
