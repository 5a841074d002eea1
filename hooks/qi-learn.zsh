# qi-learn hook for zsh 5: how tests, builds, deployments and benchmarks ended, for the projects
# registered with `qi-learn init`.
#
# Load it in ~/.zshrc:   source /path/to/qi-learn.zsh
#
# A line that may hold such a command is appended as JSON to this shell's own file in the spool,
# with what only the shell knows of it. What it says is decided where the spool is taken in: the
# truth, or nothing (docs/internals/decisions/0048); the line itself is not kept. No other line is
# written, no process is started, the exit status stays what it was, and if anything is missing
# nothing happens. A line that begins with a space is not written.

[[ -o interactive && -z ${_qi_learn_loaded-} ]] || return 0
zmodload zsh/datetime zsh/system zsh/parameter 2>/dev/null || return 0
zmodload -F zsh/stat b:zstat 2>/dev/null
typeset -g _qi_learn_loaded=1 _qi_learn_file='' _qi_learn_line='' _qi_learn_run='' _qi_learn_from=''
typeset -g _qi_learn_listed='' _qi_learn_found='' _qi_learn_list=''
typeset -g _qi_learn_spool='' _qi_learn_chance='' _qi_learn_high='' _qi_learn_date=''
typeset -g _qi_learn_held='' _qi_learn_cwd='' _qi_learn_pause=''
typeset -gi _qi_learn_fd=-1 _qi_learn_size=0 _qi_learn_number=99999 _qi_learn_begin=0
typeset -gi _qi_learn_after=0 _qi_learn_until=0
typeset -ga _qi_learn_two=()

# --- from qi_learn/capture/command_kind.py, by scripts/hook_patterns ---
typeset -gA _qi_learn_heads=(cargo 1 go 1 pytest 1 py.test 1 hyperfine 1 asv 1 npm 1 pnpm 1 yarn 1
    bun 1 make 1 kubectl 1 docker 1 terraform 1 vercel 1 helm 1 flyctl 1 fly 1 netlify 1
    serverless 1 ansible-playbook 1 twine 1 gcloud 1 cap 1 tox 1 nox 1 unittest 1 doctest 1 deno 1
    ctest 1 jest 1 vitest 1 mocha 1 playwright 1 rspec 1 rake 1 rails 1 phpunit 1 gradle 1
    gradlew 1 mvn 1 mvnw 1 dotnet 1 bazel 1 mix 1 swift 1 zig 1 stack 1 cabal 1 sbt 1 just 1
    meson 1 py_compile 1 compileall 1 tsc 1 mypy 1 pyright 1 basedpyright 1 ty 1 cmake 1 ninja 1
    gcc 1 g++ 1 clang 1 clang++ 1 cc 1 c++ 1 rustc 1 javac 1 kotlinc 1 swiftc 1 ghc 1 nvcc 1 ruff 1
    flake8 1 pylint 1 eslint 1)
# --- end ---
typeset -ga _qi_learn_names=("${(@k)_qi_learn_heads[@]}")

# What is below is called with the options that `_qi_learn_precmd` sets: `emulate` in each function
# would cost as much as all the rest. A call costs zsh as much as ten lines (memory of its own is
# mapped and unmapped), so what each line of ours needs stands in that one function.

# --- what is outside: project, spool ---

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
    data+=/projects.json state+=/spool
    [[ $data == "$_qi_learn_list" && $state == "$_qi_learn_spool" ]] || _qi_learn_file=
    _qi_learn_list=$data _qi_learn_spool=$state _qi_learn_pause=${state%/*}/pause.json
}

# Set _qi_learn_found to the registered project that holds the working directory, the innermost one;
# fail if there is none. It and the directory are kept as they stand in JSON, too. The list is read
# again if it is another file than before, or one that was just being written then; `places` holds
# all else that counts.
_qi_learn_project() {
    local line held text
    _qi_learn_found= _qi_learn_listed=
    _qi_learn_find
    zstat -A looked "$_qi_learn_list" || [[ -r $_qi_learn_list ]] || return 1
    (($#looked && looked[11] < EPOCHSECONDS - 2)) &&
        _qi_learn_listed="$looked[2] $looked[11] $places"
    text="$(<$_qi_learn_list)" # reads it without a process
    for line in ${(f)text}; do
        [[ $line == *\"*\"* ]] || continue
        held=${${line#*\"}%\"*}
        [[ $held != *\\u* ]] || printf -v held %b "${held//\\\\/\\\\\\\\}" # of version 0.1
        held=${held//\\\"/\"}
        held=${held//\\\\/\\}
        [[ $real/ == "${held%/}"/* || $PWD/ == "${held%/}"/* ]] || continue
        ((${#held} > ${#_qi_learn_found})) && _qi_learn_found=$held
    done
    _qi_learn_escaped "$_qi_learn_found"
    _qi_learn_held=$REPLY
    _qi_learn_escaped "$real"
    _qi_learn_cwd=$REPLY
    [[ -n $_qi_learn_found ]]
}

# Set REPLY to a text as it stands within a JSON string.
_qi_learn_escaped() {
    unsetopt multibyte
    local text=$1 code char i
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    text=${text//$'\n'/\\n}
    text=${text//$'\t'/\\t}
    text=${text//$'\r'/\\r}
    if [[ $text == *[$'\x01'-$'\x1f']* ]]; then
        for ((i = 1; i < 32; i++)); do
            printf -v code '%02x' $i
            printf -v char "\\x$code"
            text=${text//$char/\\u00$code}
        done
    fi
    REPLY=$text
}

# Open this shell's own file (0600, append); fail if there is no spool.
_qi_learn_open() {
    local spool=$_qi_learn_spool now=$EPOCHREALTIME
    [[ -d $spool && -w $spool ]] || return 1
    ((_qi_learn_fd >= 0)) && exec {_qi_learn_fd}>&-
    _qi_learn_fd=-1 _qi_learn_size=0 _qi_learn_file=$spool/zsh-$$-${${now/[.,]/}[1,16]}000.jsonl
    sysopen -w -a -m 600 -o creat,cloexec -u _qi_learn_fd "$_qi_learn_file"
}

# Set the date and what an id begins with, once in 18 minutes: the first letters of a ULID of the
# time. The chance of this shell and a count make it one that cannot come again.
_qi_learn_id() {
    local letters=0123456789ABCDEFGHJKMNPQRSTVWXYZ
    local -i i at
    local -i day=$((now / 86400000000 * 86400000000)) quarter=$((now >> 30 << 30))
    ((_qi_learn_after = quarter > day ? quarter : day, quarter += 1 << 30, day += 86400000000,
        _qi_learn_until = quarter < day ? quarter : day))
    ((_qi_learn_number <= 900000)) || _qi_learn_number=100000
    TZ=UTC strftime -s _qi_learn_date '%Y-%m-%dT' $((now / 1000000))
    if [[ -z $_qi_learn_chance ]]; then
        for ((i = 45; i >= 0; i -= 5)); do
            ((at = ((($$ << 20 ^ now) >> i ^ RANDOM) & 31) + 1))
            _qi_learn_chance+=$letters[at]
        done
        for ((i = 0; i < 60; i++)); do _qi_learn_two+=(${(l:2::0:)i}); done
    fi
    _qi_learn_high=
    for ((i = 45; i >= 20; i -= 5)); do
        ((at = ((now / 1000) >> i & 31) + 1))
        _qi_learn_high+=$letters[at]
    done
}

# Whether a pause (`qi-learn pause`) holds at $1 (seconds). One that has no end, or cannot be read,
# does.
_qi_learn_paused() {
    local until=
    IFS= read -r until <"$_qi_learn_pause"
    until=${${until#*\"until\": }%%,*}
    [[ -z $until || $until == *[^0-9]* ]] || ((until > $1))
}

# --- what is known of a line ---

# Add to `more` what only the shell knows of the line `line`, which is no single command of plain
# words; fail if a variable that cannot be set is to be set in it.
_qi_learn_known() {
    local word named= first=1
    local -a words=("${(@s: :)${line//[;|&$'\t\n']/ }}")
    [[ $pipes != *\ * ]] || more+=',"pipes":"'$pipes'"'
    [[ $PWD == "$_qi_learn_from" ]] || more+=',"moved":1'
    [[ -z $nounset || $line != *\$* ]] || more+=',"options":"u"'
    for word in $words; do
        [[ $word == *[^A-Za-z0-9_.:@%+,-]* ]] || ((!${+functions[$word]})) || named+=" $word"
    done
    if [[ $line == *=* ]]; then # a variable that cannot be set, before a command
        for word in ${(z)line}; do
            if [[ -n $first && $word == [A-Za-z_]*=* ]]; then
                word=${word%%=*}
                [[ $word == *[^A-Za-z0-9_]* || ${(tP)word} != *readonly* ]] || return 1
            else
                [[ $word == time || $word == -p || $word == *[\;\|\&] ]] && first=1 || first=
            fi
        done
    fi
    [[ -z $named ]] || more+=',"functions":"'${named# }'"'
    if [[ $line != "$typed" ]]; then
        _qi_learn_escaped "$line"
        more+=',"run":"'$REPLY'"'
    fi
}

# --- when ---

# $1 is the line as it was typed, $3 what is run (aliases replaced). Most lines hold nothing of ours
# and are done with here, whatever the options are.
_qi_learn_preexec() {
    _qi_learn_line=
    [[ $1 != [[:space:]]* && $1 != *$'\n'* ]] || return 0
    if [[ -z ${_qi_learn_heads[${3%% *}]-} ]]; then
        local words=${3//[;|&\/=($' \t\n']/ }
        [[ -n ${${(@s: :)words}:*_qi_learn_names} ]] || [[ $words == *-[0-9]* &&
            -n ${${(@)${(@s: :)words}%-*}:*_qi_learn_names} ]] || return 0
    fi
    _qi_learn_line=$1 _qi_learn_run=$3 _qi_learn_from=$PWD
    ((_qi_learn_begin = EPOCHREALTIME * 1000000)) || :
}

# Every function for this event gets $? and pipestatus as the line left them.
_qi_learn_precmd() {
    local code=$? pipes="${(j: :)pipestatus[@]}"
    [[ -n $_qi_learn_line ]] || return 0
    local line=$_qi_learn_run typed=$_qi_learn_line nounset= real places head more= REPLY
    local -a looked
    local -i now took mid at
    local IFS=$' \t\n'
    _qi_learn_line=
    [[ -o unset ]] || nounset=1
    emulate -L zsh +o rematch_pcre +o multibyte -o ksh_glob -o extended_glob
    {
        real=${PWD:A}
        places="$real:$PWD:${QI_LEARN_HOME-}:${XDG_DATA_HOME-}:${XDG_STATE_HOME-}:$HOME"
        zstat -A looked "$_qi_learn_list"
        if [[ "$looked[2] $looked[11] $places" != "$_qi_learn_listed" ]]; then
            _qi_learn_project || return 0
        fi
        [[ -n $_qi_learn_found ]] || return 0
        if [[ $line != "$typed" ]]; then
            line=${line//$'\n'/;}
            [[ ${line//[[:space:]]/} != "${typed//[[:space:]]/}" ]] || line=$typed
        fi
        head=${line%% *}
        if [[ $line != "$typed" || $line == *[^A-Za-z0-9_./:@%+,\ -]* ]]; then
            _qi_learn_known || return 0
        elif ((code >= 145 && code <= 150)) || ((${+functions[$head]})); then
            return 0
        fi
        ((_qi_learn_fd >= 0 && _qi_learn_size < 8388608)) && [[ -e $_qi_learn_file ]] ||
            _qi_learn_open || return 0
        if [[ $typed == *[\\\"[:cntrl:]]* ]]; then
            _qi_learn_escaped "$typed"
            typed=$REPLY
        fi
        # each field that is padded costs as much as two that are not
        ((now = EPOCHREALTIME * 1000000, took = now - _qi_learn_begin, _qi_learn_number++,
            mid = (now >> 18 & 4095) + 1000, at = now / 1000000,
            now < _qi_learn_until && now >= _qi_learn_after)) || _qi_learn_id
        [[ ! -e $_qi_learn_pause ]] || ! _qi_learn_paused $at || return 0
        ((took >= 0)) || took=0 # the clock was set back
        line='{"v":1,"id":"'$_qi_learn_high$mid$_qi_learn_chance$_qi_learn_number'","ts":"'\
$_qi_learn_date$_qi_learn_two[at/3600%24+1]:$_qi_learn_two[at/60%60+1]:$_qi_learn_two[at%60+1].\
${now[-6,-4]}'Z","kind":"outcome",'\
'"source":"zsh","author":"person","project":"'$_qi_learn_held'","body":{"line":"'$typed\
'","code":'$code',"seconds":'$took'e-6,"cwd":"'$_qi_learn_cwd'"'$more$'}}\n'
        syswrite -o $_qi_learn_fd -- "$line"
        ((_qi_learn_size += $#line))
    } 2>/dev/null
    return 0
}

autoload -Uz add-zsh-hook
add-zsh-hook preexec _qi_learn_preexec
add-zsh-hook precmd _qi_learn_precmd
return 0
