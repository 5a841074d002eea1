# qi-learn hook for zsh 5: how tests, builds, deployments and benchmarks ended, for the projects
# registered with `qi-learn init`.
#
# Load it in ~/.zshrc:   source /path/to/qi-learn.zsh
#
# One line of JSON is appended to this shell's own file in the spool for each such command whose end
# is certain. `cd web && npm test` that ends with 0 is, `npm test; true` is not: such a line says
# nothing (docs/internals/decisions/0032). Nothing else is recorded, no process is started, the exit
# status stays what it was, and if anything is missing nothing happens. A line that begins with a
# space is not recorded.

[[ -o interactive && -z ${_qi_learn_loaded-} ]] || return 0
zmodload zsh/datetime zsh/system zsh/parameter 2>/dev/null || return 0
zmodload -F zsh/stat b:zstat 2>/dev/null
typeset -g _qi_learn_loaded=1 _qi_learn_file='' _qi_learn_line='' _qi_learn_run='' _qi_learn_from=''
typeset -g _qi_learn_listed='' _qi_learn_found='' _qi_learn_places='' _qi_learn_list=''
typeset -g _qi_learn_spool='' _qi_learn_chance='' _qi_learn_high='' _qi_learn_date=''
typeset -gi _qi_learn_fd=-1 _qi_learn_size=0 _qi_learn_number=0 _qi_learn_quarter=-1
typeset -gi _qi_learn_day=-1 _qi_learn_begin=0
typeset -gF _qi_learn_begin=0

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
# --- end ---

# Set REPLY to the kind of a command; fail if it is none of ours. The rules are those of `kind_of`
# in qi_learn/capture/command_kind.py.
_qi_learn_kind() {
    setopt ksh_glob
    local rest=$1 head=${1%% *} number form
    [[ -n ${_qi_learn_heads[$head]-} ]] || _qi_learn_head
    for number in ${=_qi_learn_heads[$head]-}; do
        form=$_qi_learn_forms[number]
        [[ $rest == ${~form} || $rest == ${~form}[[:space:]]* ]] &&
            REPLY=$_qi_learn_kinds[number] && return 0
    done
    return 1
}

# Set `rest` to the command without what may stand before it, and `head` to its first word.
_qi_learn_head() {
    local first match mbegin mend MATCH MBEGIN MEND
    while true; do
        first=${rest%%[[:space:]]*}
        rest=${rest#"$first"} head=${first##*/} first=${first%%=*}
        [[ -z ${_qi_learn_heads[$head]-} && $rest == *[^[:space:]]* &&
            ( " $_qi_learn_wrappers " == *" $head "* || $head == -* ||
            ( -n $head && $head != *[^0-9]* ) || ( $head == *=* && $first != *[^A-Za-z0-9_]* &&
            $first == [A-Za-z_]* ) ) ]] || break
        rest=${rest#"${rest%%[^[:space:]]*}"}
    done
    rest=$head$rest
    if [[ $head == python* || $head == pypy* ]]; then
        local python='^(python|pypy)[0-9.]*w?(\.exe)?([[:space:]]+-[^[:space:]]+)*[[:space:]]+-m'
        [[ $rest =~ "${python}[[:space:]]+(.*)\$" ]] && rest=$match[4] &&
            head=${rest%%[[:space:]]*}
    fi
    [[ $head != *-[0-9]* || -n ${_qi_learn_heads[$head]-} ]] || head=${head%-*}
}

# --- what is outside: project, spool ---

# Set _qi_learn_list and _qi_learn_spool to where the projects are listed and the events go.
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
    _qi_learn_list=$data/projects.json _qi_learn_spool=$state/spool _qi_learn_places=$1
    _qi_learn_file= _qi_learn_listed=
}

# Set `project` to the registered project that holds the working directory, the innermost one, and
# `real` to the directory without links; fail outside all of them. The list is read again if it is
# another file than before, or one that was just being written then.
_qi_learn_project() {
    local places line held text now found=
    local -a looked
    places=${QI_LEARN_HOME-}:${XDG_DATA_HOME-}:${XDG_STATE_HOME-}:$HOME
    [[ $places == "$_qi_learn_places" ]] || _qi_learn_find "$places"
    real=${PWD:A}
    zstat -A looked "$_qi_learn_list" || [[ -r $_qi_learn_list ]] || return 1
    now="$looked[2] $looked[8] $looked[10] $looked[11] $real"$'\n'$PWD
    if [[ $now == "$_qi_learn_listed" ]]; then
        project=$_qi_learn_found
        [[ -n $project ]]
        return
    fi
    _qi_learn_listed=
    (($#looked && looked[10] < EPOCHSECONDS - 2 && looked[11] < EPOCHSECONDS - 2)) &&
        _qi_learn_listed=$now
    text="$(<$_qi_learn_list)" # reads it without a process
    for line in ${(f)text}; do
        [[ $line == *\"*\"* ]] || continue
        held=${${line#*\"}%\"*}
        [[ $held != *\\u* ]] || printf -v held %b "${held//\\\\/\\\\\\\\}" # of version 0.1
        held=${held//\\\"/\"}
        held=${held//\\\\/\\}
        [[ $real/ == "${held%/}"/* || $PWD/ == "${held%/}"/* ]] || continue
        ((${#held} > ${#found})) && found=$held
    done
    _qi_learn_found=$found project=$found
    [[ -n $found ]]
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
    ((_qi_learn_fd >= 0 && _qi_learn_size < 8388608)) && [[ -e $_qi_learn_file ]] && return 0
    local spool=$_qi_learn_spool now=$EPOCHREALTIME
    [[ -d $spool && -w $spool ]] || return 1
    ((_qi_learn_fd >= 0)) && exec {_qi_learn_fd}>&-
    _qi_learn_fd=-1 _qi_learn_size=0 _qi_learn_file=$spool/zsh-$$-${${now/[.,]/}[1,16]}000.jsonl
    sysopen -w -a -m 600 -o creat,cloexec -u _qi_learn_fd "$_qi_learn_file"
}

# Set REPLY to an id that cannot come again: a ULID of a time in milliseconds, the chance of this
# shell, and a count.
_qi_learn_id() {
    local letters=0123456789ABCDEFGHJKMNPQRSTVWXYZ
    local -i i at ms=$1
    if [[ -z $_qi_learn_chance ]]; then
        for ((i = 45; i >= 0; i -= 5)); do
            ((at = ((($$ << 20 ^ epochtime[2]) >> i ^ RANDOM) & 31) + 1))
            _qi_learn_chance+=$letters[at]
        done
    fi
    if ((ms >> 20 != _qi_learn_quarter)); then # once in a quarter of an hour
        ((_qi_learn_quarter = ms >> 20))
        _qi_learn_high=
        for ((i = 45; i >= 20; i -= 5)); do
            ((at = (ms >> i & 31) + 1))
            _qi_learn_high+=$letters[at]
        done
    fi
    REPLY="$_qi_learn_high$letters[1+(ms>>15&31)]$letters[1+(ms>>10&31)]$letters[1+(ms>>5&31)]"
    REPLY+="$letters[1+(ms&31)]$_qi_learn_chance"
    ((_qi_learn_number = (_qi_learn_number + 1) % 1000000)) || :
}

# Whether a pause (`qi-learn pause`) holds at $1 (seconds). One that has no end, or cannot be read,
# does.
_qi_learn_paused() {
    local file=${_qi_learn_spool%/*}/pause.json until=
    [[ -e $file ]] || return 1
    IFS= read -r until <"$file"
    until=${${until#*\"until\": }%%,*}
    [[ -z $until || $until == *[^0-9]* ]] || ((until > $1))
}

# Append the line for a command that ended with $2, in `project` and the directory `real`.
_qi_learn_record() {
    local command=$1 held=$project cwd=$real kind line REPLY
    local -i exit_code=$2 second=$epochtime[1] ns=$epochtime[2] took
    _qi_learn_kind "$command" && kind=$REPLY || return 0
    _qi_learn_open || return 0
    ! _qi_learn_paused $second || return 0
    if [[ $held$cwd$command == *[\\\"[:cntrl:]]* ]]; then
        _qi_learn_escaped "$held" && held=$REPLY
        _qi_learn_escaped "$cwd" && cwd=$REPLY
        _qi_learn_escaped "$command" && command=$REPLY
    fi
    ((second / 86400 == _qi_learn_day)) ||
        TZ=UTC strftime -s _qi_learn_date '%Y-%m-%d' $((second / 86400 * 86400))
    ((_qi_learn_day = second / 86400, took = second * 1000000 + ns / 1000 - _qi_learn_begin))
    ((took >= 0)) || took=0 # the clock was set back
    _qi_learn_id $((second * 1000 + ns / 1000000))
    printf -v line '{"v":1,"id":"%s%06d","ts":"%sT%02d:%02d:%02d.%03dZ","kind":"outcome",'\
'"source":"zsh","author":"person","project":"%s","body":{"kind":"%s","command":"%s",'\
'"exit_code":%d,"seconds":%d.%06d,"cwd":"%s"}}\n' \
        "$REPLY" $_qi_learn_number "$_qi_learn_date" $((second / 3600 % 24)) \
        $((second / 60 % 60)) $((second % 60)) $((ns / 1000000)) "$held" "$kind" "$command" \
        $exit_code $((took / 1000000)) $((took % 1000000)) "$cwd"
    syswrite -o $_qi_learn_fd -- "$line"
    ((_qi_learn_size += ${#line}))
    return 0
}

# --- what a line says ---

# Set REPLY to a line with every quoted character as Q, so that what is left of | ; & < > and the
# rest has its meaning; fail if it holds what this file does not read: substitutions, groups,
# negation, background, here-documents, several lines.
_qi_learn_bare() {
    local rest=$1 bare= blank match mbegin mend MATCH MBEGIN MEND
    local quoted=$'^([^"\'\\\\]*)(\'[^\']*\'|"([^"\\\\`]|\\\\.)*"|\\\\.)(.*)$'
    while [[ $rest == *[\'\"\\]* && $rest =~ $quoted ]]; do
        rest=$match[4]
        blank=${(l:${#match[2]}::Q:)}
        if [[ $match[2] == \"*\$* ]]; then
            [[ $match[2] == *\$[\({]* ]] && return 1
            blank=\$${blank[2,-1]}
        fi
        bare+=$match[1]$blank
    done
    bare+=$rest
    [[ $bare != *[\`\(\){}!\'\"\\$'\n']* && $bare != *'<<'* && $bare != *'||'* ]] &&
        [[ $bare != *'|&'* && $bare != *';;'* && " $bare" != *[[:space:]\;\|\&]\#* ]] || return 1
    local safe='^(.*)([0-9]?>&[0-9]|[0-9&]?>>?[[:space:]]*/dev/null|<[[:space:]]*/dev/null)'
    while [[ $bare == *[\<\>]* && $bare =~ "$safe([[:space:];|&].*)?\$" ]]; do
        bare=$match[1]${(l:${#match[2]}:: :)}$match[3]
    done
    bare=${${${bare//&>/ >}//>|/> }//>&/> }
    bare=${bare//&&/$'\x01\x01'}
    [[ $bare != *'&'* ]] && REPLY=$bare
}

# Set REPLY to the word that the shell runs in a part of a line; fail if an assignment before it
# cannot be made.
_qi_learn_word() {
    setopt extended_glob
    local _qi_learn_rest=$1 match mbegin mend MATCH MBEGIN MEND
    local before='^[[:space:]]*(time|-p|([A-Za-z_][A-Za-z0-9_]*)=[^[:space:]]*)([[:space:]].*)$'
    while [[ ( $_qi_learn_rest == *=* || $_qi_learn_rest == *time* ) &&
        $_qi_learn_rest =~ $before ]]; do
        _qi_learn_rest=$match[3]
        [[ -n $match[2] && ${(tP)match[2]} == *readonly* ]] && return 1
    done
    _qi_learn_rest=${_qi_learn_rest##[[:space:]]#}
    REPLY=${_qi_learn_rest%%[[:space:]]*}
}

_qi_learn_reserved=' if then else elif fi for foreach end while until repeat do done case esac '
_qi_learn_reserved+='select function coproc [[ exec eval command builtin noglob nocorrect - '

# Fill `parts` (texts), `bares` (the same, without what is quoted), `words` (what they run) and
# `ops` (between them: ; | or x01 for &&) from a line; fail if it is not of commands alone.
_qi_learn_split() {
    setopt extended_glob
    local line=$1 bare piece text REPLY
    local -i at=0
    _qi_learn_bare "$line" && bare=$REPLY || return 1
    while true; do
        piece=${bare%%[$';|\x01']*} text=$line[at+1,at+$#piece]
        text=${${text##[[:space:]]#}%%[[:space:]]#}
        if [[ -z $text ]]; then
            [[ ${ops[-1]-} == ';' && $piece == "$bare" ]] || return 1
            ops[-1]=()
            return 0
        fi
        _qi_learn_word "$piece" || return 1
        [[ $_qi_learn_reserved == *" $REPLY "* ]] && return 1
        parts+=("$text") bares+=("$piece") words+=("$REPLY")
        [[ $piece == "$bare" ]] && return 0
        ops+=("$bare[$#piece+1]")
        ((at += $#piece + 1))
        bare=$bare[$#piece+2,-1]
        [[ $ops[-1] == $'\x01' ]] && ((at += 1)) && bare=$bare[2,-1]
    done
}

# Whether a part can only end with its command's own exit code $2: not for want of what it is
# written to or read from, of a variable or of a file, and not because it was stopped.
_qi_learn_own() {
    (($2 == 0)) && return 0
    (($2 >= 145 && $2 <= 150)) && return 1
    [[ $1 == *\$* && -n $nounset ]] && return 1
    (($2 != 1)) || [[ $1 != *[\<\>*?\[\~^\#]* && ! $1 =~ '[[:space:]]=' ]]
}

# Whether the first $1 parts cannot have ended the line.
_qi_learn_calm() {
    local REPLY
    local -i i
    for ((i = 1; i <= $1; i++)); do
        [[ $bares[i] != *[\$\<\>*?\[=\~^\#]* ]] || return 1
        [[ $words[i] =~ '^(cd|clear|date|echo|false|git|ls|sleep|true)$' ]] ||
            _qi_learn_kind "$parts[i]" || return 1
        ((!${+functions[$words[i]]})) || return 1
    done
}

# Fill `told` with numbers of parts and their exit codes, as far as they follow from the exit code
# of the line ($1) and those of its last pipeline (the rest).
_qi_learn_told() {
    if (($#parts == 1)); then
        _qi_learn_own "$bares[1]" $1 && told=("1 $1")
        return 0
    fi
    local -i code=$1 n=$#parts first=0 group=0 all=1 whole=1 i
    local REPLY
    local -a pipes=("${@:2}") last
    for ((i = 1; i < n; i++)); do
        [[ $ops[i] == '|' ]] || first=i
        [[ $ops[i] == ';' ]] && group=i
        [[ $ops[i] == $'\x01' ]] && _qi_learn_kind "$parts[i]" || all=0
    done
    ((n - first > 1)) || pipes=($code)
    (($#pipes == n - first)) || return 1
    if ((first > 0 && code != 0)); then
        ((code < 128)) || return 1
        if ((group < first)); then # only a `cd` may stand before it, and it must have worked
            [[ $first -eq 1 && $words[1] == cd && $PWD != "$_qi_learn_from" ]] || return 1
        fi
        _qi_learn_calm $group || return 1
    fi
    ((all && code == 0)) && for ((i = 1; i < n; i++)); do told+=("$i 0"); done
    for ((i = n; i > first; i--)); do
        code=$pipes[i-first]
        ((code == 0 || whole && code < 128)) && _qi_learn_own "$bares[i]" $code &&
            last=("$i $code" $last)
        [[ ' cat tail tee sort wc ' == *" $words[i] "* ]] || whole=0 # may not read to the end
    done
    told+=($last)
    return 0
}

# Whether a line may hold a command of ours: most do not, and are done with here.
_qi_learn_any() {
    local word
    for word in ${=1//[;|&\/=(]/ }; do
        [[ -n ${_qi_learn_heads[$word]-}${_qi_learn_heads[${word%-*}]-} ]] && return 0
    done
    return 1
}

# Record what is certain of the line that ended with exit code $1, its last pipeline with $2. What
# it calls has its options: `emulate` in each function would cost as much as all the rest.
_qi_learn_ended() {
    emulate -L zsh +o rematch_pcre
    local project real entry line=$_qi_learn_run
    if [[ $line != "$_qi_learn_line" ]]; then
        line=${line//$'\n'/;}
        [[ ${line//[[:space:]]/} != "${_qi_learn_line//[[:space:]]/}" ]] || line=$_qi_learn_line
    fi
    [[ $_qi_learn_line != [[:space:]]* && $_qi_learn_line != *$'\n'* ]] || return 0
    entry=${line%% *}
    [[ -n ${_qi_learn_heads[$entry]-} ]] || _qi_learn_any "$line" || return 0
    _qi_learn_project || return 0
    if [[ $line != "$_qi_learn_line" || $line == *[^A-Za-z0-9_./:@%+,\ -]* || $line == *\  ||
        $_qi_learn_reserved == *" $entry "* || $entry == time ]]; then
        _qi_learn_compound "$@"
    elif (($1 < 145 || $1 > 150)) && ((!${+functions[$entry]})); then
        _qi_learn_record "$line" $1 # one command, as most lines are
    fi
}

# The same for a line of several commands, or of words that the shell changes.
_qi_learn_compound() {
    local REPLY entry
    local -a parts bares words ops told
    _qi_learn_bare "$_qi_learn_line" && _qi_learn_split "$line" || return 0
    _qi_learn_told $1 ${=2//[^0-9]/ } || return 0
    for entry in $told; do
        ((${+functions[$words[${entry% *}]]})) && continue
        _qi_learn_record "$parts[${entry% *}]" ${entry#* }
    done
}

# --- when ---

# $1 is the line as it was typed, $3 what is run (aliases replaced).
_qi_learn_preexec() {
    _qi_learn_line=$1 _qi_learn_run=$3 _qi_learn_from=$PWD
    ((_qi_learn_begin = epochtime[1] * 1000000 + epochtime[2] / 1000)) || :
}

# Every function for this event gets $? and pipestatus as the line left them.
_qi_learn_precmd() {
    local code=$? pipes="${pipestatus[@]}" nounset= IFS=$' \t\n'
    [[ -o unset ]] || nounset=1
    [[ -z $_qi_learn_line ]] || _qi_learn_ended "$code" "$pipes" 2>/dev/null || :
    _qi_learn_line=
    return 0
}

autoload -Uz add-zsh-hook
add-zsh-hook preexec _qi_learn_preexec
add-zsh-hook precmd _qi_learn_precmd
return 0
