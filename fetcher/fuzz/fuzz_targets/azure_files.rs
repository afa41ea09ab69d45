#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fetcher_fuzz::answers::azure_files(data));
