# qi-learn hook for fish 3.4 and newer: how tests, builds, deployments and benchmarks ended, for the
# projects registered with `qi-learn init`.
#
# Load it in ~/.config/fish/config.fish:   source /path/to/qi-learn.fish
#
# One line of JSON is written to a file of its own in the spool for each such command whose end is
# certain. `cd web && npm test` that ends with 0 is, `npm test; true` is not: such a line says
# nothing (docs/internals/decisions/0032). Nothing else is recorded, no process is started (but for
# `date`, once recording was paused), the exit status stays what it was, and if anything is missing
# nothing happens. A line that begins with a space is not recorded, and nothing is in a private
# session.

status is-interactive; and not set -q _qi_learn_loaded; or exit 0
set -g _qi_learn_loaded 1
set -g _qi_learn_from
set -g _qi_learn_reserved '^(if|else|end|for|while|begin|switch|case|function|and|or|not|return|'
set _qi_learn_reserved $_qi_learn_reserved'break|continue|exec|builtin|command|eval|time)( |$)'

# --- from qi_learn/capture/command_kind.py, by scripts/hook_patterns ---
set -g _qi_learn_wrappers env time nice nohup sudo xvfb-run exec run npx bunx uvx uv pipx poetry \
    pdm hatch pipenv rye bundle coverage
set -g _qi_learn_heads cargo go pytest py.test hyperfine asv npm pnpm yarn bun make kubectl \
    docker terraform vercel helm flyctl fly netlify serverless ansible-playbook twine gcloud cap \
    tox nox unittest doctest deno ctest jest vitest mocha playwright rspec rake rails phpunit \
    gradle gradlew mvn mvnw dotnet bazel mix swift zig stack cabal sbt just meson py_compile \
    compileall tsc mypy pyright basedpyright ty cmake ninja gcc g++ clang clang++ cc c++ rustc \
    javac kotlinc swiftc ghc nvcc ruff flake8 pylint eslint
set -g _qi_learn_at '1 18 29 62' '2 30 63' '3 23' '3 24' '4' '5' '6 20 31 81' '6 20 31 81' \
    '6 20 31 81' '6 20 31 81' '7 21 52 64' '8' '9' '10' '11' '12' '13' '13' '14' '15' '16' '17' \
    '19' '22' '25' '26' '27' '28' '32' '33' '34' '35' '36' '37' '38' '39' '40' '41' '42 76' \
    '42 76' '43 77' '43 77' '44 78' '45 79' '46 80' '47 73' '48 74' '49 83' '50 84' '51 85' '53' \
    '54 67' '55' '56' '57' '58' '59' '60' '61' '65' '66' '68' '68' '68' '68' '68' '68' '69' '70' \
    '71' '72' '75' '82' '86' '87' '88' '89'
set -g _qi_learn_kinds bench bench bench bench bench bench bench deploy deploy deploy deploy \
    deploy deploy deploy deploy deploy deploy deploy deploy deploy deploy deploy test test test \
    test test test test test test test test test test test test test test test test test test \
    test test test test test test test test test test test compile compile compile compile \
    compile compile compile compile compile compile compile compile compile compile compile \
    compile compile compile compile compile compile compile compile compile compile compile \
    compile compile compile compile compile other other other other
set -g _qi_learn_forms 'cargo bench' 'go test .*-bench.*' '(pytest|py\\.test) .*--benchmark-only' \
    'hyperfine' 'asv' '(npm|pnpm|yarn|bun) (run )?bench' 'make bench' 'kubectl (apply|rollout)' \
    'docker (push|stack deploy)' 'terraform apply' 'vercel' 'helm (install|upgrade)' \
    'fly(ctl)? deploy' 'netlify deploy' 'serverless deploy' 'ansible-playbook' 'twine upload' \
    'cargo publish' 'gcloud .*deploy' '(npm|pnpm|yarn|bun) (publish|(run )?deploy)' 'make deploy' \
    'cap [A-Za-z0-9_]+ deploy' 'pytest' 'py\\.test' 'tox' 'nox' 'unittest' 'doctest' \
    'cargo (test|nextest)' 'go test' '(npm|pnpm|yarn|bun) (run )?(test|t)' 'deno test' 'ctest' \
    'jest' 'vitest' 'mocha' 'playwright test' 'rspec' 'rake (test|spec)' 'rails test' 'phpunit' \
    'gradlew? .*(test|check)' 'mvnw? .*(test|verify)' 'dotnet test' 'bazel test' 'mix test' \
    'swift test' 'zig (build )?test' 'stack test' 'cabal test' 'sbt .*test' 'make (test|check)' \
    'just test' 'meson test' 'py_compile' 'compileall' 'tsc' 'mypy' 'pyright' 'basedpyright' \
    'ty check' 'cargo (build|check|clippy)' 'go (build|vet)' 'make' 'cmake' 'ninja' \
    'meson compile' '(gcc|g\\+\\+|clang|clang\\+\\+|cc|c\\+\\+)(-[0-9.]+)?' 'rustc' 'javac' \
    'kotlinc' 'swiftc' 'swift build' 'zig build' 'ghc' 'gradlew? .*(build|assemble|compile).*' \
    'mvnw? .*(compile|package)' 'dotnet build' 'bazel build' 'mix compile' \
    '(npm|pnpm|yarn|bun) (run )?(build|compile|typecheck)' 'nvcc' 'stack build' 'cabal build' \
    'sbt .*compile' 'ruff' 'flake8' 'pylint' 'eslint'
# --- end ---
set -l i 0
for head in $_qi_learn_heads
    set i (math $i + 1)
    set -g _qi_learn_at_(string escape --style=var -- $head) (string split ' ' -- $_qi_learn_at[$i])
end
set -g _qi_learn_any (string join '|' (string escape --style=regex -- $_qi_learn_heads))
# a line of ours: not hidden, not of several lines, with one of the words in it
set _qi_learn_any "^(?=\S[^\n]*\z)(?:.*[\s;|&/=])?(?:$_qi_learn_any)"
# a line of one command that begins with a plain word; what may stand before a word of ours
set -g _qi_learn_named '^(?<_qi_learn_head>[A-Za-z][A-Za-z0-9]*)(?: +[A-Za-z0-9_./:@%+,=-]+)*\\z'
for word in $_qi_learn_wrappers python python2 python3 pypy pypy3 pythonw
    set -g _qi_learn_before_(string escape --style=var -- $word)
end
set -g _qi_learn_head
set -g _qi_learn_after
# a part of a line of several commands without anything odd
set -l plain '[A-Za-z0-9_./:@%+,=-]'
set -l word "(?:$plain|'[^'\\\\\n\$<>*?=]*'|\"[^\"\\\\\n\$<>*?=]*\")+"
set -l null '(?:[0-9]?>&[0-2]|[0-9&]?>>? */dev/null|< */dev/null)(?=[ ;|&]|$)'
set -l part "(?:(?:time|[A-Za-z_][A-Za-z0-9_]*=$plain*) +)*(?!"
set part $part(string match -r '\(.*(?=\( )' -- $_qi_learn_reserved)'(?:[ ;|&]|$))'
set part "$part(?<words>[A-Za-z0-9_./:@%+,-]+)(?: +(?:$null|$word))*"
set -g _qi_learn_part "\G(?<parts>$part) *(?<ops>&&|[;|]|\$) *"
set -g _qi_learn_harmless '^(cd|clear|date|echo|false|git|ls|sleep|true)$'
set -g _qi_learn_counting 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20
set -g _qi_learn_form '{"v":1,"kind":"outcome","source":"fish","author":"person","project":"%s",'
set _qi_learn_form $_qi_learn_form'"body":{"kind":"%s","command":"%s","exit_code":%d,"seconds":%s,'
set _qi_learn_form $_qi_learn_form'"cwd":"%s"}}\n'

# No command substitution below: each costs as much as fifteen other steps. Each step counts, so
# what a line of one command needs is in few of them: a match sets several variables at once.

# Set _qi_learn_reply to the kind of a command; fail if it is none of ours. The rules are those of
# `kind_of` in qi_learn/capture/command_kind.py.
function _qi_learn_kind
    set -l at
    string match -rq -- '^(?:\S*/)?(?<_qi_learn_head>\w+)(?<_qi_learn_after>(?:\s.*)?)$' $argv[1]
    and set at _qi_learn_at_$_qi_learn_head
    and set -q $at
    or _qi_learn_head $argv[1]
    or return 1
    for number in $$at
        string match -qr -- "^($_qi_learn_forms[$number])(\\s|\$)" $_qi_learn_head$_qi_learn_after
        and set -g _qi_learn_reply $_qi_learn_kinds[$number]
        and return 0
    end
    return 1
end

# Set `at` to the name of the list of the forms that fit a command's first word, without what may
# stand before it.
function _qi_learn_head -S
    set -l rest $argv[1]
    set -l head
    set -l after
    while true
        string match -rq -- '^(?:\S*/)?(?<head>[^\s/]*)(?<after>.*)$' $rest; or return 1
        set -q _qi_learn_at_$head; and break
        string match -rq -- '^\s+(?<rest>\S.*)$' $after; or break
        contains -- "$head" $_qi_learn_wrappers
        or string match -qr -- '^(-.*|[0-9]+|[A-Za-z_][A-Za-z0-9_]*=.*)$' $head
        or break
    end
    set rest $head$after
    if string match -q -- 'py*' $head # a match that fails empties what it names
        set -l module
        string match -rq -- \
            '^(python|pypy)[0-9.]*w?(\.exe)?(\s+-\S+)*\s+-m\s+(?<module>.*)$' $rest
        and set rest $module
        and string match -rq -- '^(?<head>\S*)' $rest
    end
    set at _qi_learn_at_$head
    if not set -q $at
        string match -qr -- '^[A-Za-z0-9]+$' $head; and return 1
        contains -- "$head" $_qi_learn_heads
        or string match -rq -- '^(?<head>.*)-[0-9.]+$' $head
        or return 1
        set at _qi_learn_at_(string escape --style=var -- $head)
    end
    set _qi_learn_head $rest
    set _qi_learn_after ''
end

# --- what is outside: project, spool ---

# Set _qi_learn_list, _qi_learn_spool and _qi_learn_pause to where the projects are listed, the
# events go, and a pause is told.
function _qi_learn_find
    set -l data $HOME/.local/share/qi-learn
    set -l state $HOME/.local/state/qi-learn
    if test -d "$HOME/Library/Application Support/qi-learn"
        set data "$HOME/Library/Application Support/qi-learn"
        set state $data
    end
    test -z "$XDG_DATA_HOME"; or set data $XDG_DATA_HOME/qi-learn
    test -z "$XDG_STATE_HOME"; or set state $XDG_STATE_HOME/qi-learn
    if test -n "$QI_LEARN_HOME"
        set data (string replace -r -- '^~' $HOME $QI_LEARN_HOME)/data
        set state (string replace -r -- '^~' $HOME $QI_LEARN_HOME)/state
    end
    set -g _qi_learn_list $data/projects.json
    set -g _qi_learn_spool $state/spool
    set -g _qi_learn_pause $state/pause.json
end

# Whether the working directory, without links or as it is written, is in a registered project that
# events can be written for: _qi_learn_found is the innermost one. What is known of a directory
# holds until the list, the directory or the places change.
function _qi_learn_project
    set -l places "$PWD:$QI_LEARN_HOME:$XDG_DATA_HOME:$XDG_STATE_HOME:$HOME"
    if test "$places" = "$_qi_learn_places" -a -d "$_qi_learn_real" -a -r "$_qi_learn_list"
        read -lz text <$_qi_learn_list
        test "$text" = "$_qi_learn_listed"; or _qi_learn_look $places $text
    else
        _qi_learn_find
        test -r $_qi_learn_list; or return 1
        read -lz text <$_qi_learn_list
        _qi_learn_look $places $text
    end
    test -n "$_qi_learn_found" -a -w $_qi_learn_spool
end

# Look for the project in the list. What is found is kept as it stands in JSON.
function _qi_learn_look
    set -g _qi_learn_found ''
    set -g _qi_learn_real (builtin pwd -P); or return 1
    set -g _qi_learn_places $argv[1]
    set -g _qi_learn_listed $argv[2]
    set -l found ''
    set -l unescaped
    set -l listed (string replace -rf -- '^\s*"(.*)",?$' '$1' <$_qi_learn_list)
    set listed (string replace -a -- '\\"' '"' $listed)
    if string match -qr -- '\\\\u' $listed # of version 0.1
        for held in $listed
            string match -qr -- '\\\\u' $held; and set held (printf '%b' $held)
            set -a unescaped $held
        end
        set listed $unescaped
    end
    set listed (string replace -a -- '\\\\' '\\' $listed)
    for pattern in (string escape --style=regex -- $listed)
        set -l held $listed[1]
        set -e listed[1]
        string match -qr -- "^$pattern/" $_qi_learn_real/ $PWD/; or continue
        test (string length -- $held) -gt (string length -- "$found"); and set found $held
    end
    test -n "$found"; or return 1
    set -g _qi_learn_found (_qi_learn_escaped $found)
    set -g _qi_learn_cwd (_qi_learn_escaped $_qi_learn_real)
end

# Print a text as it stands within a JSON string.
function _qi_learn_escaped
    set -l text (string replace -a -- '"' '\\"' (string replace -a -- '\\' '\\\\' $argv[1]))
    if string match -qr -- '[\x01-\x1f]' $text
        for code in 0{1,2,3,4,5,6,7,8,9,a,b,c,d,e,f} 1{0,1,2,3,4,5,6,7,8,9,a,b,c,d,e,f}
            set text (string replace -ar -- "\\x$code" "\\\\u00$code" $text)
        end
    end
    printf '%s' $text
end

# Whether a pause (`qi-learn pause`) holds now. One that has no end, or cannot be read, does. fish
# has no clock, so this starts a process: only while there is a file of pauses.
function _qi_learn_paused
    set -l line ''
    set -l until ''
    test -r $_qi_learn_pause; and read line <$_qi_learn_pause
    string match -rq -- '^\{"until": (?<until>\d+),' "$line"; or return 0
    test $until -gt (command date +%s)
end

# Write the line for the command $argv[1] that ended with $argv[2], of the kind _qi_learn_reply,
# into a file of its own (0600), whose time is the event's: fish has no clock. The number in its
# name is chance and a count, so it cannot come again.
function _qi_learn_record
    test -e $_qi_learn_pause; and _qi_learn_paused; and return 0
    set -q _qi_learn_units[1]; or _qi_learn_count
    set -l file fish-$fish_pid-$_qi_learn_chance$_qi_learn_tens[1]$_qi_learn_units[1].jsonl
    set -l mask $umask
    set umask 0077
    printf $_qi_learn_form $_qi_learn_found $_qi_learn_reply $argv $CMD_DURATION"e-3" \
        $_qi_learn_cwd >>$_qi_learn_spool/$file
    set umask $mask
    set -e _qi_learn_units[1]
end

# Set what the next file's name is made of.
function _qi_learn_count
    set -l digits 0 1 2 3 4 5 6 7 8 9
    set -g _qi_learn_units $digits$digits
    set -e _qi_learn_tens[1]
    if test -z "$_qi_learn_tens[1]"
        set -g _qi_learn_tens $digits$digits
        set -g _qi_learn_chance (random 1000000000 999999999999999)
    end
end

# --- what a line says ---

# Print a line with every quoted character as Q, so that what is left of | ; & < > and the rest has
# its meaning; fail if it holds what this file does not read: substitutions, negation, background,
# several lines.
function _qi_learn_bare
    set -l rest $argv[1]
    set -l bare ''
    set -l quoted '^([^"\'\\\\]*)(\'(?:[^\'\\\\]|\\\\.)*\'|"(?:[^"\\\\]|\\\\.)*"|\\\\.)(.*)$'
    while set -l piece (string match -r -- $quoted $rest)
        set rest $piece[4]
        set -l blank (string repeat -n (string length -- $piece[3]) Q)
        if string match -q -- '"*$*' $piece[3]
            string match -qr -- '[(\[]' $piece[3]; and return 1
            set blank \$(string sub -s 2 -- $blank)
        end
        set bare $bare$piece[2]$blank
    end
    set bare $bare$rest
    string match -qr -- '[`(){}!\n\'"\\\\]|\$.*\[|\|\||&\||>\||;;|(^|[\s;|&])#' $bare; and return 1
    set -l safe '^(.*)([0-9]?>&[0-2]|[0-9&]?>>?\s*/dev/null|<\s*/dev/null)(?=[\s;|&]|$)(.*)$'
    while set -l piece (string match -r -- $safe $bare)
        set bare $piece[2](string repeat -n (string length -- $piece[3]) ' ')$piece[4]
    end
    set bare (string replace -a -- '>&' '>$' (string replace -a -- '&>' ' >' $bare))
    set bare (string replace -a -- '&&' \x01\x01 $bare)
    string match -q -- '*&*' $bare; and return 1
    printf '%s' $bare
end

# Fill `parts` (texts), `bares` (the same, without what is quoted), `words` (what they run) and
# `ops` (between them: ; | or x01 for &&) from a line; fail if it is not of commands alone.
function _qi_learn_split -S
    set -l line $argv[1]
    set -l bare (_qi_learn_bare $line); or return 1
    while true
        set -l piece (string match -r -- '^[^;|\x01]*' $bare)
        set -l size (string length -- $piece)
        set -l text (string trim -- (string sub -l $size -- $line))
        if test -z "$text"
            test "$ops[-1]" = ';' -a $size -eq (string length -- $bare); or return 1
            set -e ops[-1]
            return 0
        end
        set -l word (string replace -r -- '^\s*((time|[A-Za-z_][A-Za-z0-9_]*=\S*)\s+)*' '' $piece)
        set word (string match -r -- '^\S*' $word)
        string match -qr -- $_qi_learn_reserved $word; and return 1
        set -a parts $text
        set -a bares $piece
        set -a words $word
        test $size -eq (string length -- $bare); and return 0
        set -a ops (string sub -s (math $size + 1) -l 1 -- $bare)
        set -l next (math $size + 2)
        test "$ops[-1]" = \x01; and set next (math $size + 3)
        set line (string sub -s $next -- $line)
        set bare (string sub -s $next -- $bare)
    end
end

# Whether a part can only end with its command's own exit code $argv[2]: not for want of a file or of
# its name (quoted characters are Q here), and not because it was stopped.
function _qi_learn_own
    test $argv[2] -eq 0; and return 0
    test $argv[2] -ge 145 -a $argv[2] -le 150; and return 1
    test $argv[2] -eq 1; and string match -qr -- '[<>]' $argv[1]; and return 1
    test $argv[2] -eq 2; and string match -qr -- '[<>]\s*\S*[$*?Q]' $argv[1]; and return 1
    not begin
        test $argv[2] -eq 124
        and string match -qr -- '[*?]' $argv[1]
    end
end

# Whether the first $argv[1] parts cannot have ended the line.
function _qi_learn_calm -S
    for i in $_qi_learn_counting[1..$argv[1]]
        if set -q bares[1]
            string match -qr -- '[$<>*?=]' $bares[$i]; and return 1
        else
            string match -q -- '*=*' $parts[$i]; and return 1
        end
        string match -qr -- $_qi_learn_harmless $words[$i]
        or _qi_learn_kind $parts[$i]
        or return 1
    end
end

# Fill `told` with numbers of parts and their exit codes, as far as they follow from the exit code
# of the line and those of its last pipeline. Numbers are taken from lists: `math` is as dear as all
# the rest.
function _qi_learn_told -S -a code
    set -l pipes $argv[2..]
    set -l number $_qi_learn_counting
    set -l pipeline 1 # the parts of the last one
    set -l before # what stands before it: && or ;
    set -l calm # the last part with ; behind it
    set -q ops[19]; and return 1
    for op in $ops
        test $op = ';'; and set calm $number[1]
        set -e number[1]
        if test $op = '|'
            set -a pipeline $number[1]
        else
            set pipeline $number[1]
            set before $op
        end
    end
    if test $code -ne 0; and set -q before[1]
        test $code -lt 128; or return 1
        if test $before != ';' # only a `cd` may stand before it, and it must have worked
            test $pipeline[1] -eq 2 -a $words[1] = cd -a $PWD != $_qi_learn_from; or return 1
        end
        test -z "$calm"; or _qi_learn_calm $calm; or return 1
    end
    if set -q pipeline[2]
        _qi_learn_piped
        return
    end
    test $code -eq 0; or _qi_learn_own "$bares[$pipeline]" $code; or return 1
    set told "$pipeline $code"
    set -l earlier
    if test $code -eq 0; and not string match -qr -- '[|;]' "$ops"
        for i in $_qi_learn_counting # all of them ended with 0: if they are all ours, they are told
            set -q ops[$i]; or break
            not string match -qr -- $_qi_learn_harmless $words[$i]
            and _qi_learn_kind $parts[$i]
            and set -a earlier "$i 0"
            and continue
            set earlier
            break
        end
        set told $earlier $told
    end
    return 0
end

# The same for a last pipeline of several.
function _qi_learn_piped -S
    for i in $_qi_learn_counting
        set -q pipeline[$i]; and set -q pipes[$i]; and continue
        set -q pipeline[$i]; or set -q pipes[$i]; and return 1
        break
    end
    set -l whole 1
    set pipes $pipes[-1..1]
    for i in $pipeline[-1..1]
        set -l own $pipes[1]
        set -e pipes[1]
        if test $own -eq 0; or test -n "$whole" -a $own -lt 128
            _qi_learn_own "$bares[$i]" $own; and set -p told "$i $own"
        end
        string match -qr -- '^(cat|tail|tee|sort|wc)(\s|$)' $parts[$i]; or set whole ''
    end
    return 0
end

# Record what is certain of a line that ended with these exit codes: its own, the last pipeline's.
function _qi_learn_ended -a line code
    _qi_learn_project; or return 0
    set -l parts
    set -l bares
    set -l words
    set -l ops
    set -l told
    string match -raq -- $_qi_learn_part $line
    if set -q ops[1]; and test -z "$ops[-1]" # each part was read, to the end
        set -e ops[-1]
    else
        set parts
        set words
        set ops
        _qi_learn_split $line; or return 0
    end
    if test "$code $ops" = '0 &&'; and string match -qr -- $_qi_learn_harmless $words[1]
        set told '2 0' # what is written most: `cd web && npm test`
    else
        _qi_learn_told $code $argv[3..]; or return 0
    end
    for entry in $told
        string match -rq -- '^(?<at>\S+) (?<own>\S+)$' $entry
        functions -q -- $words[$at]; and continue
        set -l part $parts[$at]
        _qi_learn_kind $part; or continue
        string match -qr -- '[\\\\"\x01-\x1f]' $part; and set part (_qi_learn_escaped $part)
        _qi_learn_record $part $own
    end
end

# --- when ---

function _qi_learn_preexec --on-event fish_preexec
    set -g _qi_learn_from $PWD
end

# Every function for this event gets $status and $pipestatus as the line left them. Most lines are
# one command and not of ours, and done with in four steps.
function _qi_learn_postexec --on-event fish_postexec
    set -l codes $status $pipestatus
    if string match -rq -- $_qi_learn_named $argv[1]
        if set -q _qi_learn_at_$_qi_learn_head
            set -q fish_private_mode; and return
            contains -- $codes[1] 145 146 147 148 149 150; and return
            functions -q -- $_qi_learn_head; and return
            _qi_learn_project 2>/dev/null; or return
            set -l at _qi_learn_at_$_qi_learn_head
            for number in $$at # as _qi_learn_kind
                string match -qr -- "^($_qi_learn_forms[$number])(\\s|\$)" $argv[1]
                and set -g _qi_learn_reply $_qi_learn_kinds[$number]
                and _qi_learn_record $argv[1] $codes[1] 2>/dev/null
                and return
            end
            return
        end
        set -q _qi_learn_before_$_qi_learn_head; or return
    end
    string match -qr -- $_qi_learn_any $argv[1]; or return
    set -q fish_private_mode; or _qi_learn_ended $argv[1] $codes 2>/dev/null
end
