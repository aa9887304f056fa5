# shellcheck shell=sh
# Sourced by deploy/demo, deploy/test, deploy/fleet: keeps the checkout's .venv fit to run.
#
#   ready_venv demo|test|control    makes .venv, installs the checkout into it (editable, so that `git pull` takes
#                                   effect), and does nothing, without a network, when that was done before
#
# PREACT_EDGE_PYTHON names the Python that .venv is made with; otherwise python3, else python3.13 down to python3.10.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0
export PIP_NO_INPUT PIP_DISABLE_PIP_VERSION_CHECK PIP_USER
unset PYTHONHOME PYTHONPATH

say() { printf '%s\n' "preact-edge: $*" >&2; }
die() { say "$*"; exit 1; }

# supported PYTHON: it runs, and this program supports its version.
supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

# find_python: prints the Python to make .venv with.
find_python() {
    if [ -n "${PREACT_EDGE_PYTHON:-}" ]; then
        supported "$PREACT_EDGE_PYTHON" || die "PREACT_EDGE_PYTHON=$PREACT_EDGE_PYTHON is no Python 3.10 to 3.13"
        printf '%s\n' "$PREACT_EDGE_PYTHON"
        return
    fi
    for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
        if supported "$candidate"; then printf '%s\n' "$candidate"; return; fi
    done
    found=$(python3 --version 2>/dev/null) || found="no python3"
    die "needs Python 3.10 to 3.13, found $found: install one and name it, PREACT_EDGE_PYTHON=/path/to/python3 $0"
}

# as_root COMMAND...: runs it where this user may without being asked anything.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}
may_be_root() { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }

# venv_package PYTHON: the Debian package with the part of venv that Debian's python3 leaves out.
venv_package() {
    version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$version" = "$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" ]; then
        echo python3-venv
    else
        echo "python$version-venv"
    fi
}

apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1"
}

# venv_without_root PYTHON: a venv whose pip comes out of Debian's own signed package, unpacked, not installed.
venv_without_root() {
    "$1" -m venv --without-pip "$venv" || return
    scratch=$venv/apt
    mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" || return
    set -- -qq -o "Dir::State::lists=$scratch/lists" -o "Dir::Cache=$scratch/cache" -o Acquire::Languages=none
    apt-get "$@" update || return
    (cd "$scratch" && apt-get "$@" download python3-pip-whl && dpkg-deb -x python3-pip-whl_*.deb unpacked) || return
    wheels=$scratch/unpacked/usr/share/python-wheels
    set -- "$wheels"/pip-*.whl
    "$venv/bin/python" "$1/pip" install -q --no-index --find-links "$wheels" pip || return
    rm -rf "$scratch"
}

make_venv() {
    python=$(find_python)
    rm -rf "$venv"
    mkdir "$venv"
    say "making $venv with $("$python" --version)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null || complete_python || return 0
    "$python" -m venv "$venv" >"$log" 2>&1 || give_up "$python could not make a venv"
}

# complete_python: adds what Debian's python3 leaves out; fails where .venv was made without it.
complete_python() {
    command -v apt-get >/dev/null || give_up "$python lacks a complete venv module: install it from this system's packages"
    package=$(venv_package "$python")
    advice="run $0 again after: sudo apt-get install -y $package"
    if may_be_root; then
        say "installing Debian's package $package, without which this Python makes no complete venv"
        apt_install "$package" >"$log" 2>&1 || { as_root apt-get update -qq && apt_install "$package"; } >>"$log" 2>&1 ||
            give_up "apt-get failed; $advice"
    else
        say "Debian's package $package is missing and only root may install it: sudo apt-get install -y $package"
        say "going on without root, with the pip of the package python3-pip-whl unpacked into .venv"
        venv_without_root "$python" >"$log" 2>&1 || give_up "that failed; $advice"
        return 1
    fi
}

# give_up REASON: leaves no half-made .venv behind.
give_up() {
    tail -n 5 "$log" >&2 2>/dev/null || true
    rm -rf "$venv"
    die "$*"
}

# venv_works: .venv has a supported Python and a pip, and was made for this very path (its scripts name it).
venv_works() {
    supported "$venv/bin/python" && "$venv/bin/python" -c 'import pip' 2>/dev/null &&
        grep -qsF "$venv/bin/python" "$venv/bin/pip"
}

# fingerprint: what an install depends on; stored once it went through, so that an interrupted one is done again.
fingerprint() { "$venv/bin/python" --version && sha256sum <"$root/pyproject.toml"; }

# pip_install WHAT: keeps all of pip's words in the log and shows one calm line for each large download.
pip_install() {
    { "$venv/bin/python" -m pip install --progress-bar off --only-binary=:all: -e "$1" 2>&1 && echo installed; } |
        tee "$log" | sed -un 's/^ *Downloading \([^-]*-[^-]*\)-.*whl (\(.* MB\))$/  fetching \1, \2/p' >&2
    [ "$(tail -n 1 "$log")" = installed ]
}

install_checkout() {
    if [ -e "$venv/.ready-demo" ]; then
        say "bringing .venv up to date"
    else
        say "installing into .venv (once; about 110 MB to fetch, 350 MB on disk)"
    fi
    if ! pip_install "$1"; then
        grep -h '^ERROR' "$log" | tail -n 3 >&2
        if grep -qE 'resolution|NewConnectionError|unreachable|refused|timed out' "$log"; then
            die "no network? Installing needs one, later runs do not (details: $log)"
        fi
        die "installing failed (details: $log)"
    fi
}

ready_venv() {
    venv=$root/.venv
    log=$venv/install.log
    trap 'say "interrupted; the next run takes it up again"; exit 130' INT
    exec 9<"$root/deploy"  # one install at a time
    flock -n 9 || { say "waiting for another install into .venv"; flock 9; }
    if ! venv_works; then
        [ -w "$root" ] || die "cannot write $root: run as its owner"
        [ ! -e "$venv" ] || say ".venv is incomplete, lost its Python or was moved: making it anew"
        make_venv
    fi
    if [ "$(fingerprint)" != "$(cat "$venv/.ready-$1" 2>/dev/null)" ]; then
        [ -w "$venv" ] || die "cannot write $venv: run as its owner"
        case $1 in
            control) install_checkout "${root}[control]" ;;
            test) install_checkout "${root}[test]" ;;
            *) install_checkout "$root" ;;
        esac
        fingerprint >"$venv/.ready-$1"
    fi
    exec 9<&-
    trap - INT
}
