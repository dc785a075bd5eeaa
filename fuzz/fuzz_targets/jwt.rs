#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ferrymq_fuzz::jwt::run(input));
