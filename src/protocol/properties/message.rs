//! The properties of a message that receivers get unchanged, as values, for code that
//! publishes or reads a message without a packet.

use bytes::{BufMut, BytesMut};

use super::table::{id, of};
use super::walk_block;

/// See section 3.3.2.3 of MQTT 5.0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageProperties {
    /// Payload Format Indicator: true, the payload is UTF-8 text.
    pub is_text: Option<bool>,
    /// Content Type.
    pub content_type: Option<String>,
    /// Response Topic.
    pub response_topic: Option<String>,
    /// Correlation Data.
    pub correlation_data: Option<Vec<u8>>,
    /// User Properties, in order.
    pub user: Vec<(String, String)>,
}

impl MessageProperties {
    /// Encodes them as in a packet, without the length in front.
    ///
    /// # Errors
    /// A value is too long for its length field.
    pub fn encode(&self) -> Result<Vec<u8>, &'static str> {
        let mut block = BytesMut::new();
        if let Some(is_text) = self.is_text {
            block.put_slice(&[id::PAYLOAD_FORMAT, is_text.into()]);
        }
        let texts = [
            (id::CONTENT_TYPE, self.content_type.as_deref().map(str::as_bytes)),
            (id::RESPONSE_TOPIC, self.response_topic.as_deref().map(str::as_bytes)),
            (id::CORRELATION_DATA, self.correlation_data.as_deref()),
        ];
        for (id, bytes) in texts {
            if let Some(bytes) = bytes {
                block.put_u8(id);
                put(&mut block, bytes)?;
            }
        }
        for (name, value) in &self.user {
            block.put_u8(id::USER_PROPERTY);
            put(&mut block, name.as_bytes())?;
            put(&mut block, value.as_bytes())?;
        }
        Ok(block.into())
    }

    /// Decodes a block that was validated when it was received. What cannot be decoded is
    /// omitted.
    pub fn decode(block: &[u8]) -> Self {
        let mut found = Self::default();
        let _ = walk_block(block, of::PUBLISH, |property| {
            let value = property.value;
            match property.id {
                id::PAYLOAD_FORMAT => found.is_text = Some(value.flag()),
                id::CONTENT_TYPE => found.content_type = Some(value.text().to_owned()),
                id::RESPONSE_TOPIC => found.response_topic = Some(value.text().to_owned()),
                id::CORRELATION_DATA => found.correlation_data = Some(value.binary().to_vec()),
                id::USER_PROPERTY => found.user.push(value.pair()),
                _ => {}
            }
            Ok(())
        });
        found
    }
}

fn put(block: &mut BytesMut, bytes: &[u8]) -> Result<(), &'static str> {
    let len = u16::try_from(bytes.len()).map_err(|_| "one is longer than 65,535 bytes")?;
    block.put_u16(len);
    block.put_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::check_publish_properties;

    #[test]
    fn what_is_encoded_is_a_proper_block_and_reads_back() {
        let all = MessageProperties {
            is_text: Some(true),
            content_type: Some("text/plain".into()),
            response_topic: Some("a/b".into()),
            correlation_data: Some(vec![0, 255]),
            user: vec![("a".into(), "1".into()), ("a".into(), String::new())],
        };
        for properties in [all, MessageProperties::default()] {
            let block = properties.encode().unwrap();
            check_publish_properties(&block).unwrap();
            assert_eq!(MessageProperties::decode(&block), properties);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let properties =
            MessageProperties { content_type: Some("x".repeat(65_536)), ..Default::default() };
        assert!(properties.encode().is_err());
        let properties =
            MessageProperties { response_topic: Some("a/#".into()), ..Default::default() };
        assert!(check_publish_properties(&properties.encode().unwrap()).is_err());
    }
}
