#![no_main]
// Writes files under $TMPDIR; on a disk in memory it is many times faster.
thread_local! {
    static TARGET: rds_retentiond::fuzz::Writer = {
        let dir = std::env::temp_dir().join(format!("fuzz-yaml-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        rds_retentiond::fuzz::in_directory("yaml", &dir).expect("a target")
    };
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET.with(|target| target(data)));
