"""A game of verifiers in which the model speaks up to three times; its program runs in the caller's process.

Its reward is a toss-up, so that nearly every group informs.
"""

import httpx
import verifiers.v1 as vf

__all__ = ["InProcess", "TalkEnv", "Talks"]
NUM_TURNS = 3


class Talk(vf.Task[vf.TaskData]):
    @vf.reward
    async def even(self, trace) -> float:
        replies = [message.content or "" for message in trace.assistant_messages]
        return float(sum(map(ord, "".join(replies))) % 2 == 0)


class Talks(vf.Taskset[Talk]):
    def load(self):
        for i in range(64):
            yield Talk(vf.TaskData(prompt=f"{i % 8 + 1} 2=3:"))


class InProcessConfig(vf.HarnessConfig):
    pass


class InProcess(vf.Harness[InProcessConfig]):
    APPENDS_SYSTEM_PROMPT = SUPPORTS_RESUME = True
    EXECUTES_CODE = NEEDS_CONTAINER = False

    async def launch(self, ctx, trace, runtime, endpoint, secret, mcp_urls, data):
        messages = data.prompt
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        else:
            messages = [message.model_dump(exclude_none=True) for message in messages]

        async with httpx.AsyncClient(timeout=600) as client:
            answer = await client.post(
                f"{endpoint}/chat/completions",
                json={"model": ctx.model, "messages": messages},
                headers={"Authorization": f"Bearer {secret}"},
            )
        answer.raise_for_status()
        return vf.ProgramResult(0, "", "")


class TalkConfig(vf.EnvConfig):
    player: vf.AgentConfig = vf.AgentConfig(
        runtime=vf.SubprocessConfig(), harness=InProcessConfig(id="talk_v1")
    )


class TalkEnv(vf.Env[TalkConfig]):
    async def run(self, task, agents):
        async with agents.player.interaction(task) as talk:
            segment = await talk.turn()
            for _ in range(NUM_TURNS - 1):
                # A reply that was cut has no end, and the template would add one.
                if segment.terminated or talk.trace.is_truncated:
                    break
                segment = await talk.turn("1 2=3:")


def make() -> TalkEnv:
    return TalkEnv(TalkConfig(taskset=vf.TasksetConfig(id="talk_v1")))
