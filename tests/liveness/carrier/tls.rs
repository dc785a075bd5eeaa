//! TLS as a client.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection};

use super::Layer;
use crate::common::tls;

#[derive(Debug)]
pub struct Client(ClientConnection);

impl Client {
    pub fn new(config: &Arc<ClientConfig>) -> Self {
        Self(tls::connection(config))
    }
}

impl Layer for Client {
    fn seal(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        // Kept until the handshake is done.
        self.0.writer().write_all(plain).unwrap();
        tls::write(&mut self.0, out);
    }

    fn open(&mut self, mut arrived: &[u8], plain: &mut Vec<u8>) {
        while !arrived.is_empty() {
            self.0.read_tls(&mut arrived).unwrap();
            self.0.process_new_packets().expect("what a broker sends");
            // Until it would block; what has been read is in `plain`.
            let _ = self.0.reader().read_to_end(plain);
        }
    }

    fn is_established(&self) -> bool {
        !self.0.is_handshaking()
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        self.0.send_close_notify();
        tls::write(&mut self.0, out);
    }
}
