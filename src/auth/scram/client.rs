//! The client's side, for tests.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{hmac_of, salted_password, sha256};

/// A client before its first message, and then before its last.
pub(crate) struct Client<'a> {
    pub gs2_header: &'a str,
    pub username: &'a str,
    pub password: &'a str,
    pub nonce: &'a str,
}

impl<'a> Client<'a> {
    pub(crate) fn new(username: &'a str, password: &'a str) -> Self {
        Self { gs2_header: "n,,", username, password, nonce: "fyko+d2lbbFgONRv9qkxdawL" }
    }

    fn bare(&self) -> String {
        let name = self.username.replace('=', "=3D").replace(',', "=2C");
        format!("n={name},r={}", self.nonce)
    }

    /// The client-first-message.
    pub(crate) fn first(&self) -> Vec<u8> {
        format!("{}{}", self.gs2_header, self.bare()).into_bytes()
    }

    /// The client-final-message, and the server-final-message that it expects.
    pub(crate) fn last(&self, server_first: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let server_first = std::str::from_utf8(server_first).unwrap();
        let [nonce, salt, iterations] = ["r=", "s=", "i="].map(|name| {
            server_first.split(',').find_map(|attribute| attribute.strip_prefix(name)).unwrap()
        });
        assert!(nonce.starts_with(self.nonce) && nonce.len() > self.nonce.len());
        let iterations: NonZeroU32 = iterations.parse().unwrap();
        let salt = STANDARD.decode(salt).unwrap();
        let salted = salted_password(self.password.as_bytes(), iterations, &salt);
        let client_key = hmac_of(&salted, b"Client Key");
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(self.gs2_header));
        let auth_message = format!("{},{server_first},{without_proof}", self.bare());
        let signature = hmac_of(&sha256(&client_key), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, it)| key ^ it).collect();
        let server = hmac_of(&hmac_of(&salted, b"Server Key"), auth_message.as_bytes());
        (
            format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes(),
            format!("v={}", STANDARD.encode(server)).into_bytes(),
        )
    }
}
