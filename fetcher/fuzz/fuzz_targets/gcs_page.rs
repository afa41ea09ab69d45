#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fetcher_fuzz::answers::gcs_page(data));
