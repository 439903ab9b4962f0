#!/bin/sh
# Says what is missing on this machine, and how to get it.
missing=0
need() {
    echo "Missing: $1" >&2
    echo "         $2" >&2
    missing=1
}

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
    need "Python 3.10 or later" "https://www.python.org/downloads; another command: make PYTHON=python3.12 …"
"$PYTHON" -c 'import ensurepip' 2>/dev/null ||
    need "Python's venv module" "on Debian and Ubuntu: apt-get install python3-venv"
command -v cargo >/dev/null ||
    need "Rust" "https://rustup.rs"
command -v cc >/dev/null ||
    need "a C compiler, which Rust links with" "on Debian and Ubuntu: apt-get install gcc; on macOS: xcode-select --install"
exit $missing
