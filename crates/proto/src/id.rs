//! Identifier text: 22 characters from an alphabet of 62, unique enough for inboxes and names.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Length of an identifier made by [`id22`], in characters.
pub const ID_LEN: usize = 22;

/// Makes an identifier of 22 base62 characters (about 130 bits) from three random numbers.
///
/// Each number gives seven or eight digits, far fewer than its 64 bits could, so that the bias of the
/// remainder is below 2^-16 per digit. The numbers must come from a good generator: this function only
/// spells them.
#[must_use]
pub fn id22(random: [u64; 3]) -> String {
    let mut id = String::with_capacity(ID_LEN);
    for (mut bits, digits) in random.into_iter().zip([8, 7, 7]) {
        for _ in 0..digits {
            id.push(char::from(ALPHABET[(bits % 62) as usize]));
            bits /= 62;
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::{ID_LEN, id22};

    #[test]
    fn spells_22_characters_of_base62() {
        assert_eq!(id22([0; 3]), "0000000000000000000000");
        assert_eq!(id22([61, 10, 36]), "z0000000A000000a000000");
        let id = id22([u64::MAX, 0x1234_5678_9abc_def0, 0xdead_beef_dead_beef]);
        assert_eq!(id.len(), ID_LEN);
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
    }

    #[test]
    fn every_number_takes_part() {
        let base = id22([1, 2, 3]);
        for other in [[9, 2, 3], [1, 9, 3], [1, 2, 9]] {
            assert_ne!(id22(other), base);
        }
    }
}
