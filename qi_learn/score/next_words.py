"""The words by which a clause of a next message says that an answer worked, or that it failed.

All in small letters, and all patterns in time that grows with the clause. Precision comes first:
words that turn the sense, or are about something else, stand beside those that they turn.
"""

from __future__ import annotations

import re

_THIS = (
    r"(?:it|that|this|(?:the|your|this|that) (?:last |new )?"
    r"(?:code|change|fix|solution|answer|version|function|edit|patch|suggestion)s?"
    r"(?: you gave me)?)"
)
_NOT = (
    r"(?:does ?n'?t|did ?n'?t|does not|did not|wo ?n'?t|will not|is ?n'?t|is not|was not|was ?n'?t)"
)
_ERRS = (
    r"(?:error|exception|traceback|\w+error|\w+exception)s?\b"
    r"(?=$|[^\w -]| \W| \d| (?:now|again|here|there|still|too|also|when|whenever|if|once|since"
    r"|while|because|after|before|during|in|inside|on|at|with|for|by|about|like|saying|says|that"
    r"|which|where|and|but|or|instead|though|even|every|each|running|trying|is|was|i|below"
    r"|above|messages?(?! only)|codes?)\b)"
)
"""An error, by what follows: a noun (a handler, a page, a free build) makes it a name."""
FAILED = re.compile(
    rf"^(?:(?:and|but|now|unfortunately|sadly|hm+|still|{_THIS})\b[ ]*)*{_NOT} (?:\w+ )?"
    r"(?:(?:work|compile|fix|solve|correct|right|what i)\b"
    r"|(?:run|build|help)\b(?! (?:the|it|any|my|all)\b))(?!(?: \w+){0,3} (?:yet|to)\b)"
    r"|^(?:it'?s |is |it is )?(?:still )?not working\b"
    r"|^(?:still|and|but|got|the|is)? ?(?:the )?same (?:error|result|problem|issue)\b"
    r"(?! as expected)"
    r"|\bstill (?:fail(?:s|ing)?|broken|throws?|crash(?:es|ing)?|errors?|wrong|the same"
    r"|off(?! (?:work|duty|topic))|not(?:$| (?:work|fix|solv|right|correct|compil|pass|ok|what))"
    rf"|(?:see|seeing|get|getting) (?:\w+ ){{0,3}}(?:{_ERRS}|problem|issue|bug|warning|crash))"
    rf"|\b{_THIS} (?:still |just |now )*(?:fails|crashes|throws|breaks|broke|hangs|errors out"
    r"|is (?:all |just |still )*(?:wrong|incorrect|broken)|is not (?:right|correct|working))\b"
    r"|\b(?:that|this|it)'s (?:all |just |still )*(?:wrong|incorrect|broken|not (?:right|correct"
    r"|what i|working))\b"
    r"|^(?:wrong|incorrect)(?:$| (?:again|answer|result|output|value|function|file|order|type)\b)"
    r"|\bi(?:'m| am)? (?:now |still )*(?:get|getting|got|see|seeing) "
    rf"(?:an? |the |this |that |same )*(?:\w+ )?{_ERRS}(?! from\b)"
    r"|\btests (?:are )?(?:still |now )(?:failing|fail|red|broken)\b"
    r"|\btests (?:are failing|fail|are red|are broken) now\b"
    r"|\byou (?:broke|misunderstood(?! nothing)|(?:changed|edited|deleted|removed) the wrong)\b"
    r"|(?<!not )\beven worse\b"
)
_LATER = (
    r"(?! (?:if|when|only|with(?:out)?|on|in|as|how|like (?!a charm)|again|before|until|till)\b)"
)
"""Words behind others that make these true of something else."""
WORKED = re.compile(
    rf"^(?:(?:and|now|yes|yep|yeah|ok|okay|great|nice|wow|{_THIS}|finally|all|really)\b[ ]*)*"
    r"(?:works|worked|did the trick|is fixed)\b"
    rf"{_LATER}(?! (?:yesterday|once|earlier|previously|(?:fine|ok|well) (?:before|until))\b)"
    rf"|^(?:\w+ )?{_THIS} (?:really |finally |all )?(?:fixed it|fixes it|fixes that|did it"
    rf"|solved it)\b{_LATER}"
    r"|\btests (?:are |all |now )*(?:pass|passing|passed|green)\b"
    r"(?! (?:except|apart|besides|only)\b)"
)
PRAISED = re.compile(
    r"^(?:(?:ok|okay|yes|yep|wow)\b ?)?(?:perfect|excellent|awesome|great|nice|brilliant|amazing"
    r"|cool|lovely|lgtm|looks (?:good|great|right))(?: (?:work|job|one|answer|to me))?$"
)
THANKS = re.compile(
    r"^(?:(?:great|ok|okay|perfect|cool|nice) )?(?:many )?(?:thanks|thank you|thx|cheers)"
    r"(?: so much| a lot| very much| a bunch)?$"
)
TROUBLE = re.compile(
    r"\b(?:bugs?|crash\w*|broke\w*|fail\w*|errors?|exceptions?|wrong|deleted|erased|lost|worse"
    r"|no longer|but no|not (?:really|quite|yet))\b|^no\b",
    re.MULTILINE,
)
"""Words that make praise in front of them no praise."""
NOT_ALL = re.compile(r"\b(?:no|none|not|never|half|some|few|most|only|neither|\w+n't)\b")
BUT_SOME = re.compile(r"(?: tests)?,? but (?:\d|one|two|three|some|not|only)\b")
EXCUSED = re.compile(
    r"\b(?:unrelated|by design|on purpose|my (?:fault|mistake|bad|typo|own (?:fault|mistake))"
    r"|wrong (?:branch|window|chat|tab)|ignore (?:this|that|me))\b"
)
"""Words that take back what the message says."""
ELSEWHERE = re.compile(
    r"\b(?:other|another|old|older|elsewhere)\b|^my\b|\bexists in\b"
    r"|\bin the (?:docs|readme)\b|\btoo$"
)
"""Words of a clause that speaks of something else than the answer."""
NO = re.compile(r"^(?:no|nope|nah)$")
REQUEST = re.compile(
    r"^(?:please |now |then |could you |can you )*(?:fix|write|add|make|look|find|update|debug"
    r"|explain|show|help|use|check|change|mend|move|run)\b"
)
"""Words that ask for something: what follows in the sentence is about that."""
UNREAL = re.compile(
    r"\b(?:if|whether|unless|why|how|what|which|where|so that|make sure|ensure|in case|should|would"
    r"|could|can|may|might|wonder|write|add|explain|show|check|when|until|once|test|let)\b"
)
"""Words in front of others that make these no report of what happened."""
