//! Mosquitto's `acl_file`: any text is read or refused with a line, and what is read decides.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ferrymq_fuzz::rules::run(input));
