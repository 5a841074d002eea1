# qi-learn hook for bash 5.1 and newer: how tests, builds, deployments and benchmarks ended, for the
# projects registered with `qi-learn init`.
#
# Load it at the end of ~/.bashrc:   . /path/to/qi-learn.bash
#
# A line that may hold such a command is appended as JSON to this shell's own file in the spool,
# with what only the shell knows of it. What it says is decided where the spool is taken in: the
# truth, or nothing (docs/internals/decisions/0048); the line itself is not kept. No other line is
# written, no process is started, the exit status stays what it was, and if anything is missing
# nothing happens. A line that begins with a space is not written. Other hooks (DEBUG trap,
# PROMPT_COMMAND, PS0, bash-preexec) go on working. With ble.sh, which runs the lines itself, this
# file does nothing.

[[ -n ${BASH_VERSION-} && $- == *i* && -z ${_qi_learn_loaded-}${BLE_VERSION-} ]] || return 0
((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)) || return 0
[[ ${PROMPT_COMMAND@a}${PS0@a} != *r* ]] || return 0
_qi_learn_loaded=1 _qi_learn_file='' _qi_learn_size=0 _qi_learn_armed=0 _qi_learn_begin=0
_qi_learn_next=0 _qi_learn_job='' _qi_learn_line='' _qi_learn_first='' _qi_learn_from=''
_qi_learn_fresh=0 _qi_learn_direct=0 _qi_learn_count=0 _qi_learn_chained=0
_qi_learn_real='' _qi_learn_logical='' _qi_learn_listed='' _qi_learn_found='' _qi_learn_places=''
_qi_learn_list='' _qi_learn_spool='' _qi_learn_pause='' _qi_learn_looked=0 _qi_learn_now=0
_qi_learn_place='' _qi_learn_cwd=''
_qi_learn_chance='' _qi_learn_number=99999 _qi_learn_high='' _qi_learn_date='' _qi_learn_after=0
_qi_learn_until=0 _qi_learn_two=() _qi_learn_none=()
_qi_learn_took=0 _qi_learn_mid=0 _qi_learn_m=0 _qi_learn_s=0 _qi_learn_word='' _qi_learn_entry=''

# --- from qi_learn/capture/command_kind.py, by scripts/hook_patterns ---
typeset -gA _qi_learn_heads=(cargo 1 go 1 pytest 1 py.test 1 hyperfine 1 asv 1 npm 1 pnpm 1 yarn 1
    bun 1 make 1 kubectl 1 docker 1 terraform 1 vercel 1 helm 1 flyctl 1 fly 1 netlify 1
    serverless 1 ansible-playbook 1 twine 1 gcloud 1 cap 1 tox 1 nox 1 unittest 1 doctest 1 deno 1
    ctest 1 jest 1 vitest 1 mocha 1 playwright 1 rspec 1 rake 1 rails 1 phpunit 1 gradle 1
    gradlew 1 mvn 1 mvnw 1 dotnet 1 bazel 1 mix 1 swift 1 zig 1 stack 1 cabal 1 sbt 1 just 1
    meson 1 py_compile 1 compileall 1 tsc 1 mypy 1 pyright 1 basedpyright 1 ty 1 cmake 1 ninja 1
    gcc 1 g++ 1 clang 1 clang++ 1 cc 1 c++ 1 rustc 1 javac 1 kotlinc 1 swiftc 1 ghc 1 nvcc 1 ruff 1
    flake8 1 pylint 1 eslint 1)
typeset -gA _qi_learn_before=(env 2 time 2 nice 2 nohup 2 sudo 2 xvfb-run 2 exec 2 run 2 npx 2
    bunx 2 uvx 2 uv 2 pipx 2 poetry 2 pdm 2 hatch 2 pipenv 2 rye 2 bundle 2 coverage 2)
# --- end ---

# --- what is outside: project, history, spool ---

# Set REPLY to what a builtin prints, and _qi_learn_entry to the last entry of the history. A command
# substitution would start a process; this goes by way of a file that bash has unlinked before it is
# written (a pipe could fill up, and stop the shell).
if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 503)); then
    eval '_qi_learn_noted() { REPLY=${ builtin "$@"; }; }
        _qi_learn_last() { local HISTTIMEFORMAT= && _qi_learn_entry=${ builtin history 1; }; }'
else
    _qi_learn_noted() {
        local BASH_COMPAT=50 TMPDIR=/dev/shm _qi_learn_note=()
        { builtin "$@" >/proc/self/fd/9 && mapfile -u 9 -d '' -t _qi_learn_note; } 9<<<''
        REPLY=${_qi_learn_note[0]%$'\n'}
        [[ -n $REPLY ]]
    }
    _qi_learn_last() {
        local HISTTIMEFORMAT='' BASH_COMPAT=50 TMPDIR=/dev/shm note=() || return 1
        { builtin history 1 >/proc/self/fd/9 && mapfile -u 9 -d '' -t note; } 9<<<''
        _qi_learn_entry=${note[0]%$'\n'}
    }
fi

# Set _qi_learn_list, _qi_learn_spool and _qi_learn_pause to where the projects are listed, the
# events go, and a pause is told.
_qi_learn_find() {
    local data state
    if [[ $OSTYPE == darwin* ]]; then
        data="$HOME/Library/Application Support/qi-learn" state=$data
    else
        data=$HOME/.local/share/qi-learn state=$HOME/.local/state/qi-learn
    fi
    [[ -z ${XDG_DATA_HOME-} ]] || data=$XDG_DATA_HOME/qi-learn
    [[ -z ${XDG_STATE_HOME-} ]] || state=$XDG_STATE_HOME/qi-learn
    [[ -z ${QI_LEARN_HOME-} ]] ||
        data=${QI_LEARN_HOME/#\~/$HOME}/data state=${QI_LEARN_HOME/#\~/$HOME}/state
    _qi_learn_list=$data/projects.json _qi_learn_spool=$state/spool _qi_learn_file=''
    _qi_learn_pause=$state/pause.json
    _qi_learn_places=${QI_LEARN_HOME-}:${XDG_DATA_HOME-}:${XDG_STATE_HOME-}:$HOME
}

# Set _qi_learn_found to the registered project that holds the working directory, the innermost one,
# and _qi_learn_real to the directory without links; fail outside all of them. _qi_learn_place and
# _qi_learn_cwd are what a line of JSON says of the two.
_qi_learn_project() {
    local line path text=() found= REPLY
    [[ ${QI_LEARN_HOME-}:${XDG_DATA_HOME-}:${XDG_STATE_HOME-}:$HOME == "$_qi_learn_places" ]] ||
        _qi_learn_find
    _qi_learn_looked=$_qi_learn_now
    mapfile -d '' -t text <"$_qi_learn_list"
    if [[ $PWD == "$_qi_learn_logical" && $PWD -ef $_qi_learn_real ]]; then
        if [[ ${text[0]-} == "$_qi_learn_listed" ]]; then
            [[ -n $_qi_learn_found ]]
            return
        fi
    else
        _qi_learn_found=
        _qi_learn_noted pwd -P || return 1
        _qi_learn_real=$REPLY _qi_learn_logical=$PWD
    fi
    while IFS= read -r line; do
        [[ $line == *\"*\"* ]] || continue
        path=${line#*\"} path=${path%\"*}
        if [[ $path == *\\* ]]; then
            path=${path//\\\"/\"}
            [[ $path != *\\u* ]] || printf -v path '%b' "$path" # a list of version 0.1
            path=${path//\\\\/\\}
        fi
        [[ $_qi_learn_real/ == "${path%/}"/* || $PWD/ == "${path%/}"/* ]] || continue
        ((${#path} > ${#found})) && found=$path
    done <<<"${text[0]-}"
    _qi_learn_listed=${text[0]-} _qi_learn_found=$found
    _qi_learn_escaped "$found"
    _qi_learn_place='"kind":"outcome","source":"bash","author":"person","project":"'$REPLY'"'
    _qi_learn_escaped "$_qi_learn_real" && _qi_learn_cwd=$REPLY
    [[ -n $found ]]
}

# Whether there is a project to write for, and a file to write to. What is known of the project holds
# if the list of projects is older than what was written last; a list that was being written just
# then is read within a minute.
_qi_learn_known() {
    [[ $_qi_learn_list -ot $_qi_learn_file && -e $_qi_learn_list && -n $_qi_learn_found &&
        $PWD == "$_qi_learn_logical" && $PWD -ef $_qi_learn_real &&
        $QI_LEARN_HOME:$XDG_DATA_HOME:$XDG_STATE_HOME:$HOME == "$_qi_learn_places" ]] &&
        ((_qi_learn_now - _qi_learn_looked < 60000000 && _qi_learn_size < 8388608)) ||
        { _qi_learn_project && _qi_learn_ready; }
}

# Set REPLY to a text as it stands within a JSON string.
_qi_learn_escaped() {
    REPLY=$1
    local LC_ALL=C text=$1 i char code
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    text=${text//$'\r'/\\r}
    if [[ $text == *[$'\x01'-$'\x1f']* ]]; then
        for ((i = 1; i < 32; i++)); do
            printf -v code '%02x' "$i"
            printf -v char '%b' "\\x$code"
            text=${text//"$char"/\\u00$code}
        done
    fi
    REPLY=$text
}

# Set _qi_learn_file to this shell's own file (0600); fail if there is no spool.
_qi_learn_open() {
    local spool=$_qi_learn_spool mask REPLY
    [[ -d $spool && -w $spool ]] || return 1
    _qi_learn_noted umask && mask=$REPLY || return 1
    _qi_learn_file=$spool/bash-$$-${EPOCHREALTIME/[.,]/}000.jsonl _qi_learn_size=0
    umask 077
    : >>"$_qi_learn_file"
    umask "$mask"
}

# Set what changes seldom, for a line at $1 (microseconds): date and hour, and of an id the first
# letters and once this shell's chance, and when they hold. The next four of an id are a number that
# grows with the time within 17 minutes: an id is a ULID to about that, and with its count one that
# cannot come again.
_qi_learn_anew() {
    local letters=0123456789ABCDEFGHJKMNPQRSTVWXYZ i ms=$(($1 / 1000))
    ((_qi_learn_took >= 0 || (_qi_learn_took = 0))) # the clock was set back
    ((_qi_learn_number <= 900000 || (_qi_learn_number = 100000)))
    ((_qi_learn_after = $1 / 3600000000 * 3600000000, _qi_learn_until = _qi_learn_after + 3600000000,
        i = ms >> 20, _qi_learn_after = i * 1048576000 > _qi_learn_after ? i * 1048576000 :
        _qi_learn_after, i = (i + 1) * 1048576000,
        _qi_learn_until = i < _qi_learn_until ? i : _qi_learn_until))
    TZ=UTC printf -v _qi_learn_date '%(%Y-%m-%dT%H)T' "$(($1 / 1000000))"
    _qi_learn_high=
    for ((i = 45; i >= 20; i -= 5)); do _qi_learn_high+=${letters:ms >> i & 31:1}; done
    [[ -z $_qi_learn_chance ]] || return 0
    for ((i = 0; i < 10; i++)); do _qi_learn_chance+=${letters:SRANDOM & 31:1}; done
    for ((i = 100; i < 160; i++)); do _qi_learn_two+=("${i:1}"); done
}

# Whether a pause (`qi-learn pause`) holds now. One that has no end, or cannot be read, does.
_qi_learn_paused() {
    local until=
    IFS= read -r until <"$_qi_learn_pause"
    until=${until#*\"until\": } until=${until%%,*}
    [[ -z $until || $until == *[!0-9]* ]] || ((until > _qi_learn_now / 1000000))
}

# Make sure of a file to write to; fail if there is none.
_qi_learn_ready() {
    [[ $_qi_learn_size -lt 8388608 && -n $_qi_learn_file && -e $_qi_learn_file ]] || _qi_learn_open
}

# Append the line $1 as it stands in JSON, its exit code and what else is known of it, but not in a
# pause. It is put together of texts and of numbers that need no padding: what `printf` pads costs
# more, and so do locals.
_qi_learn_write() {
    [[ ! -e $_qi_learn_pause ]] || ! _qi_learn_paused || return 0
    ((_qi_learn_took = _qi_learn_now - _qi_learn_begin, _qi_learn_number++,
        _qi_learn_size += 600 + ${#1}, _qi_learn_mid = (_qi_learn_now / 256000 & 4095) + 1000,
        _qi_learn_s = _qi_learn_now / 1000000 % 60, _qi_learn_m = _qi_learn_now / 60000000 % 60,
        _qi_learn_took >= 0 && _qi_learn_now < _qi_learn_until &&
        _qi_learn_now >= _qi_learn_after)) || _qi_learn_anew "$_qi_learn_now"
    printf '%s\n' "{\"v\":1,\"id\":\"$_qi_learn_high$_qi_learn_mid$_qi_learn_chance\
$_qi_learn_number\",\"ts\":\"$_qi_learn_date:${_qi_learn_two[_qi_learn_m]}:\
${_qi_learn_two[_qi_learn_s]}.${_qi_learn_now: -6:3}Z\",$_qi_learn_place,\"body\":{\
\"line\":\"$1\",\"code\":$2,\"seconds\":${_qi_learn_took}e-6,\"cwd\":\"$_qi_learn_cwd\"$3}}" \
        >>"$_qi_learn_file"
}

# --- what is known of a line ---

# Whether a line may hold a command of ours, which most do not; `aliases` and `functions` get those
# among the words that it runs. If such a word is a plain one, and none that may stand before a
# command, the others need no looking at.
_qi_learn_ours() {
    local piece word ours=1 IFS=';|&'
    for piece in $1; do
        [[ $piece != @(|[0-9]*) ]] || continue # as behind 2>&1
        word=${piece#"${piece%%[! ]*}"} word=${word%% *}
        case ${_qi_learn_heads[${word:-.}]-}${_qi_learn_before[${word:-.}]-}$word in
            1*) ours=0 ;;
            '' | py* | *[!A-Za-z0-9_.+]* | 2*)
                _qi_learn_words "$piece"
                continue
                ;;
        esac
        [[ -z ${BASH_ALIASES[${word:-.}]-} ]] || _qi_learn_alias "$word"
        declare -F -- "$word" && functions+=" $word"
    done
    return $ours
}

# The same for all words of a text: sets `ours`.
_qi_learn_words() {
    local word IFS=$' \t\n;|&/=('
    for word in $1; do
        [[ -n $word ]] || continue
        [[ -z ${_qi_learn_heads[$word]-}${_qi_learn_heads[${word%-*}]-} ]] || ours=0
        [[ $word == *[!A-Za-z0-9_.:@%+,-]* ]] && continue
        [[ $word != [A-Za-z_]* || -z ${BASH_ALIASES[$word]-} ]] || _qi_learn_alias "$word"
        declare -F -- "$word" && functions+=" $word"
    done
}

# Add an alias, and what is in it, if there is anything.
_qi_learn_alias() {
    [[ $seen != *" $1 "* && :$BASHOPTS: == *:expand_aliases:* ]] || return 0
    local text=${BASH_ALIASES[$1]} REPLY
    seen+="$1 "
    _qi_learn_escaped "$text"
    aliases+=",\"$1\":\"$REPLY\""
    _qi_learn_ours "$text" && ours=0
    [[ $text != *[[:space:]] ]] || _qi_learn_words "$line" # the word behind it may be one
}

# Whether a variable that cannot be set is to be set in the line $1, before one of its commands. What
# is quoted may look like that: then the line says nothing.
_qi_learn_fixed() {
    local _qi_learn_name _qi_learn_first=1 IFS=$' \t\n'
    [[ $1 != *[*?[]* ]] || { local - && set -f; }
    for _qi_learn_name in $1; do
        if [[ -n $_qi_learn_first && $_qi_learn_name == [A-Za-z_]*=* ]]; then
            _qi_learn_first=${_qi_learn_name%%=*}
            [[ $_qi_learn_first != *[!A-Za-z0-9_]* && ${!_qi_learn_first@a} == *r* ]] && return 0
        elif [[ $_qi_learn_name != @(time|-p) ]]; then
            _qi_learn_first=
        fi
        [[ $_qi_learn_name != *[\;\|\&] ]] || _qi_learn_first=1
    done
    return 1
}

# Write down a line of one command of plain words, as most lines are, that ended with exit code $1.
_qi_learn_simple() {
    (($1 < 145 || $1 > 150)) && ! declare -F -- "$_qi_learn_word" >/dev/null &&
        _qi_learn_known && _qi_learn_write "$_qi_learn_first" "$1" ''
}

# Write down any other line, that ended with exit code $1; the rest is that of its last pipeline. If
# it is not new in the history (like the line before, or hidden), the last pipeline and job say
# whether it may be that line.
_qi_learn_ended() {
    local IFS=$' \t\n' line=$_qi_learn_line seen=' ' aliases= functions= more= REPLY
    [[ -n $line && $line != [[:space:]]* && $line != *$'\n'* ]] || return 0
    ((_qi_learn_fresh)) || { ((_qi_learn_direct && _qi_learn_count == 1)) &&
        [[ $# -eq 2 && $1 == "$2" && ${!-} == "$_qi_learn_job" ]] && more=',"alone":1'; } ||
        return 0
    [[ $line != *[*?[]* ]] || { local - && set -f; }
    _qi_learn_ours "$line" >/dev/null || return 0
    _qi_learn_known || return 0
    [[ $# -lt 3 ]] || more+=",\"pipes\":\"${*:2}\""
    [[ $PWD == "$_qi_learn_from" ]] || more+=',"moved":1'
    if [[ $line == *[*?[\$=]* ]]; then
        [[ $line == *=* ]] && _qi_learn_fixed "$line" && return 0
        more+=",\"options\":\"$_qi_learn_options"
        [[ :$BASHOPTS: != *:failglob:* ]] || more+=,failglob
        more+=\"
    fi
    [[ -z $aliases ]] || more+=",\"aliases\":{${aliases:1}}"
    [[ -z $functions ]] || more+=",\"functions\":\"${functions:1}\""
    if [[ $_qi_learn_first != "$line" ]]; then
        REPLY=$_qi_learn_first
        [[ $REPLY != *[\\\"$'\x01'-$'\x1f']* ]] || _qi_learn_escaped "$REPLY"
        more+=",\"first\":\"$REPLY\""
    fi
    if [[ $line == *[\\\"$'\x01'-$'\x1f']* ]]; then
        _qi_learn_escaped "$line" && line=$REPLY
    fi
    ((_qi_learn_size += 3 * ${#line} + 4 * ${#more})) # a letter may be of four bytes
    _qi_learn_write "$line" "$1" "$more"
}

# --- when ---

# PS0 arms this trap (1; then 2, and 3 while the history is not read). A line that is new in the
# history, of one command and of plain words, needs no more looking at: 4. The first command after
# PS0 looks at the history if it is one of ours or may change the history; else the second does,
# which most lines have not. Then its last entry is the line that begins, if the history took it.
# Later commands are only counted.
_qi_learn_debug() {
    ((_qi_learn_armed & 3)) || return 0
    if ((_qi_learn_armed == 1)); then
        _qi_learn_begin=${EPOCHREALTIME/[.,]/} _qi_learn_first=$BASH_COMMAND _qi_learn_line=
        _qi_learn_from=$PWD _qi_learn_word=${_qi_learn_first%% *} _qi_learn_entry=
        ((_qi_learn_count = 1, _qi_learn_armed = 2, _qi_learn_direct = ${#FUNCNAME[@]} == 1))
        if [[ -n ${_qi_learn_heads[${_qi_learn_word:-.}]-} && -o history && $- != *[eux]* &&
            ! -o posix ]] && _qi_learn_last && [[ -z ${BASH_ALIASES[$_qi_learn_word]-} &&
            $_qi_learn_entry == *" $_qi_learn_next  $_qi_learn_first" &&
            $_qi_learn_first != *[!A-Za-z0-9_./:@%+,\ -]* ]]; then
            _qi_learn_armed=4 _qi_learn_fresh=1 _qi_learn_line=$_qi_learn_first
        else
            _qi_learn_read "$_qi_learn_direct"
        fi
    elif ((${#FUNCNAME[@]} == 1)); then
        _qi_learn_later
    fi
    return 0
} 2>/dev/null

# Count a later command of a line; the second looks at the history if the first left that to it.
_qi_learn_later() {
    [[ ${PROMPT_COMMAND[*]-} == *"$BASH_COMMAND"* ]] && return 0
    ((_qi_learn_count++, _qi_learn_armed == 3)) || return 0
    _qi_learn_armed=2 _qi_learn_entry=
    _qi_learn_read 0
}

# Set _qi_learn_line to the last line of the history, and _qi_learn_fresh to whether it is new. If
# $1 is 1, the first command may leave that to the second: if it is none of ours and none that may
# change the history. _qi_learn_entry is the last entry of it, if it was read.
_qi_learn_read() {
    local word=${_qi_learn_first%% *}
    [[ $- != *[eux]* && ! -o posix ]] || { local - && set +eux +o posix; }
    [[ -o history ]] || return 1
    if [[ -z ${_qi_learn_heads[${word:-.}]-} ]]; then
        (($1)) && [[ ' . source eval history fc ' != *" $word "* ]] &&
            ! _qi_learn_begins "$word" && ! declare -F -- "$word" >/dev/null &&
            _qi_learn_armed=3 && return 0
    fi
    [[ -n $_qi_learn_entry ]] || _qi_learn_last || return 1
    local entry=$_qi_learn_entry
    local number=${entry:0:5} line=${entry:7} # five letters, a space or *, a space
    [[ ${entry:5:1} != [0-9] ]] || number=${entry%%[!0-9]*} line=${entry#*[!0-9]?}
    _qi_learn_fresh=$((${number:-0} == _qi_learn_next))
    _qi_learn_line=$line
}

# Whether a first command that begins with the word $1, none of ours, may be one of ours.
_qi_learn_begins() {
    [[ $1 == *[!A-Za-z0-9_.+]* || $1 == py* || -n ${_qi_learn_before[${1:-.}]-} ]] || return 1
    [[ $_qi_learn_first != *[*?[]* ]] || { local - && set -f; }
    local ours=1 aliases functions seen line
    _qi_learn_words "$_qi_learn_first" >/dev/null
    return "$ours"
}

# An element of PROMPT_COMMAND of its own: there bash gives $? and PIPESTATUS as the line left them,
# whatever stands in the others.
_qi_learn_precmd() {
    local code=$? pipes=("${PIPESTATUS[@]}")
    _qi_learn_now=${EPOCHREALTIME/[.,]/}
    if [[ $_qi_learn_armed == 4 && ${#FUNCNAME[@]} == 1 && $- != *[eux]* && ! -o posix ]]; then
        _qi_learn_armed=0
        _qi_learn_simple "$code"
    elif [[ $_qi_learn_armed == 3 && ${PS0-} == *_qi_learn_armed* ]]; then # none of ours
        _qi_learn_armed=0
    else
        _qi_learn_prompt
    fi
    _qi_learn_next=$HISTCMD _qi_learn_job=${!-}
    return 0
} 2>/dev/null

# Write down what is known of all other lines, and see to it that the next one is seen.
_qi_learn_prompt() {
    local armed=$_qi_learn_armed _qi_learn_options=$- REPLY
    [[ $- != *[eux]* && ! -o posix ]] || { local - && set +eux +o posix; }
    _qi_learn_armed=0
    ((armed < 4)) || armed=2
    if ((${#FUNCNAME[@]} > 2)); then # called by bash-preexec, first thing
        [[ ${#FUNCNAME[@]} -eq 3 && ${FUNCNAME[2]} == __bp_precmd_invoke_cmd &&
            $PROMPT_COMMAND == __bp_precmd_invoke_cmd* ]] || armed=0
        pipes=("${BP_PIPESTATUS[@]}")
    fi
    ((armed == 2)) && _qi_learn_ended "$code" "${pipes[@]}"
    ((armed == 1 || armed == 2 && !_qi_learn_direct)) && _qi_learn_look
    [[ ${PS0-} == *_qi_learn_armed* ]] || PS0=$_qi_learn_arm${PS0-}
}

# Put the DEBUG trap first, before that of others; $1 is what `trap -p` says, which it does not say
# within a function.
_qi_learn_chain() {
    local i theirs=()
    for i in "${!PROMPT_COMMAND[@]}"; do
        [[ ${PROMPT_COMMAND[i]} != "$_qi_learn_chaining" ]] || unset "PROMPT_COMMAND[$i]"
    done
    [[ $1 != "trap -- '_qi_learn_debug "* ]] || return 0
    [[ -z $1 ]] || eval "theirs=($1)"
    trap -- '_qi_learn_debug "$_"'"${theirs[2]:+$'\n'${theirs[2]}}" DEBUG
}
_qi_learn_chaining='_qi_learn_chain "$(trap -p DEBUG)"'

# Look at the next prompt whether the trap is still ours, at most a few times.
_qi_learn_look() {
    ((_qi_learn_chained++ < 5)) && PROMPT_COMMAND+=("$_qi_learn_chaining")
}

_qi_learn_arm='${_qi_learn_none[_qi_learn_armed=1]-}'
_qi_learn_load() {
    PS0=$_qi_learn_arm${PS0-}
    if [[ -n ${__bp_imported-} && -z ${bash_preexec_imported-} ]]; then # before 0.5: no elements
        precmd_functions+=(_qi_learn_precmd)
        PROMPT_COMMAND=("${PROMPT_COMMAND[@]-}" "$_qi_learn_chaining")
    else
        PROMPT_COMMAND=("${PROMPT_COMMAND[@]-}" _qi_learn_precmd "$_qi_learn_chaining")
    fi
}
_qi_learn_load
unset -f _qi_learn_load
return 0
