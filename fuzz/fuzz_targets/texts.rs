#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| passloop_fuzz::texts(bytes));
