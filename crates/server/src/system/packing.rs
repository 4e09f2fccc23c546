//! Answers that come compressed to who says that it can read them (nats-server 2.10).

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use natterjack_proto::headers::Headers;

/// How an answer is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    /// In frames.
    Snappy,
    /// None that we know was asked for.
    Identity,
}

impl Packing {
    /// What the headers of a request ask for. As in nats-server 2.15.1 a name anywhere in the value will do,
    /// and s2, which reads snappy, comes first.
    pub(super) fn wanted(headers: &[u8]) -> Option<Self> {
        Self::named(Headers::new(headers).get_str("Accept-Encoding")?)
    }

    /// What the value of such a header asks for.
    pub(crate) fn named(value: &str) -> Option<Self> {
        let value = value.to_ascii_lowercase();
        match () {
            () if value.is_empty() => None,
            () if value.contains("snappy") || value.contains("s2") => Some(Packing::Snappy),
            () if value.contains("gzip") => Some(Packing::Gzip),
            () => Some(Packing::Identity),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Snappy => "snappy",
            Packing::Identity => "identity",
        }
    }

    /// The header block and the packed text.
    pub(crate) fn pack(self, text: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let packed = match self {
            Packing::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), Compression::default());
                writer.write_all(text).and_then(|()| writer.finish())
            }
            Packing::Snappy => {
                let mut writer = snap::write::FrameEncoder::new(Vec::new());
                let written = writer.write_all(text);
                written.and_then(|()| writer.into_inner().map_err(|error| error.into_error()))
            }
            Packing::Identity => Ok(text.to_vec()),
        };
        // Nothing is written but memory; should it fail all the same, the text says the same.
        let (name, packed) = match packed {
            Ok(packed) => (self.name(), packed),
            Err(_) => (Packing::Identity.name(), text.to_vec()),
        };
        (format!("NATS/1.0\r\nContent-Encoding: {name}\r\n\r\n").into_bytes(), packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_asked_for_is_found_anywhere_in_the_value() {
        let wanted = |value: &str| {
            Packing::wanted(format!("NATS/1.0\r\nAccept-Encoding: {value}\r\n\r\n").as_bytes())
        };
        assert_eq!(wanted("gzip"), Some(Packing::Gzip));
        assert_eq!(wanted("gzip, Snappy"), Some(Packing::Snappy));
        assert_eq!(wanted("s2"), Some(Packing::Snappy));
        assert_eq!(wanted("br"), Some(Packing::Identity));
        assert_eq!(Packing::wanted(b""), None);
    }

    #[test]
    fn what_is_packed_can_be_unpacked() {
        let text = b"the same again and again; ".repeat(100);
        let (_, packed) = Packing::Gzip.pack(&text);
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut read).unwrap();
        assert!(packed.len() < text.len() && read == text);
        let (_, packed) = Packing::Snappy.pack(&text);
        let mut read = Vec::new();
        snap::read::FrameDecoder::new(&packed[..]).read_to_end(&mut read).unwrap();
        assert!(packed.len() < text.len() && read == text);
    }
}
