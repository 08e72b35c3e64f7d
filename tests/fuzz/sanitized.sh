#!/usr/bin/env bash
# Run Python with the C++ core built under sanitizers: tests/fuzz/sanitized.sh -m tests.fuzz ...
#
# SANITIZE=address,undefined (the default) or SANITIZE=thread selects the sanitizers. The environment
# is in build/. It has the packages of .venv, and its own sslmot, built with sanitizers.
set -euo pipefail
cd "$(dirname "$0")/../.."
sanitize=${SANITIZE:-address,undefined}
venv=build/sanitize-${sanitize%%,*}
[ -x $venv/bin/python ] || python3 -m venv $venv
purelib() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
# The search order is: its own packages, those of .venv, and this folder (for the tests).
.venv/bin/python -P -c 'import sys; print(*(p for p in sys.path if "-packages" in p), sep="\n")' \
  > "$(purelib $venv/bin/python)/venv.pth"
echo "$PWD" >> "$(purelib $venv/bin/python)/venv.pth"
PATH=$PWD/.venv/bin:$PATH .venv/bin/python -m pip --disable-pip-version-check \
  --python $venv/bin/python install \
  --quiet --no-deps --no-build-isolation --force-reinstall . -C cmake.define.CUDA=OFF \
  -C cmake.define.SANITIZE="$sanitize" -C cmake.define.CMAKE_BUILD_TYPE=RelWithDebInfo \
  -C build-dir=$venv-build -C install.strip=false
export UBSAN_OPTIONS=print_stacktrace=1
# The fuzzer limits memory, so freed memory must be returned soon.
export ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16
export TSAN_OPTIONS=halt_on_error=1
runtime=libasan.so run=()
if [ "$sanitize" = thread ]; then
  # Randomised addresses may put a library into the shadow memory of ThreadSanitizer.
  runtime=libtsan.so run=(setarch -R)
fi
LD_PRELOAD="$(g++ -print-file-name=$runtime) $(g++ -print-file-name=libstdc++.so)" \
  exec "${run[@]}" $venv/bin/python -P "$@"
