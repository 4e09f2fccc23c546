//! Subject mappings of an account: what a publisher's subject becomes before permissions and routing.

use natterjack_subject::{Transform, TransformError, has_wildcard, matches};

/// One destination of a mapping.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The destination with its functions.
    pub subject: String,
    /// The share of messages that go there, in percent (1 to 100).
    pub weight: u8,
}

#[derive(Debug)]
struct Mapping {
    source: Vec<u8>,
    /// Cumulative weights with their transforms.
    choices: Vec<(u8, Transform)>,
    /// With less than 100 percent in all and the source itself among the destinations, the remainder is
    /// lost on purpose (a test aid of nats-server); otherwise it keeps its subject.
    loses_rest: bool,
}

/// The outcome for one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// No mapping applies, or the remainder of one: the subject stays.
    Unchanged,
    /// The message goes to this subject instead.
    To(Vec<u8>),
    /// The message is dropped.
    Lost,
}

/// All mappings of an account in the order of definition; literal sources are looked at first.
#[derive(Debug, Default)]
pub struct Mappings {
    mappings: Vec<Mapping>,
}

impl Mappings {
    /// Adds a mapping.
    ///
    /// # Errors
    /// A destination that is no valid transform of the source.
    pub fn add(
        &mut self,
        source: &str,
        destinations: &[Destination],
    ) -> Result<(), TransformError> {
        let mut total = 0u8;
        let mut choices = Vec::with_capacity(destinations.len());
        for destination in destinations {
            total = total.saturating_add(destination.weight);
            choices.push((total, Transform::new(source, &destination.subject)?));
        }
        let loses_rest = destinations.iter().any(|destination| destination.subject == source);
        let mapping = Mapping { source: source.as_bytes().to_vec(), choices, loses_rest };
        let literal = !has_wildcard(&mapping.source);
        let position = if literal {
            self.mappings.iter().position(|other| has_wildcard(&other.source))
        } else {
            None
        };
        self.mappings.insert(position.unwrap_or(self.mappings.len()), mapping);
        Ok(())
    }

    /// True when nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.mappings.is_empty()
    }

    /// Maps one subject; `random` decides among weighted destinations.
    pub fn apply(&self, subject: &[u8], random: u64) -> Mapped {
        let Some(mapping) = self.mappings.iter().find(|mapping| matches(&mapping.source, subject))
        else {
            return Mapped::Unchanged;
        };
        let draw = (random % 100) as u8;
        match mapping.choices.iter().find(|(limit, _)| draw < *limit) {
            Some((_, transform)) => match transform.apply(subject, random >> 8) {
                Some(to) => Mapped::To(to),
                None => Mapped::Unchanged,
            },
            None if mapping.loses_rest => Mapped::Lost,
            None => Mapped::Unchanged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mappings(rows: &[(&str, &[(&str, u8)])]) -> Mappings {
        let mut mappings = Mappings::default();
        for (source, destinations) in rows {
            let destinations: Vec<_> = destinations
                .iter()
                .map(|(subject, weight)| Destination {
                    subject: (*subject).into(),
                    weight: *weight,
                })
                .collect();
            mappings.add(source, &destinations).unwrap();
        }
        mappings
    }

    #[test]
    fn literal_sources_come_before_wildcards() {
        let mappings = mappings(&[("a.*", &[("wild.$1", 100)]), ("a.b", &[("literal", 100)])]);
        assert_eq!(mappings.apply(b"a.b", 0), Mapped::To(b"literal".to_vec()));
        assert_eq!(mappings.apply(b"a.c", 0), Mapped::To(b"wild.c".to_vec()));
        assert_eq!(mappings.apply(b"b", 0), Mapped::Unchanged);
    }

    #[test]
    fn weights_share_and_the_rest_stays_or_is_lost() {
        let shared = mappings(&[("s", &[("x", 50), ("y", 30)])]);
        let count = |mappings: &Mappings, wanted: &Mapped| {
            (0..100).filter(|draw| mappings.apply(b"s", *draw) == *wanted).count()
        };
        assert_eq!(count(&shared, &Mapped::To(b"x".to_vec())), 50);
        assert_eq!(count(&shared, &Mapped::To(b"y".to_vec())), 30);
        assert_eq!(count(&shared, &Mapped::Unchanged), 20);
        let lossy = mappings(&[("s", &[("s", 10)])]);
        assert_eq!(count(&lossy, &Mapped::To(b"s".to_vec())), 10);
        assert_eq!(count(&lossy, &Mapped::Lost), 90);
    }
}
