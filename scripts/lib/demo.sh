# What scripts/quickstart and scripts/rehearse share: building, a daemon and a stand-in in one folder, killing, looking.
# Sourced; the caller has set ROOT. Sets DIR, BUILD, SOCKET; processes that were started are ended again on any failure.
# shellcheck shell=bash disable=SC2034 # what it sets, the caller uses

DIR=${QUICKSTART_DIR:-$ROOT/quickstart-data}
BUILD=${QUICKSTART_BUILD:-$ROOT/build}
MODEL=${QUICKSTART_MODEL:-gemini-3.8-flash}
# About as a real API is on a fair day: a second and a half a call, some slow ones, one call in fifty goes wrong.
DEMO_SIM_ARGS="--latency_ms 1500 --latency_sigma 0.35 --error_500 0.005 --error_503 0.005 --malformed 0.005 --unknown_agent 0.005"
OLD_LOOP_DELAY_S=2
DEMO_LIMIT_S=${QUICKSTART_LIMIT_S:-120} # without anything settled for so long, it is told what it waits for
SIM_ARGS=$DEMO_SIM_ARGS
has_ended_well=no
has_former=no

say() { printf '%s\n' "$*"; }
shown() { # FOLDER, with a slash behind it, as the reader would type it from where they are
    local path
    path=$(realpath -m --relative-to="$PWD" "$1")
    case $path in
        .) ;; # the folder itself: what follows it is enough
        ../../*) printf '%s/' "$(realpath -m "$1")" ;;
        *) printf '%s/' "$path" ;;
    esac
}
seconds_since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'; }
ctl() { GALLOC_SOCKET=$DIR/s "$BUILD/gallocctl" "$@"; }
pause() { sleep "$1"; } # seconds

demo_step() { # NUMBER NAME TEXT
    printf '%s/4 %-19s %s\n' "$1" "$2" "$3"
}

# ---- the folder and its processes ----
is_ours() { # PID PROGRAM: whether that process is still the one that we started
    [ -n "$1" ] && [ "$(readlink "/proc/$1/exe" 2>/dev/null | sed 's/ (deleted)$//')" = "$(realpath -m "$BUILD/$2")" ]
}

end_process() { # PROGRAM: TERM, and KILL if it will not
    local pid=
    [ -r "$DIR/$1.pid" ] && pid=$(cat "$DIR/$1.pid")
    if is_ours "$pid" "$1"; then
        kill -TERM "$pid" 2>/dev/null || true
        local tries=0
        while is_ours "$pid" "$1" && [ $tries -lt 100 ]; do pause 0.1; tries=$((tries + 1)); done
        is_ours "$pid" "$1" && kill -KILL "$pid" 2>/dev/null
    fi
    rm -f "$DIR/$1.pid"
}

demo_remove() { # ends what runs and removes the folder, if it is one of ours
    [ -d "$DIR" ] || { say "nothing to stop: $(shown "$DIR") is not there"; return 0; }
    if [ ! -e "$DIR/.made-by-quickstart" ]; then
        say "$(shown "$DIR") was not made by quickstart; it is left alone" >&2
        return 1
    fi
    [ -r "$DIR/.made-by-quickstart" ] && [ -s "$DIR/.made-by-quickstart" ] && BUILD=$(cat "$DIR/.made-by-quickstart")
    end_process gallocd
    end_process gallocsim
    rm -rf "$DIR"
    say "stopped; $(shown "$DIR") is removed"
}

demo_begin() { # a folder of our own; a former one stays as it is until demo_end_former
    has_former=no
    if [ -e "$DIR" ] && [ ! -e "$DIR/.made-by-quickstart" ] && ! rmdir "$DIR" 2>/dev/null; then
        say "$(shown "$DIR") was not made by quickstart; it is left alone" >&2
        return 1
    fi
    (umask 077 && mkdir -p "$DIR")
    if [ -s "$DIR/gallocd.conf" ] && [ -d "$DIR/state" ]; then has_former=yes; fi
    trap demo_clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    [ -e "$DIR/.made-by-quickstart" ] || printf '%s' "$BUILD" >"$DIR/.made-by-quickstart"
}

demo_check_former() { # ENQUEUE ARGUMENTS...: refuses while the former one holds what nobody has exported, or the new input is no good
    [ $has_former = yes ] || return 0
    if ! (demo_start_again) >/dev/null 2>&1; then # in a shell of its own: it sets BUILD to the former one's
        say "the former one in $(shown "$DIR") does not start, so nobody can tell what it holds; to remove it: $(shown "$ROOT")scripts/quickstart --stop" >&2
        return 6
    fi
    local all open others said status
    all=$(ctl -q runs --limit 1000000) && open=$(ctl -q runs --state importing,running,paused) || return
    others=$({ grep -vxF -e "$(cat "$DIR/run" 2>/dev/null || echo none)" <<<"$all"; echo "$open"; } | grep . | sort -u) || true
    if [ -n "$others" ]; then
        {
            say "$(shown "$DIR") has runs that would be removed and that nobody exported: $(tr '\n' ' ' <<<"$others")"
            say "    to look at them, and to go on with them:  $(shown "$DIR")gallocctl status"
            say "    to keep what came out of one:             $(shown "$DIR")gallocctl results RUN -o FILE"
            say "    to enqueue there:                         $(shown "$DIR")gallocctl enqueue FILE --agents FILE"
            say "    to remove it all, then begin anew:        $(shown "$ROOT")scripts/quickstart --stop"
            say "    to leave it, and begin beside it:         QUICKSTART_DIR=OTHER $(shown "$ROOT")scripts/quickstart"
        } >&2
        return 6
    fi
    said=$(ctl enqueue -n "$@" 2>&1 >/dev/null) || {
        status=$?
        say "$said" >&2
        return $status
    }
}

demo_end_former() { # ends a former one and removes it, but for its last results; then the folder is ours
    local build=$BUILD
    BUILD=$(cat "$DIR/.made-by-quickstart") # what runs was started from there
    end_process gallocd
    end_process gallocsim
    BUILD=$build
    printf '%s' "$BUILD" >"$DIR/.made-by-quickstart"
    has_former=no
    if compgen -G "$DIR/results.*" >/dev/null; then
        rm -rf "$DIR/former.new"
        mkdir "$DIR/former.new"
        mv "$DIR"/results.* "$DIR/former.new/"
        rm -rf "$DIR/former"
        mv "$DIR/former.new" "$DIR/former"
        say "the former one was ended and its run removed; its results are in $(shown "$DIR/former")" >&2
    fi
    find "$DIR" -mindepth 1 -maxdepth 1 ! -name former ! -name build.log ! -name .made-by-quickstart -exec rm -rf {} +
    demo_write_wrapper
}

demo_write_wrapper() { # gallocctl for this folder: it finds its daemon, and its hints name what helps here
    {
        printf '#!/bin/sh\n'
        # shellcheck disable=SC2016 # the wrapper's own variables
        printf 'GALLOCCTL_NAME=${GALLOCCTL_NAME:-$0} GALLOCCTL_START=%s \\\n' "'$ROOT/scripts/quickstart --start'"
        printf 'GALLOC_SOCKET=%s exec %s "$@"\n' "'$DIR/s'" "'$BUILD/gallocctl'"
    } >"$DIR/gallocctl"
    chmod +x "$DIR/gallocctl"
}

demo_end_well() { has_ended_well=yes; }

demo_clean_up() {
    local status=$? log
    [ $has_ended_well = no ] || return 0
    trap - EXIT
    if [ "$has_former" = yes ]; then # nothing of it was touched
        say "$(basename "$0"): ended with $status; the former one in $(shown "$DIR") is as it was, and its runs go on" >&2
        exit "$status"
    fi
    [ -z "${BAR_PID:-}" ] || kill "$BAR_PID" 2>/dev/null || true
    end_process gallocd
    end_process gallocsim
    [ $status -eq 130 ] && say "" && say "interrupted" >&2
    for log in gallocd gallocsim build; do
        if [ -s "$DIR/$log.log" ] && [ $status -ne 130 ] && [ $status -ne 143 ]; then
            say "---- the end of $(shown "$DIR")$log.log" >&2
            tail -n 8 "$DIR/$log.log" >&2
        fi
    done
    find "$DIR" -mindepth 1 -maxdepth 1 ! -name '*.log' ! -name .made-by-quickstart ! -name former -exec rm -rf {} +
    say "$(basename "$0"): ended with $status; nothing is left running, the logs are in $(shown "$DIR")" >&2
    exit "$status"
}

# ---- building ----
demo_build() { # sets built_in
    built_in=
    if [ -n "${QUICKSTART_BUILD:-}" ]; then
        return 0
    fi
    local started=$EPOCHREALTIME
    "$ROOT/scripts/install-deps" >"$DIR/build.log" 2>&1 || { tail -n 5 "$DIR/build.log" >&2; return 1; }
    {
        if [ ! -x "$ROOT/configure" ]; then
            (cd "$ROOT" && autoreconf --install)
        fi
        mkdir -p "$BUILD"
        [ -x "$BUILD/config.status" ] || (cd "$BUILD" && "$ROOT/configure" --quiet)
    } >>"$DIR/build.log" 2>&1
    make -C "$BUILD" -j "$(nproc)" gallocd gallocctl gallocsim >>"$DIR/build.log" 2>&1 &
    local make_pid=$! lines
    while kill -0 $make_pid 2>/dev/null; do
        if [ -t 2 ]; then
            lines=$(grep -cE '^  (CC|CCLD|AR|GEN)' "$DIR/build.log" || true)
            printf '\r    building: %s files, %s s ' "$lines" "$(seconds_since "$started")" >&2
        fi
        pause 0.3
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
    wait $make_pid
    built_in=" in $(seconds_since "$started") s"
}

# ---- the stand-in and the daemon ----
start_process() { # PROGRAM ARGUMENTS...: in a session of its own, logging to DIR/PROGRAM.log
    local program=$1
    shift
    setsid "$BUILD/$program" "$@" </dev/null >>"$DIR/$program.log" 2>&1 &
    printf '%s\n' $! >"$DIR/$program.pid"
    disown $!
}

demo_start_sim() { # [PORT]: sets SIM_PORT
    rm -f "$DIR/sim.port"
    # shellcheck disable=SC2086 # settings are words
    start_process gallocsim --listen "127.0.0.1:${1:-0}" --port-file "$DIR/sim.port" $SIM_ARGS
    wait_for "gallocsim" gallocsim test -s "$DIR/sim.port"
    SIM_PORT=$(head -n 1 "$DIR/sim.port")
}

demo_configure() { # BASE_URL (empty: Gemini's own) KEY [TIME_SCALE]
    (umask 077 && printf '%s\n' "$2" >"$DIR/key")
    {
        printf 'keep_back = {"phone"}\nprices_file = "%s/daemon/config/prices.conf"\n' "$ROOT"
        printf 'endpoint "gemini" {\n    model = "%s"\n    api_key_file = "%s"\n    max_in_flight = %s\n' \
            "$MODEL" "$DIR/key" "${DEMO_IN_FLIGHT:-32}"
        [ -z "$1" ] || printf '    base_url = "%s"\n' "$1"
        [ -z "${3:-}" ] || printf '    time_scale = %s\n' "$3"
        printf '}\n'
    } >"$DIR/gallocd.conf"
}

wait_for() { # NAME PROGRAM COMMAND...: until the command succeeds, while the program lives, 30 s at most
    local name=$1 program=$2 tries=0
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ! kill -0 "$(cat "$DIR/$program.pid")" 2>/dev/null || [ $tries -ge 600 ]; then # it may still be on its way to exec
            say "$name did not start" >&2
            return 1
        fi
        tries=$((tries + 1))
        pause 0.05
    done
}

demo_start_daemon() {
    start_process gallocd -c "$DIR/gallocd.conf" --socket "$DIR/s" --state-dir "$DIR/state"
    wait_for "gallocd" gallocd ctl health --ready
}

demo_start_again() { # after a reboot or a kill: what there is goes on where it was
    if [ ! -s "$DIR/.made-by-quickstart" ] || [ ! -s "$DIR/gallocd.conf" ]; then
        say "$(shown "$DIR") holds nothing to start; make it with: $(shown "$ROOT")scripts/quickstart" >&2
        return 1
    fi
    BUILD=$(cat "$DIR/.made-by-quickstart")
    local port
    port=$(sed -n 's|^ *base_url = "http://127.0.0.1:\([0-9]*\)"$|\1|p' "$DIR/gallocd.conf")
    if [ -n "$port" ] && ! is_ours "$(cat "$DIR/gallocsim.pid" 2>/dev/null)" gallocsim; then
        demo_start_sim "$port"
    fi
    if ! is_ours "$(cat "$DIR/gallocd.pid" 2>/dev/null)" gallocd; then
        demo_start_daemon
    fi
    ctl status
}

demo_kill_daemon() {
    local pid
    pid=$(cat "$DIR/gallocd.pid")
    kill -KILL "$pid"
    while is_ours "$pid" gallocd; do pause 0.01; done
}

# ---- looking ----
number_of() { # NAME TEXT: the first number of that name in JSON
    grep -oE "\"$1\":-?[0-9]+" <<<"$2" | sed -n 1p | grep -oE -- '-?[0-9]+$' || printf 0
}

demo_read_run() { # RUN: sets total, succeeded, failed, settled, lost, agent_full, cost_micros
    local json counts
    json=$(ctl status "$1" --json)
    counts=$(grep -oE '"counts":\{[^}]*\}' <<<"$json" | sed -n 1p)
    total=$(number_of total "$counts")
    succeeded=$(number_of succeeded "$counts")
    failed=$(number_of failed "$counts")
    settled=$((succeeded + failed + $(number_of cancelled "$counts")))
    lost=$(number_of lost "$json")
    agent_full=$(number_of agent_full "$json")
    cost_micros=$(number_of micros "$json")
}

demo_in_flight() { number_of in_flight "$(ctl endpoint show gemini --json)"; }

demo_bar_until() { # RUN SHARE: gallocctl's live bar, until that share is settled
    BAR_PID=
    GALLOC_SOCKET=$DIR/s "$BUILD/gallocctl" watch "$1" >&2 & # no function: the process itself is to be ended
    BAR_PID=$!
    local deadline=$((SECONDS + DEMO_LIMIT_S)) settled_before=0
    while demo_read_run "$1" && awk -v s="$settled" -v t="$total" -v at="$2" 'BEGIN { exit !(s < t * at) }'; do
        if [ "$settled" -gt "$settled_before" ]; then
            settled_before=$settled
            deadline=$((SECONDS + DEMO_LIMIT_S))
        elif [ $SECONDS -ge $deadline ] || ctl endpoint show gemini --json | grep -q '"state":"down"'; then
            kill -KILL "$BAR_PID" 2>/dev/null || true
            wait "$BAR_PID" 2>/dev/null || true
            [ ! -t 2 ] || printf '\r\033[K' >&2
            { say "it does not get on; what gallocd says:"; ctl status "$1"; ctl endpoint show gemini; } >&2
            return 8
        fi
        pause 0.1
    done
    if [ "$2" = 1 ]; then
        wait "$BAR_PID" || true
    else
        kill -KILL "$BAR_PID" 2>/dev/null || true # it would say goodbye, and the next one goes on
        wait "$BAR_PID" 2>/dev/null || true
        [ ! -t 2 ] || printf '\r\033[K' >&2
    fi
    BAR_PID=
}

demo_keys() { # FILE: the keys of results, a line each, as they stand in the JSON
    sed -nE 's/^.*"key":"(([^"\\]|\\.)*)".*$/\1/p' "$1"
}

demo_check_results() { # FILE: each assignment is there once
    local rows unique
    rows=$(wc -l <"$1")
    unique=$(demo_keys "$1" | sort -u | wc -l)
    if [ "$rows" -ne "$total" ] || [ "$unique" -ne "$total" ]; then
        say "$total were enqueued, but the results hold $rows rows with $unique keys" >&2
        return 1
    fi
}

people_time() { # SECONDS
    awk -v s="$1" 'BEGIN { if (s < 90) printf "%d s", s + .5; else if (s < 5400) printf "%d min", s / 60 + .5; else printf "%.1f h", s / 3600 }'
}

demo_cost_and_time() { # RESULTS.ndjson IS_REAL TOOK_S
    local took_s=$3 mean_ms old_loop_s did=would\ have\ cost least=
    [ "$lost" -eq 0 ] || least="at least " # the lost calls may have been billed, too
    [ "$2" = no ] || did=cost
    mean_ms=$(grep -oE '"latency_ms":[0-9]+' "$1" | awk -F: '{ sum += $2; n++ } END { printf "%d", n ? sum / n : 0 }')
    old_loop_s=$(awk -v n="$total" -v ms="$mean_ms" -v delay=$OLD_LOOP_DELAY_S 'BEGIN { printf "%d", n * (ms / 1000 + delay) }')
    if [ "$cost_micros" -gt 0 ]; then
        awk -v m="$cost_micros" -v model="$MODEL" -v did="$did" -v n="$total" \
            -v least="$least" \
            'BEGIN { printf "Cost        it %s %s%.4f USD with %s (list price), %.6f USD an assignment\n", did, least, m / 1e6, model, m / 1e6 / n }'
    else
        say "Cost        unknown: no price is set for $MODEL; see price in gallocd.conf(5)"
    fi
    say "Time        $(people_time "$took_s"); the old loop, one by one with $OLD_LOOP_DELAY_S s between, $(people_time "$old_loop_s")"
    say "Repeated    $lost calls were in flight when the daemon was killed and were sent again, possibly billed twice;"
    if [ "$agent_full" -gt 0 ]; then
        say "            $agent_full answers named an agent who had just become full; these were asked again"
    fi
}

visible() { # what could act on a terminal (C1, bidi controls; JSON has escaped the rest) becomes a question mark
    LC_ALL=C sed -E 's/\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xd8\x9c/?/g; s/\\"/"/g'
}

demo_three_decisions() { # RESULTS.ndjson: the first, the middle and the last
    local text='(([^"\\]|\\.)*)'
    awk -v n="$total" 'NR == 1 || NR == int(n / 2) || NR == n' "$1" |
        sed -nE "s/^.*\"key\":\"$text\".*\"agent_id\":\"$text\".*\"reason\":\"$text\".*\$/  \1 to \3: \5/p" | visible
}
