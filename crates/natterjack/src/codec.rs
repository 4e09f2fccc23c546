//! How values become message bodies and back.
//!
//! [`Json`] is used unless a call names another codec, for example
//! `connector.to("foo").codec(Text).send("hello")`. `Cbor` and `MsgPack` come with the features `cbor`
//! and `msgpack`.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A cause that a codec gives for refusing a value or a body.
pub type CodecError = Box<dyn std::error::Error + Send + Sync>;

/// A codec's name, as errors show it.
pub trait Codec: Copy + Send + Sync + 'static {
    /// `json`, `text`, `bytes`, `cbor` or `msgpack`.
    const NAME: &'static str;
}

/// Turns a value into a body.
pub trait Encode<T: ?Sized>: Codec {
    /// The body for `value`.
    ///
    /// # Errors
    /// When the value has no form in this codec.
    fn encode(value: &T) -> Result<Bytes, CodecError>;
}

/// Turns a body into a value.
pub trait Decode<T>: Codec {
    /// The value in `body`.
    ///
    /// # Errors
    /// When the body is not a value of this type in this codec.
    fn decode(body: &Bytes) -> Result<T, CodecError>;
}

/// JSON by serde. The default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

/// UTF-8 text as it is, without quotes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Text;

/// Bytes as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Binary;

/// CBOR (RFC 8949) by serde.
#[cfg(feature = "cbor")]
#[derive(Debug, Clone, Copy, Default)]
pub struct Cbor;

/// MessagePack by serde, fields by their names.
#[cfg(feature = "msgpack")]
#[derive(Debug, Clone, Copy, Default)]
pub struct MsgPack;

impl Codec for Json {
    const NAME: &'static str = "json";
}

impl Codec for Text {
    const NAME: &'static str = "text";
}

impl Codec for Binary {
    const NAME: &'static str = "bytes";
}

impl<T: Serialize + ?Sized> Encode<T> for Json {
    fn encode(value: &T) -> Result<Bytes, CodecError> {
        Ok(serde_json::to_vec(value)?.into())
    }
}

impl<T: DeserializeOwned> Decode<T> for Json {
    fn decode(body: &Bytes) -> Result<T, CodecError> {
        Ok(serde_json::from_slice(body)?)
    }
}

impl<T: AsRef<str> + ?Sized> Encode<T> for Text {
    fn encode(value: &T) -> Result<Bytes, CodecError> {
        Ok(Bytes::copy_from_slice(value.as_ref().as_bytes()))
    }
}

impl Decode<String> for Text {
    fn decode(body: &Bytes) -> Result<String, CodecError> {
        Ok(std::str::from_utf8(body)?.to_owned())
    }
}

impl<T: AsRef<[u8]> + ?Sized> Encode<T> for Binary {
    fn encode(value: &T) -> Result<Bytes, CodecError> {
        Ok(Bytes::copy_from_slice(value.as_ref()))
    }
}

impl Decode<Bytes> for Binary {
    fn decode(body: &Bytes) -> Result<Bytes, CodecError> {
        Ok(body.clone())
    }
}

impl Decode<Vec<u8>> for Binary {
    fn decode(body: &Bytes) -> Result<Vec<u8>, CodecError> {
        Ok(body.to_vec())
    }
}

#[cfg(feature = "cbor")]
impl Codec for Cbor {
    const NAME: &'static str = "cbor";
}

#[cfg(feature = "cbor")]
impl<T: Serialize + ?Sized> Encode<T> for Cbor {
    fn encode(value: &T) -> Result<Bytes, CodecError> {
        let mut body = Vec::new();
        ciborium::into_writer(value, &mut body)?;
        Ok(body.into())
    }
}

#[cfg(feature = "cbor")]
impl<T: DeserializeOwned> Decode<T> for Cbor {
    fn decode(body: &Bytes) -> Result<T, CodecError> {
        let mut rest = &body[..];
        let value = ciborium::from_reader(&mut rest)?;
        match rest.len() {
            0 => Ok(value),
            more => Err(format!("{more} bytes follow the value").into()),
        }
    }
}

#[cfg(feature = "msgpack")]
impl Codec for MsgPack {
    const NAME: &'static str = "msgpack";
}

#[cfg(feature = "msgpack")]
impl<T: Serialize + ?Sized> Encode<T> for MsgPack {
    fn encode(value: &T) -> Result<Bytes, CodecError> {
        Ok(rmp_serde::to_vec_named(value)?.into())
    }
}

#[cfg(feature = "msgpack")]
impl<T: DeserializeOwned> Decode<T> for MsgPack {
    fn decode(body: &Bytes) -> Result<T, CodecError> {
        let mut rest = &body[..];
        let value = rmp_serde::from_read(&mut rest)?;
        match rest.len() {
            0 => Ok(value),
            more => Err(format!("{more} bytes follow the value").into()),
        }
    }
}

/// A codec chosen at compile time and carried as two functions, so that the handles that use it
/// need not name it in their type.
pub(crate) struct Decoder<T> {
    pub(crate) name: &'static str,
    pub(crate) decode: fn(&Bytes) -> Result<T, CodecError>,
}

impl<T> Decoder<T> {
    pub(crate) fn of<C: Decode<T>>() -> Self {
        Self { name: C::NAME, decode: C::decode }
    }
}

impl<T> Clone for Decoder<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Decoder<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_codec_returns_what_it_was_given() {
        let json = <Json as Encode<[u32]>>::encode(&[1, 2]).unwrap();
        assert_eq!(json, "[1,2]");
        assert_eq!(<Json as Decode<Vec<u32>>>::decode(&json).unwrap(), [1, 2]);
        let text = <Text as Encode<str>>::encode("häl\"o").unwrap();
        assert_eq!(<Text as Decode<String>>::decode(&text).unwrap(), "häl\"o");
        let raw = <Binary as Encode<[u8]>>::encode(&[0, 255]).unwrap();
        assert_eq!(<Binary as Decode<Vec<u8>>>::decode(&raw).unwrap(), [0, 255]);
    }

    #[test]
    fn binary_codecs_write_what_their_standards_say() {
        let cbor = <Cbor as Encode<[u32]>>::encode(&[1, 24]).unwrap();
        assert_eq!(cbor[..], [0x82, 1, 0x18, 24]);
        assert_eq!(<Cbor as Decode<Vec<u32>>>::decode(&cbor).unwrap(), [1, 24]);
        let pack = <MsgPack as Encode<[u32]>>::encode(&[1, 200]).unwrap();
        assert_eq!(pack[..], [0x92, 1, 0xcc, 200]);
        assert_eq!(<MsgPack as Decode<Vec<u32>>>::decode(&pack).unwrap(), [1, 200]);
        // What follows a value, and what is cut short, is no value.
        for body in [&[0x01, 0x01][..], &[0x82, 1]] {
            let body = Bytes::copy_from_slice(body);
            assert!(<Cbor as Decode<u32>>::decode(&body).is_err(), "{body:?}");
            assert!(<MsgPack as Decode<u32>>::decode(&body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_body_that_is_not_text_is_refused() {
        assert!(Text::decode(&Bytes::from_static(&[0xff])).is_err());
    }
}
