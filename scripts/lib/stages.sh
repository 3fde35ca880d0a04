# The stages of scripts/check, one function each; sourced by it, with ROOT, DIR, JOBS and COUNTS set.
# A stage prints to its log, writes "passed failed skipped" lines to $COUNTS/STAGE.counts and a line
# "name<TAB>command that repeats it" for each failure to $COUNTS/STAGE.failures; its exit status says whether it went well.
# shellcheck shell=bash

PYTHON=/usr/bin/python3 # Debian's own: the one whose pytest install-deps installed
ASAN_BUILD=$DIR/asan
RELEASE_BUILD=$DIR/release
PLAIN_BUILD=$DIR/plain # without sanitizers, for tools that do not go with them, and with GALLOC_BREAK
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

count() { # STAGE PASSED FAILED SKIPPED
    echo "$2 $3 $4" >>"$COUNTS/$1.counts"
}

failure() { # STAGE NAME COMMAND
    printf '%s\t%s\n' "$2" "$3" >>"$COUNTS/$1.failures"
}

stage_deps() {
    if ! "$ROOT/scripts/install-deps" --checks --missing; then
        "$ROOT/scripts/install-deps" --checks
    fi
}

configure_in() { # FOLDER ARGUMENTS...: only when they or configure itself have changed since the last time
    local folder=$1
    shift
    mkdir -p "$folder"
    if [ "$folder/config.status" -nt "$ROOT/configure" ] && [ "$(cat "$folder/.arguments" 2>/dev/null)" = "$*" ]; then
        return 0
    fi
    (cd "$folder" && "$ROOT/configure" --quiet "$@") && echo "$*" >"$folder/.arguments"
}

stage_configure() {
    local newer
    newer=$(find "$ROOT/configure.ac" "$ROOT/Makefile.am" -newer "$ROOT/configure" 2>/dev/null)
    if [ ! -x "$ROOT/configure" ] || [ -n "$newer" ]; then
        (cd "$ROOT" && autoreconf --force --install) || return
    fi
    configure_in "$ASAN_BUILD" --enable-werror --enable-sanitize 'CFLAGS=-g -O1'
}

stage_build() {
    make -C "$ASAN_BUILD" -s -j "$JOBS" all && make -C "$ASAN_BUILD" -s -j "$JOBS" check TESTS=
}

listed() { # BUILD TARGET: what a list-… target prints, and not what make says while it brings itself up to date
    make -C "$1" -s Makefile >/dev/null 2>&1
    make -C "$1" -s "$2" | grep '^tests/'
}

# Runs the cmocka programs of a folder under make, and counts the tests within them.
cmocka_folder() { # STAGE FOLDER
    local names
    names=$(listed "$ASAN_BUILD" list-tests | grep "^$2/" | tr '\n' ' ')
    [ -n "$names" ] || return 0
    make -C "$ASAN_BUILD" -s -k -j "$JOBS" check VERBOSE=yes TESTS="$names"
    # shellcheck disable=SC2086 # names are words
    "$PYTHON" "$ROOT/scripts/lib/count-tests" cmocka "$1" "$ASAN_BUILD" $names
}

# Runs the pytest files of a folder against a build, and counts them.
pytest_folder() { # STAGE FOLDER BUILD WORKERS
    find "$ROOT/$2" -name 'test_*.py' 2>/dev/null | grep -q . || return 0
    local report=$DIR/$1-pytest.xml status
    rm -f "$report"
    (cd "$ROOT" && GALLOC_BUILD=$3 "$PYTHON" -m pytest -q -n "$4" -ra "--junitxml=$report" "$2")
    status=$?
    [ $status -ne 5 ] || return 0 # 5: no test collected
    GALLOC_BUILD=$3 "$PYTHON" "$ROOT/scripts/lib/count-tests" pytest "$1" "$2" "$report" && return $status
}

stage_unit() { cmocka_folder unit tests/unit; }

# The simulated endpoints' own tests, then the bars that are met today (the table of tests/sim/scenarios.c), a line each.
stage_pacing() {
    local lines
    cmocka_folder pacing tests/sim || return
    lines=$("$ASAN_BUILD/tests/sim/pacing" --short)
    echo "$lines"
    count pacing "$(grep -c '  met: ' <<<"$lines")" "$(grep -c '  MISSED: ' <<<"$lines")" 0
    while read -r name; do
        failure pacing "pacing $name" "$ASAN_BUILD/tests/sim/pacing --short --scenario $name"
    done < <(awk '/  MISSED: / { print $1 }' <<<"$lines")
    grep -q '  met: ' <<<"$lines" && ! grep -q '  MISSED: ' <<<"$lines"
}

stage_contract() { cmocka_folder contract tests/contract && pytest_folder contract tests/contract "$ASAN_BUILD" 2; }
# Tests of running programs wait more than they compute, those that no harness loads most.
WAITERS=$((2 * JOBS))
stage_e2e() { pytest_folder e2e tests/e2e "$ASAN_BUILD" $((3 * JOBS)); }
stage_crash() { GALLOC_PLAIN_BUILD=$PLAIN_BUILD pytest_folder crash tests/crash "$ASAN_BUILD" $WAITERS; }
stage_controls() { GALLOC_PLAIN_BUILD=$PLAIN_BUILD pytest_folder controls tests/controls "$PLAIN_BUILD" $WAITERS; }

stage_plain() {
    configure_in "$PLAIN_BUILD" --enable-werror --enable-negative-controls 'CFLAGS=-g -O1' &&
        make -C "$PLAIN_BUILD" -s -j "$JOBS" gallocd gallocctl gallocsim tests/crash/store_kill tests/simulation/simulate
}

stage_lint() {
    local passed failed name
    GALLOC_BUILD=$ASAN_BUILD "$PYTHON" "$ROOT/tests/lint/run" --summary "$DIR/lint.txt"
    passed=$(grep -c '^ok ' "$DIR/lint.txt")
    failed=$(grep -c '^not ok ' "$DIR/lint.txt")
    count lint "$passed" "$failed" 0
    while read -r name; do
        failure lint "lint $name" "GALLOC_BUILD=$ASAN_BUILD tests/lint/run $name"
    done < <(sed -n 's/^not ok //p' "$DIR/lint.txt")
    pytest_folder lint tests/lint "$ASAN_BUILD" 2 && [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

each_file_passes() { # STAGE COMMAND... -- FILE...: one test a file
    local stage=$1 command=() passed=0 failed=0 file
    shift
    while [ "$1" != -- ]; do command+=("$1"); shift; done
    shift
    for file in "$@"; do
        if (cd "$ROOT" && "${command[@]}" "$file"); then
            passed=$((passed + 1))
        else
            failed=$((failed + 1))
            failure "$stage" "$file" "${command[*]} $file"
        fi
    done
    count "$stage" "$passed" "$failed" 0
    [ "$failed" -eq 0 ]
}

shell_scripts() { # prints the checkout's shell scripts
    { git -C "$ROOT" ls-files -co --exclude-standard 2>/dev/null || (cd "$ROOT" && find . -type f -not -path './build*'); } |
        while read -r file; do
            head -n 2 "$ROOT/$file" 2>/dev/null | grep -aqE '^#!.*[/ ](ba)?sh( |$)' && echo "$file"
            case $file in scripts/lib/*.sh) echo "$file" ;; esac
        done
}

stage_scripts() {
    local files
    mapfile -t files < <(shell_scripts)
    each_file_passes scripts shellcheck -x -- "${files[@]}"
}

stage_manuals() {
    local files
    mapfile -t files < <(cd "$ROOT" && find man -name '*.[1-9]' | sort)
    each_file_passes manuals scripts/lib/lint-manual -- "${files[@]}"
}

fuzz_one() { # BUILD TARGET: what it found goes to COUNTS itself, since several run at once
    local build=$1 target=$2 corpus=$1/corpus/${2##*/} seeds=$ROOT/tests/fuzz/corpus/${2##*/fuzz_}
    mkdir -p "$corpus"
    [ -d "$seeds" ] || seeds=
    if "$build/$target" -max_total_time="${FUZZ_SECONDS:-10}" -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$build/${target##*/}-" "$corpus" ${seeds:+"$seeds"} \
        >"$build/${target##*/}.log" 2>&1; then
        count fuzz 1 0 0
    else
        count fuzz 0 1 0
        failure fuzz "$target" "$build/$target \$(ls -t $build/${target##*/}-{crash,leak,timeout,oom}-* 2>/dev/null | head -n 1)"
    fi
    tail -n 30 "$build/${target##*/}.log" | grep -vE '^#[0-9]+'
}

stage_fuzz() {
    local build=$DIR/fuzz target names running=0
    [ -n "$(find "$ROOT/tests/fuzz" -name 'fuzz_*.c' 2>/dev/null)" ] || return 0
    configure_in "$build" CC=clang --enable-werror --enable-fuzz --enable-sanitize 'CFLAGS=-g -O1' || return
    names=$(listed "$build" list-fuzz)
    # shellcheck disable=SC2086
    make -C "$build" -s -j "$JOBS" $names || return
    for target in $names; do
        fuzz_one "$build" "$target" &
        running=$((running + 1))
        [ $running -lt "$JOBS" ] || { wait -n; running=$((running - 1)); }
    done
    wait
    [ ! -s "$COUNTS/fuzz.failures" ]
}

stage_release() {
    configure_in "$RELEASE_BUILD" --enable-werror --prefix=/usr && make -C "$RELEASE_BUILD" -s -j "$JOBS" || return
    GALLOC_BUILD=$RELEASE_BUILD "$PYTHON" "$ROOT/tests/lint/run" negative || return
    rm -rf "$DIR/root" && make -C "$RELEASE_BUILD" -s install DESTDIR="$DIR/root" || return
    configure_in "$DIR/nosystemd" CC=clang --enable-werror --without-systemd 'CFLAGS=-O1' &&
        make -C "$DIR/nosystemd" -s -j "$JOBS"
}

stage_systemd() {
    local units=$DIR/root/usr/lib/systemd/system file
    [ -e "$units/gallocd.service" ] || return 0
    # verify wants the program to be there, so it looks at a copy that names one that is.
    rm -rf "$DIR/units" && mkdir -p "$DIR/units"
    for file in "$units"/galloc*; do
        sed "s|^ExecStart=/usr/sbin/gallocd|ExecStart=/bin/true|" "$file" >"$DIR/units/${file##*/}"
    done
    each_file_passes systemd systemd-analyze verify --man=no -- "$DIR"/units/galloc*.s* &&
        each_file_passes systemd systemd-analyze security --no-pager --offline=true --threshold=15 -- "$units/gallocd.service"
}

stage_service() {
    [ -x "$DIR/root/usr/sbin/gallocd" ] || return 0
    pytest_folder service tests/service "$RELEASE_BUILD" 1
}

# The tests themselves ran in the other stages; here it is the tarball, and that it builds, installs and cleans up.
stage_dist() {
    mkdir -p "$DIR/dist"
    configure_in "$DIR/dist" && make -C "$DIR/dist" -s -j "$JOBS" distcheck TESTS= check_PROGRAMS=
}
