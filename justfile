# The recipes of the house; CI runs the same.

# Everything that must hold before a commit.
check:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --lib
    cargo deny check bans licenses sources
    cargo test --release

# Run the conformance scenarios against a server.
conform URL *ARGS:
    cargo run --release -- conform {{URL}} {{ARGS}}

# The program with line tables, in target/symbols: to read backtraces and profiles of the same commit's release by.
symbols:
    cargo build --profile symbols

# The long forms of tests.
long:
    LONG_TESTS=1 cargo test --release -- --nocapture

# Make the tables of profiles/ from unpacked official packages.
profiles *PACKAGES:
    cargo run -- profiles {{PACKAGES}} --out profiles

# Bring the clients of others that the tests let loose on the server: needs npm, python3, chromium and chromedriver.
clients:
    tests/clients/install
