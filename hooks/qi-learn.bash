# qi-learn hook for bash 5.1 and newer: how tests, builds, deployments and benchmarks ended, for the
# projects registered with `qi-learn init`.
#
# Load it at the end of ~/.bashrc:   . /path/to/qi-learn.bash
#
# A line that runs such a command is appended to this shell's own file in the spool, as the history
# has it, with what only the shell knows of it. What it says is decided where the spool is taken in:
# the truth, or nothing (docs/internals/decisions/0048, 0049); the line itself is not kept. No other
# line is written, no process is started, the exit status stays what it was, and if anything is
# missing nothing happens. A line that begins with a space is not written. Other hooks (DEBUG trap,
# PROMPT_COMMAND, PS0, bash-preexec) go on working. With ble.sh, which runs the lines itself, this
# file does nothing.

[[ -n ${BASH_VERSION-} && $- == *i* && -z ${_qi_learn_loaded-}${BLE_VERSION-} ]] || return 0
((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501)) || return 0
[[ ${PROMPT_COMMAND@a}${PS0@a} != *r* ]] || return 0
_qi_learn_loaded=1 _qi_learn_file='' _qi_learn_lines=0 _qi_learn_armed=0 _qi_learn_begin=0
_qi_learn_next=0 _qi_learn_number=0 _qi_learn_count=0 _qi_learn_direct=1 _qi_learn_raw=''
_qi_learn_first='' _qi_learn_from='' _qi_learn_job='' _qi_learn_entry='' _qi_learn_alone=''
_qi_learn_names='' _qi_learn_told='' _qi_learn_code=0 _qi_learn_pipes=0 _qi_learn_word=''
_qi_learn_options='' _qi_learn_traced=''
_qi_learn_real='' _qi_learn_logical='' _qi_learn_listed='' _qi_learn_found='' _qi_learn_places=''
_qi_learn_list='' _qi_learn_spool='' _qi_learn_pause='' _qi_learn_looked=0 _qi_learn_known=''
_qi_learn_form='' _qi_learn_chained=0 _qi_learn_none=()
_qi_learn_fields='begin=%s\0end=%s\0code=%s\0pipes=%s\0from=%s\0to=%s\0options=%s\0'
_qi_learn_fields+='shopt=%s\0number=%s\0count=%s\0alone=%s\0first=%s\0line='

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
for _qi_learn_word in "${!_qi_learn_before[@]}"; do _qi_learn_heads[$_qi_learn_word]=2; done
for _qi_learn_word in history fc eval source .; do _qi_learn_heads[$_qi_learn_word]=3; done
unset _qi_learn_before

# --- what is outside: project, history, spool ---

# Set REPLY to what a builtin prints. A command substitution would start a process; this goes by way
# of a file that bash has unlinked before it is written (a pipe could fill up, and stop the shell;
# and bash reads one letter at a time from it, as it does up to any end but that of a line).
if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 503)); then
    eval '_qi_learn_noted() { REPLY=${ builtin "$@"; }; }'
else
    _qi_learn_noted() {
        local BASH_COMPAT=50 TMPDIR=/dev/shm note
        { builtin "$@" >/proc/self/fd/9 && mapfile -u 9 -t note; } 2>/dev/null 9<<<''
        REPLY=${note[0]}
        [[ -z ${note[1]+x} ]] || { printf -v REPLY '%s\n' "${note[@]}" && REPLY=${REPLY%$'\n'}; }
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
# and _qi_learn_real to the directory without links; fail outside all of them. _qi_learn_form is how
# a line is written.
_qi_learn_project() {
    local line path text=() found= REPLY
    _qi_learn_known=
    [[ ${QI_LEARN_HOME-}:${XDG_DATA_HOME-}:${XDG_STATE_HOME-}:$HOME == "$_qi_learn_places" ]] ||
        _qi_learn_find
    mapfile -d '' -t text <"$_qi_learn_list"
    if [[ $PWD == "$_qi_learn_logical" && $PWD -ef $_qi_learn_real ]]; then
        if [[ ${text[0]-} == "$_qi_learn_listed" ]]; then
            _qi_learn_find_known
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
    _qi_learn_escaped "$found" && found=$REPLY
    _qi_learn_escaped "$_qi_learn_real"
    REPLY='"project":"'$found'","body":{"cwd":"'$REPLY'"}}'
    REPLY='{"v":1,"kind":"outcome","source":"bash","author":"person",'${REPLY//\\/\\\\}
    _qi_learn_form="${REPLY//%/%%}\0\0$_qi_learn_fields"
    _qi_learn_find_known
}

# Set _qi_learn_known to what must be the same for what is known to hold; fail outside of projects.
_qi_learn_find_known() {
    [[ -n $_qi_learn_found ]] && _qi_learn_known=$PWD:$_qi_learn_places
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
    _qi_learn_file=$spool/bash-$$-${EPOCHREALTIME/[.,]/}000.jsonl _qi_learn_lines=0
    umask 077
    : >>"$_qi_learn_file"
    umask "$mask"
}

# Whether a pause (`qi-learn pause`) holds now. One that has no end, or cannot be read, does.
_qi_learn_paused() {
    local until=
    IFS= read -r until <"$_qi_learn_pause"
    until=${until#*\"until\": } until=${until%%,*}
    [[ -z $until || $until == *[!0-9]* ]] || ((until > EPOCHSECONDS))
}

# Whether a line may be written now; sees to the project and the file, which hold for a minute.
_qi_learn_allowed() {
    _qi_learn_project || return
    _qi_learn_looked=$EPOCHSECONDS
    [[ $_qi_learn_lines -lt 1024 && -n $_qi_learn_file && -e $_qi_learn_file ]] ||
        _qi_learn_open || return
    [[ ! -e $_qi_learn_pause ]] || ! _qi_learn_paused
}

# --- what is known of a line ---

# Set _qi_learn_entry to the last entry of the history, if it may be written: it is the line, or
# holds its first command, and is not hidden by a blank, nor of several lines.
_qi_learn_read() {
    local REPLY text
    [[ -z ${HISTTIMEFORMAT-} ]] || local HISTTIMEFORMAT='' 2>/dev/null || return 1
    [[ -o history ]] && _qi_learn_noted history 1 && text=${REPLY:5} || return 1
    if [[ " ${REPLY:0:5}" != *" $_qi_learn_number" ]]; then # it has more letters, or is another
        text=${REPLY#"$_qi_learn_number"}
        [[ $text != "$REPLY" ]] || return 1
    fi
    [[ $text == [\ *]\ [![:space:]]* && $text != *$'\n'* &&
        (-z $_qi_learn_alone || $text == *"$_qi_learn_first"*) ]] && _qi_learn_entry=$REPLY
}

# Arm for the text of a command that does not begin with the plain word of one of ours if one of its
# words is; not if a variable is to be set in it that cannot be. Its words may be functions.
_qi_learn_look_at() {
    local _qi_learn_name IFS=$' \t\n;|&/=('
    [[ $- != *[eux]* && $1 != *[*?[]* ]] || { local - && set +eux -f; }
    for _qi_learn_name in $1; do
        _qi_learn_word=${_qi_learn_name%-*}
        [[ ${_qi_learn_heads[${_qi_learn_name:-.}]-}${_qi_learn_heads[${_qi_learn_word:-.}]-} \
            != *1* ]] || _qi_learn_armed=3
        [[ $_qi_learn_name != [A-Za-z_]* || $_qi_learn_name == *[!A-Za-z0-9_.:@%+,-]* ]] ||
            _qi_learn_names+=" $_qi_learn_name"
    done
    IFS=$' \t\n'
    for _qi_learn_name in $1; do
        [[ $_qi_learn_name == [A-Za-z_]*=* ]] || return 0
        _qi_learn_name=${_qi_learn_name%%=*}
        [[ $_qi_learn_name == *[!A-Za-z0-9_]* || ${!_qi_learn_name@a} != *r* ]] || _qi_learn_armed=0
    done
}

# Write down the line that ended, if it is for certain the one that ran. One that is not new in the
# history (like the line before, or hidden) is if it is one command that ran in the foreground. What
# is known of the project holds if the list of projects is older than what was written last; a list
# that was being written just then is read within a minute. $1: the options are as they are to be.
#
# The texts have NUL between them, which no text holds. What the shell need not know, it passes on:
# the history, the aliases, which names are functions.
_qi_learn_tell() {
    if [[ -z $1 ]]; then
        _qi_learn_options=$-
        [[ $IFS${HISTTIMEFORMAT-} == $' \t\n' && $- != *[eux]* && ! -o posix ]] ||
            { _qi_learn_careful; return 0; }
    fi
    ((HISTCMD == _qi_learn_number + 1)) || [[ -n $_qi_learn_entry ]] || return 0
    [[ -z $_qi_learn_alone ]] || _qi_learn_is_alone || return 0
    [[ $_qi_learn_list -ot $_qi_learn_file && -e $_qi_learn_list && $PWD -ef $_qi_learn_real &&
        $PWD:$QI_LEARN_HOME:$XDG_DATA_HOME:$XDG_STATE_HOME:$HOME == "$_qi_learn_known" &&
        ! -e $_qi_learn_pause ]] &&
        ((EPOCHSECONDS < _qi_learn_looked + 60 && _qi_learn_lines < 1024)) ||
        _qi_learn_allowed 2>/dev/null || return 0
    [[ -n $_qi_learn_raw$_qi_learn_entry ]] || { _qi_learn_read && _qi_learn_entry=; } || return 0
    _qi_learn_told="$_qi_learn_number $_qi_learn_first"
    ((_qi_learn_lines++))
    {
        printf "$_qi_learn_form" "$_qi_learn_begin" "$EPOCHREALTIME" "$_qi_learn_code" \
            "$_qi_learn_pipes" "$_qi_learn_from" "$PWD" "$_qi_learn_options" "$BASHOPTS" \
            "$_qi_learn_number" "$_qi_learn_count" "$_qi_learn_alone" "$_qi_learn_first" &&
            ${_qi_learn_entry:+_qi_learn_say} builtin history 1 && printf '\0names=' || return 0
        declare -F -- $_qi_learn_names
        alias -p && printf '\0\n'
    } 2>/dev/null >>"$_qi_learn_file"
}
_qi_learn_say() { printf '%s\n' "$_qi_learn_entry"; }

# Whether a line that is not new in the history was one command that ran in the foreground.
_qi_learn_is_alone() {
    [[ $_qi_learn_count$_qi_learn_direct == 11 && $_qi_learn_pipes == "$_qi_learn_code" &&
        ${!-} == "$_qi_learn_job" ]]
}

# Tell the line whatever the options are.
_qi_learn_careful() {
    local - IFS=$' \t\n'
    set +eux +o posix
    [[ -z ${HISTTIMEFORMAT-} ]] || local HISTTIMEFORMAT=''
    _qi_learn_tell 1
} 2>/dev/null

# --- when ---

# PS0 arms this trap (1). It looks at each command of a line (2); one in which a command of ours ran
# (3) is told at the prompt. HISTCMD is the number of the last entry of the history as long as a
# line runs, and one more at the prompt: so it says whether the line is new there. A function costs
# bash by its length, even what does not run of it: so what is seldom needed has its own.
_qi_learn_debug() {
    case $_qi_learn_armed$- in # leaves $? as it is
        [04]*) return 0 ;;
        *x*) { local - && set +x && _qi_learn_traced=1; } 2>/dev/null ;;&
        [23]*)
            case $BASH_COMMAND in
                _qi_learn_precmd) return 0 ;;
                *) _qi_learn_later && return 0 ;;
            esac
            ;;
        *)
            _qi_learn_begin=$EPOCHREALTIME _qi_learn_number=$HISTCMD _qi_learn_first=$BASH_COMMAND
            _qi_learn_previous=$BASH_COMMAND
            _qi_learn_from=$PWD _qi_learn_direct=${#FUNCNAME[@]} _qi_learn_count=1
            _qi_learn_armed=2 _qi_learn_entry= _qi_learn_alone= _qi_learn_names= _qi_learn_raw=
            if [[ $_qi_learn_number/$_qi_learn_direct != "$_qi_learn_next/1" ]]; then
                _qi_learn_unsure || :
            elif [[ ${HISTCONTROL-} == *ignore[sb]* ]]; then # what is to be hidden is hidden
                _qi_learn_raw=1
            fi
            ;;
    esac
    _qi_learn_word=${BASH_COMMAND%% *}
    case ${_qi_learn_heads[${_qi_learn_word:=.}]-} in
        1) _qi_learn_armed=3 _qi_learn_names+=" $_qi_learn_word" ;;
        *)
            if [[ $_qi_learn_word == py* || $_qi_learn_word == *[!A-Za-z0-9_.+]* ||
                ${_qi_learn_heads[$_qi_learn_word]-} ]]; then
                _qi_learn_odd || :
            else
                _qi_learn_names+=" $_qi_learn_word"
            fi
            ;;
    esac
    return 0
}

# The first command of a line that is not new in the history, or that is seen from a function.
_qi_learn_unsure() {
    if [[ $_qi_learn_number != "$_qi_learn_next" ]]; then
        _qi_learn_alone=1
        [[ $_qi_learn_told != "$_qi_learn_number $_qi_learn_first" ]] || _qi_learn_raw=1
    elif [[ ${HISTCONTROL-} == *ignore[sb]* ]]; then
        _qi_learn_raw=1
    fi
    [[ $_qi_learn_direct == 1 ]] || { _qi_learn_read && _qi_learn_look_at "${_qi_learn_entry:7}"; }
}

# A command that does not begin with the plain word of one of ours. What may change the history has
# it read before.
_qi_learn_odd() {
    if [[ ${_qi_learn_heads[$_qi_learn_word]-} != 3 ]]; then
        _qi_learn_look_at "$BASH_COMMAND"
    elif [[ -z $_qi_learn_entry ]]; then
        _qi_learn_read || _qi_learn_armed=0
    fi
}

# A later command: fail if it is one of the line. At the prompt the line has ended. If
# PROMPT_COMMAND begins with that command, $? and PIPESTATUS are those of the line. Else they are in
# the element of ours; but what comes before that may change the history.
_qi_learn_later() {
    local code=$? pipes="${PIPESTATUS[@]}"
    [[ ${#FUNCNAME[@]} == 2 ]] || return 0
    if [[ $HISTCMD == "$_qi_learn_number" ]]; then
        # a trap on ERR shows as the command that failed, once more: not counted
        [[ $BASH_COMMAND != "$_qi_learn_previous" ]] || return 1
        _qi_learn_previous=$BASH_COMMAND
        ((_qi_learn_count++ < 64)) && return 1
        _qi_learn_armed=0
    elif [[ $_qi_learn_armed == 2 ]]; then
        _qi_learn_armed=0
    elif [[ -z $_qi_learn_traced && ${PROMPT_COMMAND[0]-} == "$BASH_COMMAND"* ]]; then
        _qi_learn_code=$code _qi_learn_pipes=$pipes
        _qi_learn_tell ''
        _qi_learn_armed=0
    else
        _qi_learn_armed=4
        [[ -n $_qi_learn_entry ]] || _qi_learn_read || _qi_learn_armed=0
    fi
    return 0
}

# An element of PROMPT_COMMAND of its own: there bash gives $? and PIPESTATUS as the line left them,
# whatever stands in the others.
_qi_learn_precmd() {
    _qi_learn_code=$? _qi_learn_pipes="${PIPESTATUS[@]}"
    [[ $- != *x* ]] || { local - && set +x; } 2>/dev/null
    case $_qi_learn_armed$_qi_learn_direct/${FUNCNAME[1]-}/$_qi_learn_traced in
        31// | 41//) _qi_learn_tell '' || : ;;
        [02]1/*/) ;;
        *) _qi_learn_ended || : ;;
    esac
    _qi_learn_armed=0
    [[ ${PS0-} == *_qi_learn_armed* ]] || PS0=$_qi_learn_arm${PS0-}
    _qi_learn_next=$HISTCMD _qi_learn_job=${!-}
    [[ ${PROMPT_COMMAND[*]: -1} == _qi_learn_precmd ]] || _qi_learn_last
    return 0
}

# What comes behind ours may read other shells' lines into the history (`history -n`): the number of
# the next line is known only after it. At the first such prompt it is not known.
_qi_learn_last() {
    local i after='_qi_learn_next=$HISTCMD'
    _qi_learn_next=
    [[ ${PROMPT_COMMAND[*]: -1} != "$after" ]] || return 0
    for i in "${!PROMPT_COMMAND[@]}"; do
        [[ ${PROMPT_COMMAND[i]} != "$after" ]] || unset "PROMPT_COMMAND[$i]"
    done
    PROMPT_COMMAND+=("$after")
}

# The end of a line that is not done with: what began it may be another's trap, or none.
_qi_learn_ended() {
    _qi_learn_traced=
    [[ $_qi_learn_armed$_qi_learn_direct == [234]1 ]] || _qi_learn_look
    [[ $_qi_learn_armed == [34] ]] || return 0
    if [[ ${#FUNCNAME[@]} != 2 ]]; then
        [[ ${#FUNCNAME[@]} == 3 && ${FUNCNAME[2]} == __bp_precmd_invoke_cmd &&
            $PROMPT_COMMAND == __bp_precmd_invoke_cmd* ]] || return 0 # bash-preexec's, first thing
        _qi_learn_pipes="${BP_PIPESTATUS[@]}"
    fi
    _qi_learn_tell '' || :
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
