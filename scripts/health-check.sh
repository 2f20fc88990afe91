#!/bin/sh
#
# Consul script check of one Motr process: what KV says of it and whether it runs.
#
# Usage: health-check.sh FID PATTERN
#
#   FID      of the process: 0x7200000000000001:0x4, <7200000000000001:4>, or the decimal
#            key alone, which is the ID of the Consul service: 4
#   PATTERN  extended regular expression for the process's command line (pgrep -f)
#
# The status in KV may be obsolete and a running process may not serve yet, therefore
# both are asked (5/HAX):
#
#   status in KV (processes/FID)               runs       does not run
#   STARTED, DTM_RECOVERED                     0 passing  2 critical
#   STARTING, STOPPING                         1 warning  2 critical
#   STOPPED                                    2 critical 2 critical
#   none, not understood, Consul unreachable   1 warning  2 critical
#
# One line on stdout says why. Wrong usage is 2 as well: such a check must not pass.
#
# Needs pgrep, timeout, and curl or the consul program.
#
# Environment:
#   HAX_CHECK_TIMEOUT       seconds the question to Consul may take (default 2); looking for
#                           the process takes 1 more, and the check's timeout must be longer
#   CONSUL_HTTP_ADDR        default 127.0.0.1:8500; http://, https:// and unix:// are fine
#   CONSUL_HTTP_SSL, CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE, CONSUL_CACERT,
#   CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY
#                           as the consul program takes them

set -u
# Regular expressions and the parsing below mean bytes, whatever the agent's locale is.
LC_ALL=C
export LC_ALL

finish() {
    code=$1
    shift
    printf '%s\n' "$*"
    exit "$code"
}

# hex DIGITS: the number without 0x and leading zeros; fails if it is none of 64 bits.
hex() {
    digits=$(printf '%s' "$1" | tr 'A-FX' 'a-fx')
    digits=${digits#0x}
    case $digits in '' | *[!0-9a-f]*) return 1 ;; esac
    while :; do
        case $digits in 0?*) digits=${digits#0} ;; *) break ;; esac
    done
    [ "${#digits}" -le 16 ] && printf '%s' "$digits"
}

# The fid as KV keys spell it.
normalise() {
    fid=$1
    case $fid in '<'*'>')
        fid=${fid#<}
        fid=${fid%>}
        ;;
    esac
    case $fid in
    *:*:*) return 1 ;;
    *:*)
        container=$(hex "${fid%%:*}") && key=$(hex "${fid#*:}") || return 1
        ;;
    '' | *[!0-9]*) return 1 ;;
    *)
        # Decimal; beyond 18 digits the shell's arithmetic is not to be trusted.
        [ "${#fid}" -le 18 ] || return 1
        while :; do
            case $fid in 0?*) fid=${fid#0} ;; *) break ;; esac
        done
        container=7200000000000001
        key=$(printf '%x' "$fid") || return 1
        ;;
    esac
    case $container in
    72??????????????) printf '0x%s:0x%s' "$container" "$key" ;;
    *) return 1 ;; # not a process
    esac
}

# Prints the value of the key. Fails with the reason in its output.
read_kv() {
    if command -v curl >/dev/null 2>&1; then
        read_with_curl "$1"
    elif command -v consul >/dev/null 2>&1; then
        read_with_consul "$1"
    else
        printf 'neither curl nor consul is installed'
        return 1
    fi
}

read_with_curl() {
    address=${CONSUL_HTTP_ADDR:-127.0.0.1:8500}
    scheme=http
    case ${CONSUL_HTTP_SSL:-} in 1 | t | T | true | TRUE | True) scheme=https ;; esac
    case $address in
    unix://*)
        path=$1
        set -- --unix-socket "${address#unix://}"
        url=http://localhost/v1/kv/$path
        ;;
    http://* | https://*)
        url=${address%/}/v1/kv/$1
        set --
        ;;
    *)
        url=$scheme://$address/v1/kv/$1
        set --
        ;;
    esac
    if [ -n "${CONSUL_CACERT:-}" ]; then set -- "$@" --cacert "$CONSUL_CACERT"; fi
    if [ -n "${CONSUL_CLIENT_CERT:-}" ]; then set -- "$@" --cert "$CONSUL_CLIENT_CERT"; fi
    if [ -n "${CONSUL_CLIENT_KEY:-}" ]; then set -- "$@" --key "$CONSUL_CLIENT_KEY"; fi
    token=${CONSUL_HTTP_TOKEN:-}
    if [ -z "$token" ] && [ -n "${CONSUL_HTTP_TOKEN_FILE:-}" ]; then
        if ! token=$(head -n 1 -- "$CONSUL_HTTP_TOKEN_FILE" 2>/dev/null); then
            printf 'the token file cannot be read'
            return 1
        fi
    fi
    # The token goes through stdin: the command line is everyone's to read.
    answer=$(
        if [ -n "$token" ]; then
            printf '%s' "$token" | sed 's/[\\"]/\\&/g; s/.*/header = "X-Consul-Token: &"/'
        fi | timeout -k 1 "$limit" curl -q --silent --show-error --globoff --noproxy '*' \
            --max-filesize 65536 --write-out '\n%{http_code}' \
            --config - "$@" "$url?raw" 2>&1
    )
    rc=$?
    status=${answer##*
}
    body=${answer%?"$status"}
    if [ "$rc" -ne 0 ]; then
        body=$(printf '%s' "$body" | tr '\n\r' '  ' | cut -c 1-200)
        case $rc in 124 | 137) body="no answer within $limit s" ;; esac
        printf 'Consul cannot be asked: %s' "$body"
        return 1
    fi
    case $status in
    200) printf '%s' "$body" ;;
    404)
        printf 'no status in KV'
        return 1
        ;;
    *)
        printf 'Consul answers %s' "$status"
        return 1
        ;;
    esac
}

read_with_consul() {
    answer=$(timeout -k 1 "$limit" consul kv get "$1" 2>&1 </dev/null)
    case $? in
    0)
        printf '%s' "$answer"
        return 0
        ;;
    124 | 137) printf 'Consul cannot be asked: no answer within %s s' "$limit" ;;
    *)
        case $answer in
        *'No key exists'*) printf 'no status in KV' ;;
        *) printf 'Consul cannot be asked: %s' "$(printf '%s' "$answer" | tr '\n\r' '  ' | cut -c 1-200)" ;;
        esac
        ;;
    esac
    return 1
}

# parent PID: prints the parent; fails if the process is gone or dead.
parent() {
    # The name in parentheses may itself hold spaces and parentheses.
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) }
    case $stat in Z* | X* | x*) return 1 ;; esac
    stat=${stat#* }
    printf '%s' "${stat%% *}"
}

# Is the process a health check (this one, another one, the shell that started it), or
# an offspring of one? Their command lines hold the pattern, too.
is_a_check() {
    case $(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") in
    *"$self"* | *'pgrep -f -- '*) return 0 ;;
    esac
    # Of an ancestor only the program counts: a shell that starts both the process and
    # its check is none.
    pid=$(parent "$1") || return 1
    while [ "$pid" -gt 1 ]; do
        if tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | head -n 3 |
            sed 's,.*/,,' | grep -qxF -e "$self"; then
            return 0
        fi
        pid=$(parent "$pid") || return 1
    done
    return 1
}

# An ancestor of this check, such as the agent, is never what is monitored.
is_an_ancestor() {
    pid=$$
    while [ "$pid" -gt 1 ]; do
        [ "$pid" = "$1" ] && return 0
        pid=$(parent "$pid") || return 1
    done
    return 1
}

# Prints the first process that matches; 0 found, 1 none, 2 cannot tell.
running() {
    # A process stuck in the kernel can block whoever reads its command line.
    pids=$(timeout -k 1 1 pgrep -f -- "$pattern" 2>/dev/null)
    case $? in
    0) ;;
    1) return 1 ;;
    *) return 2 ;;
    esac
    for candidate in $pids; do
        # Asked for last, because a short-lived one cannot be told from a check any more
        # once it has gone.
        if ! is_a_check "$candidate" && ! is_an_ancestor "$candidate" &&
            parent "$candidate" >/dev/null; then
            printf '%s' "$candidate"
            return 0
        fi
    done
    return 1
}

[ $# -eq 2 ] || finish 2 "usage: health-check.sh FID PATTERN"
pattern=$2
self=${0##*/}
limit=${HAX_CHECK_TIMEOUT:-2}
fid=$(normalise "$1") || finish 2 "usage: '$1' is no fid of a process (0x7200000000000001:0x4)"
[ -n "$pattern" ] || finish 2 "usage: the pattern is empty and would match every process"
case $limit in
'' | *[!0-9]* | 0*) finish 2 "usage: HAX_CHECK_TIMEOUT is no number of seconds: '$limit'" ;;
esac
for tool in pgrep timeout; do
    command -v "$tool" >/dev/null 2>&1 || finish 2 "$fid: $tool is not installed"
done

found=$(running)
case $? in
0) ;;
1) finish 2 "$fid: no process matches '$pattern'" ;;
*) finish 2 "$fid: pgrep fails on '$pattern'" ;;
esac

# No process means critical whatever KV says; only for a running one KV is asked.
value=$(read_kv "processes/$fid") || finish 1 "$fid: pid $found runs; $value"
state=$(printf '%s' "$value" | tr '\n\r' '  ' |
    sed -n 's/.*"state"[[:space:]]*:[[:space:]]*"M0_CONF_HA_PROCESS_\([A-Z_]*\)".*/\1/p')
case $state in
STARTED | DTM_RECOVERED) finish 0 "$fid: pid $found runs, $state" ;;
STARTING | STOPPING) finish 1 "$fid: pid $found runs, $state" ;;
STOPPED) finish 2 "$fid: pid $found runs, but KV says STOPPED" ;;
*) finish 1 "$fid: pid $found runs; the status in KV is not understood" ;;
esac
