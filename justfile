# The recipes of the project. Those of checks are in tests/recipes, which CI runs, too.

# Everything that must hold before a commit.
check:
    tests/recipes check

# Some of the checks: lints, documentation, dependencies, advisories, oldest_compiler, fuzz_targets, tests, assertions, long.
recipes *NAMES:
    tests/recipes {{NAMES}}

# Run the conformance scenarios against a server.
conform URL *ARGS:
    cargo run --release -- conform {{URL}} {{ARGS}}

# The program with line tables, in target/symbols: to read backtraces and profiles of the same commit's release by.
symbols:
    cargo build --profile symbols

# The long forms of tests.
long:
    LONG_SECONDS=86400 tests/recipes long

# Make the tables of profiles/ from unpacked official packages.
profiles *PACKAGES:
    cargo run -- profiles {{PACKAGES}} --out profiles

# Bring the clients of others that the tests let loose on the server: needs npm, python3, chromium and chromedriver.
clients:
    tests/clients/install
