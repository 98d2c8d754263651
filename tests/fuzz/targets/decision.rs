#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rds_retentiond::retention::fuzz::decision(data));
