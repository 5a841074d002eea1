"""What is kept of a conversation of an agent that goes on for a day."""

from __future__ import annotations

from qi_learn.importers.conversation import KEPT, Conversation


def test_what_no_question_reaches_is_not_kept() -> None:
    said = Conversation()
    said.add({"role": "user", "content": "Begin."}, "prompt")
    for n in range(400):
        said.add({"role": "assistant", "content": f"Step {n}."}, "answer")
        said.add({"role": "user", "content": f"{n:50000d}"}, "other")
    held = sum(len(str(message)) for message in said.messages)
    assert held < KEPT + 100_000
    question = said.question()
    assert question[0] == {"role": "user", "content": "Begin."}
    assert question[-2:] == said.messages[-2:]


def test_one_may_go_back_to_before_what_is_kept() -> None:
    said = Conversation()
    said.add({"role": "user", "content": "Begin."}, "prompt")
    for n in range(400):
        said.add({"role": "assistant", "content": f"Step {n}."}, "answer")
        said.add({"role": "user", "content": f"{n:50000d}"}, "other")
    said.cut(101)
    said.add({"role": "user", "content": "Go on otherwise."}, "prompt")
    assert said.question() == [{"role": "user", "content": "Go on otherwise."}]
    for n in range(400):
        said.add({"role": "assistant", "content": f"Step {n}."}, "answer")
        said.add({"role": "user", "content": f"{n:50000d}"}, "other")
    assert sum(len(str(message)) for message in said.messages) < KEPT + 100_000
    said.cut(0)
    said.add({"role": "user", "content": "Anew."}, "prompt")
    assert said.question() == [{"role": "user", "content": "Anew."}]
