# shellcheck shell=bash
# What the scripts beside this file share: the virtual environment .venv of this checkout, and Debian packages.
# Sourced, never run. The working directory stays the caller's.

set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$project/.venv
python=$venv/bin/python
torch_cpu_index=https://download.pytorch.org/whl/cpu

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$(basename "$0"): $*"
    exit 1
}

# set_up EXTRAS: the environment exists and holds hivewatch with these extras (comma-separated).
# Returns at once when nothing has changed since the last time. An installation that was killed leaves half
# unpacked packages that pip takes for whole ones, so after one the environment is made anew.
set_up() {
    local extras=$1
    local stamp=$venv/.hivewatch-${extras//,/-} unfinished=$venv/.hivewatch-unfinished lock
    exec {lock}<"$project"
    flock "$lock" # until pip has ended, even if this shell is gone
    [ ! -e "$unfinished" ] || rm -rf "$venv"
    make_venv
    local state
    state=$(printf '%s\n' "$project" "$("$python" --version)" && cat "$project"/{setup.cfg,pyproject.toml})
    if ! [ -e "$stamp" ] || [ "$(cat "$stamp")" != "$state" ]; then
        install_with "$extras" "$unfinished"
        printf '%s\n' "$state" >"$stamp"
    fi
    exec {lock}<&-
}

install_with() {
    local extras=$1 unfinished=$2
    say "Installing hivewatch and what it needs into $venv (the first time takes some minutes) ..."
    : >"$unfinished"
    trap 'exit 130' INT TERM # leaves the mark behind
    if ! run_pip "$extras"; then
        rm "$unfinished"
        die "pip could not install everything; its reasons stand above." \
            "Is there a network, and room on the disk? If it goes on failing, remove $venv and try again."
    fi
    trap - INT TERM
    rm "$unfinished"
}

make_venv() {
    if "$python" -m pip --version >/dev/null 2>&1; then
        return
    fi
    local base
    base=$(find_python)
    if ! "$base" -c 'import ensurepip, venv' 2>/dev/null; then
        need_packages "$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    "$base" -m venv --clear "$venv" || die "$base could not make a virtual environment in $venv"
}

# find_python: the first Python on the PATH that hivewatch runs on.
find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            "$name" -c 'import sys; sys.exit(sys.maxsize < 2**32)' ||
                die "this Python has 32 bits; PyTorch needs a 64-bit system (64-bit Raspberry Pi OS, say)"
            printf '%s\n' "$name"
            return
        fi
    done
    if command -v python3 >/dev/null; then
        die "hivewatch runs on Python 3.11, 3.12 and 3.13; this machine has $(python3 --version)"
    fi
    die "there is no python3 on this machine; on Debian: sudo apt install python3 python3-venv"
}

run_pip() {
    local pip=("$python" -m pip install --quiet --disable-pip-version-check --no-input)
    # Debian 13 keeps /tmp in memory, and what pip unpacks there may not fit.
    export TMPDIR=$venv/tmp
    mkdir -p "$TMPDIR"
    if wants_cpu_wheels; then
        # Both at once, for each torchvision belongs to one torch; the extras may ask for it later.
        "${pip[@]}" --index-url "$torch_cpu_index" torch torchvision || return
    fi
    "${pip[@]}" --editable "${project}[$1]" || return
    unset TMPDIR
    rm -rf "$venv/tmp"
}

# wants_cpu_wheels: on x86-64 PyPI's torch brings 5 GB of CUDA along; PyTorch's own index has it without, in 0.5 GB.
# (On aarch64 setup.cfg names a version that comes without.)
wants_cpu_wheels() {
    [ "$(uname -m)" = x86_64 ] && [ ! -e /proc/driver/nvidia/version ] && timeout 6 "$python" - <<PYTHON 2>/dev/null
import urllib.request
urllib.request.urlopen("$torch_cpu_index/torch/", timeout=5).close()
PYTHON
}

# need_packages NAME...: Debian packages are there; those that are not are installed, if root or sudo can.
need_packages() {
    local name missing=()
    for name in "$@"; do
        dpkg-query --show --showformat '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed ||
            missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "please install what Debian calls: ${missing[*]}"
    can_be_root || die "missing on this machine; as root: apt install ${missing[*]}"
    say "Installing Debian packages: ${missing[*]}"
    as_root apt-get -qq update || say "apt-get update failed; trying with what is known"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends \
        -o Dpkg::Use-Pty=0 install "${missing[@]}" >/dev/null || die "apt could not install: ${missing[*]}"
}

can_be_root() { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}
