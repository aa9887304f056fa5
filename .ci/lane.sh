# shellcheck shell=bash
# Sourced by the lanes that boot machines.
#
#   root                                 the checkout: set before
#   need COMMAND:PACKAGE...              ends with 77 where this computer cannot run the lane
#   run_tests NAME=VALUE FOLDER ARGS...  pytest with a variable set, in a folder; ends with PASS or FAIL
lane=$(basename "$0")
: "${root:?}"
python=$root/.venv/bin/python

say() { printf '%s: %4d s  %s\n' "$lane" "$SECONDS" "$*"; }
fail() { say "FAIL: $*"; exit 1; }
leave_out() { say "LEFT OUT: $*"; exit 77; }

need() {
    local tool missing=()
    [ "$(uname -m)" = x86_64 ] || leave_out "needs an x86-64 computer"
    [ "$(id -u)" = 0 ] || leave_out "making root trees and machines needs root"
    for tool in "$@" ssh:openssh-client git:git; do
        command -v "${tool%:*}" >/dev/null || missing+=("${tool#*:}")
    done
    [ ${#missing[@]} = 0 ] || leave_out "apt-get install ${missing[*]}"
    "$python" -c 'import pytest, pytest_timeout' 2>/dev/null || fail "deploy/test makes the .venv that this needs"
}

run_tests() {
    local variable=$1 folder=$2 work code=0
    shift 2
    work=$(mktemp -d)
    # shellcheck disable=SC2064  # the folder of this very run
    trap "rm -rf --one-file-system '$work'" EXIT
    cd "$root" || exit
    env TMPDIR="$work" "$variable" PYTHONDONTWRITEBYTECODE=1 "$python" -m pytest -o timeout=3000 \
        -o cache_dir="$work/cache" --junitxml="$work/tests.xml" -v -rP "$folder" "$@" || code=$?
    [ "$code" = 0 ] || fail "the tests, with code $code"
    "$python" .ci/left_out.py "$work/tests.xml" || fail "tests were left out"
    say "PASS"
}
