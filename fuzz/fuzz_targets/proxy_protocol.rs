//! The header of the PROXY protocol, as a reader of a stream sees it: piece by piece, of the
//! lengths that it asks for.

#![no_main]

use ferrymq_fuzz::proxy_header::{LONGEST_V2, Step, Versions, step};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    for versions in [Versions::V1, Versions::V2, Versions::Any] {
        let mut have = 0;
        while let Ok(Step::Need(need)) = step(&input[..have], versions) {
            assert!(need > 0 && have + need <= LONGEST_V2, "{need} more than {have}");
            have += need;
            if have > input.len() {
                break;
            }
        }
        // Whoever passes all bytes at once is not led astray either.
        let _ = step(input, versions);
    }
});
