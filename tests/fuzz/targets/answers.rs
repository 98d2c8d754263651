#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| rds_retentiond::rds::fuzz::answers(data));
