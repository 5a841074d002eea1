# qi-learn hook for bash 5.1 and newer: how tests, builds, deployments and benchmarks ended, for the
# projects registered with `qi-learn init`.
#
# Load it at the end of ~/.bashrc:   . /path/to/qi-learn.bash
#
# One line of JSON is appended to this shell's own file in the spool for each such command whose end
# is certain. `cd web && npm test` that ends with 0 is, `npm test; true` is not: such a line says
# nothing (docs/internals/decisions/0032). Nothing else is recorded, no process is started, the exit
# status stays what it was, and if anything is missing nothing happens. A line that begins with a
# space is not recorded. Other hooks (DEBUG trap, PROMPT_COMMAND, PS0, bash-preexec) go on working.
# With ble.sh, which runs the lines itself, this file does nothing.

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
typeset -g _qi_learn_wrappers='env time nice nohup sudo xvfb-run exec run npx bunx uvx uv pipx '\
'poetry pdm hatch pipenv rye bundle coverage'
typeset -gA _qi_learn_heads=(cargo '1 18 29 62' go '2 30 63' pytest '3 23' py.test '3 24'
    hyperfine '4' asv '5' npm '6 20 31 81' pnpm '6 20 31 81' yarn '6 20 31 81' bun '6 20 31 81'
    make '7 21 52 64' kubectl '8' docker '9' terraform '10' vercel '11' helm '12' flyctl '13'
    fly '13' netlify '14' serverless '15' ansible-playbook '16' twine '17' gcloud '19' cap '22'
    tox '25' nox '26' unittest '27' doctest '28' deno '32' ctest '33' jest '34' vitest '35'
    mocha '36' playwright '37' rspec '38' rake '39' rails '40' phpunit '41' gradle '42 76'
    gradlew '42 76' mvn '43 77' mvnw '43 77' dotnet '44 78' bazel '45 79' mix '46 80' swift '47 73'
    zig '48 74' stack '49 83' cabal '50 84' sbt '51 85' just '53' meson '54 67' py_compile '55'
    compileall '56' tsc '57' mypy '58' pyright '59' basedpyright '60' ty '61' cmake '65' ninja '66'
    gcc '68' g++ '68' clang '68' clang++ '68' cc '68' c++ '68' rustc '69' javac '70' kotlinc '71'
    swiftc '72' ghc '75' nvcc '82' ruff '86' flake8 '87' pylint '88' eslint '89')
typeset -ga _qi_learn_kinds=(bench bench bench bench bench bench bench deploy deploy deploy deploy
    deploy deploy deploy deploy deploy deploy deploy deploy deploy deploy deploy test test test
    test test test test test test test test test test test test test test test test test test test
    test test test test test test test test test test compile compile compile compile compile
    compile compile compile compile compile compile compile compile compile compile compile compile
    compile compile compile compile compile compile compile compile compile compile compile compile
    compile compile other other other other)
typeset -ga _qi_learn_forms=('cargo bench' 'go test *-bench*' '@(pytest|py.test) *--benchmark-only'
    'hyperfine' 'asv' '@(npm|pnpm|yarn|bun) ?(run )bench' 'make bench' 'kubectl @(apply|rollout)'
    'docker @(push|stack deploy)' 'terraform apply' 'vercel' 'helm @(install|upgrade)'
    'fly?(ctl) deploy' 'netlify deploy' 'serverless deploy' 'ansible-playbook' 'twine upload'
    'cargo publish' 'gcloud *deploy' '@(npm|pnpm|yarn|bun) @(publish|?(run )deploy)' 'make deploy'
    'cap +([A-Za-z0-9_]) deploy' 'pytest' 'py.test' 'tox' 'nox' 'unittest' 'doctest'
    'cargo @(test|nextest)' 'go test' '@(npm|pnpm|yarn|bun) ?(run )@(test|t)' 'deno test' 'ctest'
    'jest' 'vitest' 'mocha' 'playwright test' 'rspec' 'rake @(test|spec)' 'rails test' 'phpunit'
    'gradle?(w) *@(test|check)' 'mvn?(w) *@(test|verify)' 'dotnet test' 'bazel test' 'mix test'
    'swift test' 'zig ?(build )test' 'stack test' 'cabal test' 'sbt *test' 'make @(test|check)'
    'just test' 'meson test' 'py_compile' 'compileall' 'tsc' 'mypy' 'pyright' 'basedpyright'
    'ty check' 'cargo @(build|check|clippy)' 'go @(build|vet)' 'make' 'cmake' 'ninja'
    'meson compile' '@(gcc|g++|clang|clang++|cc|c++)?(-+([0-9.]))' 'rustc' 'javac' 'kotlinc'
    'swiftc' 'swift build' 'zig build' 'ghc' 'gradle?(w) *@(build|assemble|compile)*'
    'mvn?(w) *@(compile|package)' 'dotnet build' 'bazel build' 'mix compile'
    '@(npm|pnpm|yarn|bun) ?(run )@(build|compile|typecheck)' 'nvcc' 'stack build' 'cabal build'
    'sbt *compile' 'ruff' 'flake8' 'pylint' 'eslint')
typeset -gA _qi_learn_usual=(pytest test py.test test hyperfine bench asv bench make compile
    vercel deploy ansible-playbook deploy tox test nox test unittest test doctest test ctest test
    jest test vitest test mocha test rspec test phpunit test py_compile compile compileall compile
    tsc compile mypy compile pyright compile basedpyright compile cmake compile ninja compile
    rustc compile javac compile kotlinc compile swiftc compile ghc compile nvcc compile ruff other
    flake8 other pylint other eslint other)
typeset -gA _qi_learn_rare=(pytest '* *--benchmark-only*' py.test '* *--benchmark-only*'
    make '@(* bench*|* deploy*|* @(test|check)*)')
# --- end ---

# Set REPLY to the kind of a command; fail if it is none of ours. The rules are those of `kind_of`
# in qi_learn/capture/command_kind.py.
_qi_learn_kind() {
    local rest=$1 head=${1%% *} number
    [[ -n ${_qi_learn_heads[${head:-.}]-} ]] || _qi_learn_head || return 1
    for number in ${_qi_learn_heads[$head]-}; do
        [[ $rest == ${_qi_learn_forms[number - 1]}?([[:space:]]*) ]] &&
            REPLY=${_qi_learn_kinds[number - 1]} && return 0
    done
    return 1
}

# Set `rest` to the command without what may stand before it, and `head` to its first word.
_qi_learn_head() {
    local first
    head=${rest%%[[:space:]]*}
    rest=${rest#"$head"} head=${head##*/}
    while [[ -z ${_qi_learn_heads[${head:-.}]-} ]]; do
        first=${head%%=*}
        [[ $rest == *[![:space:]]* && ( " $_qi_learn_wrappers " == *" $head "* || $head == -* ||
            -n $head && $head != *[!0-9]* || $head == *=* && $first != *[!A-Za-z0-9_]* &&
            $first == [A-Za-z_]* ) ]] || break
        rest=${rest#"${rest%%[![:space:]]*}"}
        first=${rest%%[[:space:]]*}
        rest=${rest#"$first"} head=${first##*/}
    done
    rest=$head$rest
    if [[ $head == py@(thon|py)* ]]; then
        local python='^(python|pypy)[0-9.]*w?(\.exe)?([[:space:]]+-[^[:space:]]+)*[[:space:]]+-m'
        [[ $rest =~ $python[[:space:]]+(.*)$ ]] && rest=${BASH_REMATCH[4]} &&
            head=${rest%%[[:space:]]*}
    fi
    [[ $head != *-[0-9]* || -n ${_qi_learn_heads[$head]-} ]] || head=${head%-*}
    [[ -n $head ]]
}

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

# Append the line for a command that ended with $2, if it is one of ours.
_qi_learn_record() {
    local command=$1 kind
    _qi_learn_kind "$command" && kind=$REPLY || return 0
    if [[ $command == *[\\\"$'\x01'-$'\x1f']* ]]; then
        _qi_learn_escaped "$command" && command=$REPLY
    fi
    _qi_learn_ready || return 0
    ((_qi_learn_size += 3 * ${#command})) # a letter may be of four bytes
    _qi_learn_write "$command" "$2" "$kind"
}

# Make sure of a file to write to; fail if there is none.
_qi_learn_ready() {
    [[ $_qi_learn_size -lt 8388608 && -n $_qi_learn_file && -e $_qi_learn_file ]] || _qi_learn_open
}

# Append the line for a command as it stands in JSON, its exit code and its kind, but not in a pause.
# It is put together of texts and of numbers that need no padding: what `printf` pads costs more, and
# so do locals.
_qi_learn_write() {
    [[ ! -e $_qi_learn_pause ]] || ! _qi_learn_paused || return 0
    ((_qi_learn_took = _qi_learn_now - _qi_learn_begin, _qi_learn_number++,
        _qi_learn_size += 600 + ${#1}, _qi_learn_mid = (_qi_learn_now / 256000 & 4095) + 1000,
        _qi_learn_s = _qi_learn_now / 1000000 % 60, _qi_learn_m = _qi_learn_now / 60000000 % 60,
        _qi_learn_took >= 0 && _qi_learn_now < _qi_learn_until &&
        _qi_learn_now >= _qi_learn_after)) || _qi_learn_anew "$_qi_learn_now"
    printf '%s\n' "{\"v\":1,\"id\":\"$_qi_learn_high$_qi_learn_mid$_qi_learn_chance\
$_qi_learn_number\",\"ts\":\"$_qi_learn_date:${_qi_learn_two[_qi_learn_m]}:\
${_qi_learn_two[_qi_learn_s]}.${_qi_learn_now: -6:3}Z\",$_qi_learn_place,\"body\":{\"kind\":\"$3\",\
\"command\":\"$1\",\"exit_code\":$2,\"seconds\":${_qi_learn_took}e-6,\
\"cwd\":\"$_qi_learn_cwd\"}}" >>"$_qi_learn_file"
}

# --- what a line says ---

# Set REPLY to a line with every quoted character as Q, so that what is left of | ; & < > and the
# rest has its meaning; fail if it holds what this file does not read: substitutions, groups,
# negation, background, here-documents, several lines.
_qi_learn_bare() {
    local rest=$1 bare= blank mark inner
    local quoted=$'^([^"\'\\\\]*)(\'[^\']*\'|"([^"\\\\`]|\\\\.)*"|\\\\.)(.*)$'
    while [[ $rest == *[\'\"\\]* ]]; do
        blank=${rest%%[\'\"\\]*} mark=${rest:${#blank}:1} inner=${rest:${#blank} + 1}
        if [[ $mark != \\ && $inner == *"$mark"* ]]; then
            inner=${inner%%"$mark"*}
            if [[ $mark == \' || $inner != *[\\\$\`]* ]]; then # as most are
                bare+=$blank rest=${rest:${#blank} + ${#inner} + 2}
                printf -v blank '%*s' "$((${#inner} + 2))" ''
                bare+=${blank// /Q}
                continue
            fi
        fi
        [[ $rest =~ $quoted ]] || break
        rest=${BASH_REMATCH[4]}
        printf -v blank '%*s' "${#BASH_REMATCH[2]}" ''
        blank=${blank// /Q}
        if [[ ${BASH_REMATCH[2]} == \"*\$* ]]; then
            [[ ${BASH_REMATCH[2]} == *\$[\({]* ]] && return 1
            blank=\$${blank:1}
        fi
        bare+=${BASH_REMATCH[1]}$blank
    done
    bare+=$rest
    [[ $bare != *[\`\(\){}!\'\"\\$'\n']* && $bare != *'<<'* && $bare != *'||'* ]] &&
        [[ $bare != *'|&'* && $bare != *';;'* && " $bare" != *[[:space:]\;\|\&]\#* ]] || return 1
    if [[ $bare == *' 2>&1'* ]]; then # the commonest one without a regular expression
        [[ $bare != *' 2>&1' ]] || bare=${bare%' 2>&1'}'     '
        bare=${bare//' 2>&1 '/      }
    fi
    local safe='^(.*)([0-9]?>&[0-2]|[0-9&]?>>?[[:space:]]*/dev/null|<[[:space:]]*/dev/null)'
    while [[ $bare == *[\<\>]* && $bare =~ $safe([[:space:]\;\|\&].*)?$ ]]; do
        printf -v blank '%*s' "${#BASH_REMATCH[2]}" ''
        bare=${BASH_REMATCH[1]}$blank${BASH_REMATCH[3]}
    done
    bare=${bare//&>/ >} bare=${bare//>|/> } bare=${bare//>&/> }
    bare=${bare//&&/$'\x01\x01'}
    [[ $bare != *'&'* ]] && REPLY=$bare
}

# Set REPLY to the word that the shell runs in a part of a line; fail if an assignment before it
# cannot be made.
_qi_learn_word() {
    local _qi_learn_rest=${1#"${1%%[! ]*}"} _qi_learn_name
    REPLY=${_qi_learn_rest%% *}
    [[ $1 != *@(=|time)* && -n $REPLY && $REPLY != *[[:space:]]* ]] && return 0
    local before='^[[:space:]]*(time|-p|([A-Za-z_][A-Za-z0-9_]*)=[^[:space:]]*)([[:space:]].*)$'
    while [[ $_qi_learn_rest == *@(=|time)* && $_qi_learn_rest =~ $before ]]; do
        _qi_learn_rest=${BASH_REMATCH[3]} _qi_learn_name=${BASH_REMATCH[2]}
        [[ -n $_qi_learn_name && ${!_qi_learn_name@a} == *r* ]] && return 1
    done
    _qi_learn_rest=${_qi_learn_rest#"${_qi_learn_rest%%[![:space:]]*}"}
    REPLY=${_qi_learn_rest%%[[:space:]]*}
}

# Set `line` to itself with the alias at its beginning replaced.
_qi_learn_unalias() {
    local word=${line#"${line%%[![:space:]]*}"} seen=' '
    local name='^[[:space:]]*([A-Za-z0-9_./:@%+,-]+)(.*)$'
    word=${word%%[!A-Za-z0-9_./:@%+,-]*}
    [[ -n $word && -n ${BASH_ALIASES[$word]-} ]] || return 0
    [[ :$BASHOPTS: == *:expand_aliases:* ]] || return 0
    while [[ $line =~ $name ]]; do
        word=${BASH_REMATCH[1]}
        [[ -n ${BASH_ALIASES[$word]-} && $seen != *" $word "* ]] || return 0
        line=${BASH_ALIASES[$word]}${BASH_REMATCH[2]} seen+="$word "
    done
}

_qi_learn_reserved=' if then else elif fi for while until do done case esac select function in '
_qi_learn_reserved+='coproc [[ exec eval command builtin time '

# Fill `parts` (texts), `bares` (the same, without what is quoted) and `ops` (between them: ; | or
# x01 for &&) from a line; fail if the line is not of commands alone.
_qi_learn_split() {
    local line=$1 bare piece text at=0
    _qi_learn_unalias
    _qi_learn_bare "$line" && bare=$REPLY || return 1
    while :; do
        piece=${bare%%[$';|\x01']*} text=${line:at:${#piece}}
        text=${text#"${text%%[![:space:]]*}"} text=${text%"${text##*[![:space:]]}"}
        if [[ -z $text ]]; then
            ((${#parts[@]})) && [[ ${ops[-1]} == ';' && $piece == "$bare" ]] || return 1
            unset 'ops[-1]'
            return 0
        fi
        _qi_learn_word "$piece" || return 1
        [[ $_qi_learn_reserved == *" $REPLY "* ]] && return 1
        ((${#parts[@]})) && [[ -n $REPLY && $REPLY != *[!A-Za-z0-9_.-]* &&
            -n ${BASH_ALIASES[$REPLY]-} &&
            ! ${BASH_ALIASES[$REPLY]} =~ ^"$REPLY"[A-Za-z0-9_=./[:space:]-]*$ ]] && return 1
        parts+=("$text") bares+=("$piece") words+=("$REPLY")
        [[ $piece == "$bare" ]] && return 0
        ops+=("${bare:${#piece}:1}")
        at=$((at + ${#piece} + 1)) bare=${bare:${#piece} + 1}
        [[ ${ops[-1]} == $'\x01' ]] && at=$((at + 1)) bare=${bare:1}
    done
}

# Whether a part can only end with its command's own exit code $2: not for want of what it is
# written to or read from, of a variable or of a file, and not because it was stopped.
_qi_learn_own() {
    (($2 == 0)) && return 0
    (($2 >= 145 && $2 <= 150)) && return 1
    [[ $1 == *\$* && $_qi_learn_options == *u* ]] && return 1
    (($2 == 1)) || return 0
    [[ $1 == *[\<\>]* ]] && return 1
    [[ $1 != *[*?[]* || :$BASHOPTS: != *:failglob:* ]]
}

# Whether the parts before number $1 cannot have ended the line.
_qi_learn_calm() {
    local i
    for ((i = 0; i < $1; i++)); do
        [[ ${bares[i]} != *[\$\<\>*?[=~]* ]] || return 1
        [[ ' cd clear date echo false git ls sleep true ' == *" ${words[i]} "* ]] ||
            _qi_learn_kind "${parts[i]}" || return 1
        ! declare -F -- "${words[i]}" >/dev/null || return 1
    done
}

# Fill `told` with numbers of parts and their exit codes, as far as they follow from the exit code
# of the line ($1) and those of its last pipeline.
_qi_learn_told() {
    if ((${#parts[@]} == 1)); then
        _qi_learn_own "${bares[0]}" "$1" && told=("0 $1")
        return 0
    fi
    local code=$1 pipes=("${@:2}") n=${#parts[@]} first=0 group=0 i last=() all=1 whole=1
    for ((i = 0; i < n - 1; i++)); do
        [[ ${ops[i]} == '|' ]] || first=$((i + 1))
        [[ ${ops[i]} == ';' ]] && group=$((i + 1))
        [[ ${ops[i]} == $'\x01' ]] && _qi_learn_kind "${parts[i]}" || all=0
    done
    ((n - first > 1)) || pipes=("$code")
    ((${#pipes[@]} == n - first)) || return 1
    if ((first > 0 && code != 0)); then
        ((code < 128)) || return 1
        if ((group < first)); then # only a `cd` may stand before it, and it must have worked
            ((group == 0 && first == 1)) && [[ ${words[0]} == cd && $PWD != "$_qi_learn_from" ]] ||
                return 1
        fi
        _qi_learn_calm "$group" || return 1
    fi
    ((all && code == 0)) && for ((i = 0; i < n - 1; i++)); do told+=("$i 0"); done
    for ((i = n - 1; i >= first; i--)); do
        code=${pipes[i - first]}
        ((code == 0 || whole && code < 128)) && _qi_learn_own "${bares[i]}" "$code" &&
            last=("$i $code" "${last[@]}")
        [[ ' cat tail tee sort wc ' == *" ${words[i]} "* ]] || whole=0 # may not read to the end
    done
    told+=("${last[@]}")
}

# Whether a command is the first of the line, which bash writes in its own way (`1> f` as `> f`).
_qi_learn_alike() {
    local mine=${1//[[:space:]]/} first=${_qi_learn_first//[[:space:]]/}
    mine=${mine//1>/>} first=${first//1>/>}
    [[ ${mine//0</<} == "${first//0</<}" ]]
}

# Whether the line that was read is the one that ran: it begins with the command $1, and if it is
# not new in the history (like the line before, or hidden), the last pipeline and job say so too; $2
# is how many commands it has, the rest the exit codes.
_qi_learn_same() {
    [[ $1 == "$_qi_learn_first" ]] || _qi_learn_alike "$1" || return 1
    ((_qi_learn_fresh)) && return 0
    ((_qi_learn_direct && _qi_learn_count == 1 && $2 == 1)) &&
        [[ $# -eq 4 && $3 == "$4" && ${!-} == "$_qi_learn_job" ]]
}

# Record a line of one command of plain words, as most lines are, that ended with exit code $1.
_qi_learn_simple() {
    local word=${_qi_learn_first%% *} kind
    (($1 < 145 || $1 > 150)) && ! declare -F -- "$word" >/dev/null && _qi_learn_known || return 0
    kind=${_qi_learn_usual[$word]-}
    if [[ -z $kind || $_qi_learn_first == ${_qi_learn_rare[$word]-} ]]; then
        local IFS=$' \t\n' REPLY
        _qi_learn_kind "$_qi_learn_first" && kind=$REPLY || return 0
    fi
    _qi_learn_write "$_qi_learn_first" "$1" "$kind"
}

# Record what is certain of the line that ended with exit code $1.
_qi_learn_ended() {
    local IFS=$' \t\n' line=$_qi_learn_line word=${_qi_learn_line%% *}
    [[ -n $line && $line != [[:space:]]* ]] || return 0
    _qi_learn_known || return 0
    if [[ $line == *[!A-Za-z0-9_./:@%+,\ -]* || $line == *\  || -n ${BASH_ALIASES[$word]-} ||
        -z ${_qi_learn_heads[$word]-} && $_qi_learn_reserved == *" $word "* ]]; then
        _qi_learn_compound "$@"
        return
    fi
    _qi_learn_same "$line" 1 "$@" || return 0
    (($1 >= 145 && $1 <= 150)) || declare -F -- "$word" >/dev/null || _qi_learn_record "$line" "$1"
}

# The same for a line of several commands, or of words that the shell changes.
_qi_learn_compound() {
    local LC_ALL=C parts=() bares=() words=() ops=() told=() entry text piece
    _qi_learn_split "$line" || return 0
    text=${parts[0]}
    while [[ $text == [t-]* && $text =~ ^(time|-p)[[:space:]]+(.*)$ ]]; do
        text=${BASH_REMATCH[2]}
    done
    _qi_learn_same "$text" "${#parts[@]}" "$@" || return 0
    _qi_learn_told "$@" || return 0
    for entry in "${told[@]}"; do
        piece=${entry% *}
        declare -F -- "${words[piece]}" >/dev/null && continue
        _qi_learn_record "${parts[piece]}" "${entry#* }"
    done
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

# Set _qi_learn_line to the last line of the history if there is something of ours in it, and
# _qi_learn_fresh to whether it is new. If $1 is 1, the first command may leave that to the second:
# if it is none of ours and none that may change the history. _qi_learn_entry is
# the last entry of it, if it was read.
_qi_learn_read() {
    local word=${_qi_learn_first%% *}
    [[ $- != *[eux]* && ! -o posix ]] || { local - && set +eux +o posix; }
    [[ -o history ]] || return 1
    if [[ -z ${_qi_learn_heads[${word:-.}]-} ]]; then
        (($1)) && [[ ' . source eval history fc ' != *" $word "* ]] &&
            ! _qi_learn_any "$_qi_learn_first" && ! declare -F -- "$word" >/dev/null &&
            _qi_learn_armed=3 && return 0
        word=
    fi
    [[ -n $_qi_learn_entry ]] || _qi_learn_last || return 1
    local entry=$_qi_learn_entry
    local number=${entry:0:5} line=${entry:7} # five letters, a space or *, a space
    [[ ${entry:5:1} != [0-9] ]] || number=${entry%%[!0-9]*} line=${entry#*[!0-9]?}
    _qi_learn_fresh=$((${number:-0} == _qi_learn_next))
    [[ -n $word ]] || _qi_learn_any "$line" || return 1
    _qi_learn_line=$line
}

# Whether a line may hold a command of ours: most do not, and are done with here.
_qi_learn_any() {
    local word=${1%%[[:space:]]*} IFS=$' \t\n;|&/=('
    [[ $1 != *[*?[]* ]] || { local - && set -f; }
    [[ -n $word && -n ${BASH_ALIASES[$word]-} ]] && return 0
    for word in $1; do
        [[ -n $word && -n ${_qi_learn_heads[$word]-}${_qi_learn_heads[${word%-*}]-} ]] && return 0
    done
    return 1
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

# Record what is certain of all other lines, and see to it that the next one is seen.
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
