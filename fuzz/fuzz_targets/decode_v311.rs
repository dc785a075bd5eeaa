#![no_main]

use ferrymq_fuzz::protocol::Version;

libfuzzer_sys::fuzz_target!(|input: &[u8]| ferrymq_fuzz::run(Version::V311, input));
