//! Whole numbers of any size, as counters add them up (ADR-49).
//!
//! They come and go as decimal digits and are only added, so they stay digits: what a number costs is
//! its length, where a conversion to bits and back would cost the square of it under the stream's lock.

use std::cmp::Ordering;
use std::fmt;

/// A number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    /// ASCII digits without leading zeros; none for zero, which is not negative.
    digits: Vec<u8>,
}

impl Decimal {
    pub(super) const ZERO: Self = Self { negative: false, digits: Vec::new() };

    /// Reads digits with or without a sign.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            digits => (false, digits),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(Self::of(negative, digits.to_vec()))
    }

    fn of(negative: bool, mut digits: Vec<u8>) -> Self {
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        Self { negative: negative && !digits.is_empty(), digits }
    }

    /// How many digits it has.
    pub(super) fn len(&self) -> usize {
        self.digits.len()
    }

    /// What is left of it without the other.
    pub(super) fn minus(&self, other: &Self) -> Self {
        self.plus(&Self::of(!other.negative, other.digits.clone()))
    }

    /// The sum of both.
    pub(super) fn plus(&self, other: &Self) -> Self {
        if self.negative == other.negative {
            return Self::of(self.negative, added(&self.digits, &other.digits));
        }
        match compare(&self.digits, &other.digits) {
            Ordering::Equal => Self::ZERO,
            Ordering::Greater => Self::of(self.negative, subtracted(&self.digits, &other.digits)),
            Ordering::Less => Self::of(other.negative, subtracted(&other.digits, &self.digits)),
        }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        // Digits only.
        f.write_str(&String::from_utf8_lossy(&self.digits))
    }
}

fn compare(one: &[u8], two: &[u8]) -> Ordering {
    one.len().cmp(&two.len()).then_with(|| one.cmp(two))
}

fn added(one: &[u8], two: &[u8]) -> Vec<u8> {
    let (long, short) = if one.len() < two.len() { (two, one) } else { (one, two) };
    let mut sum = Vec::with_capacity(long.len() + 1);
    let mut carry = 0;
    let ahead = std::iter::repeat(&b'0');
    for (one, two) in long.iter().rev().zip(short.iter().rev().chain(ahead)) {
        let digit = one - b'0' + (two - b'0') + carry;
        carry = u8::from(digit > 9);
        sum.push(digit % 10 + b'0');
    }
    if carry > 0 {
        sum.push(b'1');
    }
    sum.reverse();
    sum
}

/// `one` is the greater one.
fn subtracted(one: &[u8], two: &[u8]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(one.len());
    let mut borrow = 0;
    let ahead = std::iter::repeat(&b'0');
    for (one, two) in one.iter().rev().zip(two.iter().rev().chain(ahead)) {
        let digit = 10 + (one - b'0') - (two - b'0') - borrow;
        borrow = u8::from(digit < 10);
        rest.push(digit % 10 + b'0');
    }
    rest.reverse();
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<Decimal> {
        Decimal::parse(text.as_bytes())
    }

    #[test]
    fn numbers_are_digits_with_a_sign() {
        for (text, expected) in [
            ("1", Some("1")),
            ("+1", Some("1")),
            ("-1", Some("-1")),
            ("+0", Some("0")),
            ("-0", Some("0")),
            ("007", Some("7")),
            ("-000", Some("0")),
            ("", None),
            ("+", None),
            ("-", None),
            ("1.5", None),
            ("1e3", None),
            ("1_000", None),
            ("0x1", None),
            (" 1", None),
            ("1 ", None),
            ("--1", None),
        ] {
            assert_eq!(parse(text).map(|number| number.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn sums_may_be_of_any_size() {
        let nines = "9".repeat(60_000);
        let sum = parse(&nines).unwrap().plus(&parse("1").unwrap());
        assert_eq!(sum.to_string(), format!("1{}", "0".repeat(60_000)));
        assert_eq!(sum.plus(&parse("-1").unwrap()).to_string(), nines);
    }

    proptest! {
        #[test]
        fn sums_are_those_of_numbers(one in any::<i64>(), two in any::<i64>()) {
            let sum = parse(&one.to_string()).unwrap().plus(&parse(&two.to_string()).unwrap());
            prop_assert_eq!(sum.to_string(), (i128::from(one) + i128::from(two)).to_string());
            let rest = parse(&one.to_string()).unwrap().minus(&parse(&two.to_string()).unwrap());
            prop_assert_eq!(rest.to_string(), (i128::from(one) - i128::from(two)).to_string());
        }
    }
}
