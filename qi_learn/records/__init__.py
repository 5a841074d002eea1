"""The vocabulary: the records that every other module speaks in, by life-cycle.

    events -> evidence -> data -> training -> gating -> versions

Records are frozen and carry no behaviour beyond what their own fields say. Times are Unix seconds
(UTC, float); durations are seconds unless the name says otherwise. `None` means *unknown*, never
false: a signal that nothing reported is not a signal that was negative.

Called by most packages.
May import nothing of ours but how a record is made (record_class.py).
Never acts: it reads no file, no clock and no other module.

A record's module is loaded when the record is first asked for: a command pays for those it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qi_learn.records.data import (
        Example,
        Pair,
        Recall,
        Snapshot,
        Split,
    )
    from qi_learn.records.events import (
        AUTHORS,
        EVENT_KINDS,
        Author,
        Event,
        EventKind,
    )
    from qi_learn.records.evidence import (
        CommandResult,
        Complexity,
        Fate,
        Feedback,
        LearningInteraction,
        LearningType,
        Mark,
        Message,
        Outcome,
        Said,
        Score,
        Sign,
        Signal,
        Suggestion,
        SuggestionState,
        Turn,
    )
    from qi_learn.records.forgetting import (
        NO_MARKS,
        ForgetRequest,
        MarkedVersion,
        Receipt,
        TurnMarks,
    )
    from qi_learn.records.gating import (
        Behaviour,
        Check,
        Execution,
        Leak,
        Packed,
        PastLook,
        Smoke,
        SuiteNll,
        TensorGain,
        Verdict,
    )
    from qi_learn.records.importing import (
        ImportedItem,
        ImportedTurn,
        NotUnderstood,
        ReadTo,
        ToolRating,
        ToolSign,
    )
    from qi_learn.records.monitoring import (
        Monitored,
        MonitoredSession,
        MonitoredText,
        VersionPair,
    )
    from qi_learn.records.returning import (
        Became,
        GivenRating,
        ReturningCommand,
        ReturningRating,
        ReturningTurn,
    )
    from qi_learn.records.run_states import RUN_STATES_ENDED, RunState
    from qi_learn.records.scorable import AnswerFacts, AnswerSource, Scorable
    from qi_learn.records.set_aside import SetAside
    from qi_learn.records.surviving_lines import Survival
    from qi_learn.records.tracking import (
        Tracked,
        TurnChange,
        TurnHead,
        Waiting,
    )
    from qi_learn.records.training import (
        Divergence,
        PenaltyStrength,
        Placement,
        Plan,
        PlannedBase,
        PlannedBatches,
        PlannedHardware,
        PlannedLora,
        PlannedPenalties,
        PlannedSteps,
        RecallLog,
        TrainResult,
    )
    from qi_learn.records.versions import (
        Decision,
        Release,
    )
    from qi_learn.records.watching import (
        LeftOut,
        WatchMode,
        WatchState,
    )

__all__ = [
    "AUTHORS",
    "EVENT_KINDS",
    "NO_MARKS",
    "RUN_STATES_ENDED",
    "AnswerFacts",
    "AnswerSource",
    "Author",
    "Became",
    "Behaviour",
    "Check",
    "CommandResult",
    "Complexity",
    "Decision",
    "Divergence",
    "Event",
    "EventKind",
    "Example",
    "Execution",
    "Fate",
    "Feedback",
    "ForgetRequest",
    "GivenRating",
    "ImportedItem",
    "ImportedTurn",
    "Leak",
    "LearningInteraction",
    "LearningType",
    "LeftOut",
    "Mark",
    "MarkedVersion",
    "Message",
    "Monitored",
    "MonitoredSession",
    "MonitoredText",
    "NotUnderstood",
    "Outcome",
    "Packed",
    "Pair",
    "PastLook",
    "PenaltyStrength",
    "Placement",
    "Plan",
    "PlannedBase",
    "PlannedBatches",
    "PlannedHardware",
    "PlannedLora",
    "PlannedPenalties",
    "PlannedSteps",
    "ReadTo",
    "Recall",
    "RecallLog",
    "Receipt",
    "Release",
    "ReturningCommand",
    "ReturningRating",
    "ReturningTurn",
    "RunState",
    "Said",
    "Scorable",
    "Score",
    "SetAside",
    "Sign",
    "Signal",
    "Smoke",
    "Snapshot",
    "Split",
    "Suggestion",
    "SuggestionState",
    "SuiteNll",
    "Survival",
    "TensorGain",
    "ToolRating",
    "ToolSign",
    "Tracked",
    "TrainResult",
    "Turn",
    "TurnChange",
    "TurnHead",
    "TurnMarks",
    "Verdict",
    "VersionPair",
    "Waiting",
    "WatchMode",
    "WatchState",
]

_LIVES_IN = {
    name: module
    for module, names in {
        "data": "Example Pair Recall Snapshot Split",
        "events": "AUTHORS EVENT_KINDS Author Event EventKind",
        "evidence": "CommandResult Complexity Fate Feedback LearningInteraction LearningType Mark "
        "Message Outcome Said Score Sign Signal Suggestion SuggestionState Turn",
        "forgetting": "NO_MARKS ForgetRequest MarkedVersion Receipt TurnMarks",
        "gating": "Behaviour Check Execution Leak Packed PastLook Smoke SuiteNll TensorGain "
        "Verdict",
        "importing": "ImportedItem ImportedTurn NotUnderstood ReadTo ToolRating ToolSign",
        "monitoring": "Monitored MonitoredSession MonitoredText VersionPair",
        "run_states": "RUN_STATES_ENDED RunState",
        "returning": "Became GivenRating ReturningCommand ReturningRating ReturningTurn",
        "scorable": "AnswerFacts AnswerSource Scorable",
        "set_aside": "SetAside",
        "surviving_lines": "Survival",
        "tracking": "Tracked TurnChange TurnHead Waiting",
        "training": "Divergence PenaltyStrength Placement Plan PlannedBase "
        "PlannedBatches PlannedHardware PlannedLora PlannedPenalties PlannedSteps RecallLog "
        "TrainResult",
        "versions": "Decision Release",
        "watching": "LeftOut WatchMode WatchState",
    }.items()
    for name in names.split()
}
"""By record: the module below that has it."""


def __getattr__(name: str) -> Any:
    if name not in _LIVES_IN:
        raise AttributeError(f"qi_learn.records has no {name}")
    value = getattr(import_module(f"qi_learn.records.{_LIVES_IN[name]}"), name)
    globals()[name] = value
    return value
