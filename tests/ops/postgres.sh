#!/usr/bin/env bash
# The whole ledger test-suite on PostgreSQL; what is about files alone is skipped by name or by itself.
set -euo pipefail
RDS_RETENTIOND_TEST_POSTGRES=1 cargo test --lib ledger:: -- --skip ledger::tests::continuity --skip ledger::tests::files
