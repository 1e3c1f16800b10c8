"""MT-GRPO with nothing but PyTorch and a generate() call: the whole method, on the embedded model.

python examples/plain_pytorch.py --steps 20
"""

import argparse

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from mtgrpo import Group, ImprovementAware, TaskMixer
from mtgrpo.core.advantages import group_advantages
from mtgrpo.core.prompts import PromptStream
from mtgrpo.tasks import TaskSet
from mtgrpo.tiny import model_path, tiny_tasks

GROUP_SIZE, MAX_NEW_TOKENS = 8, 16


def rollout(model, tokenizer, tasks, streams, request):
    """Ask the model GROUP_SIZE times for every requested prompt and score what comes back, group by group."""
    prompts = [
        (name, row) for name, count in request.items() for row in streams[name].draw_rows(count)
    ]
    texts = [tasks[name].train[row]["prompt"] for name, row in prompts]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
    options = {"max_new_tokens": MAX_NEW_TOKENS, "num_return_sequences": GROUP_SIZE}
    with torch.no_grad():
        sequences = model.generate(**inputs, do_sample=True, top_k=0, **options)

    prompt_mask = inputs["attention_mask"].repeat_interleave(GROUP_SIZE, 0)  # (rows, prompt tokens)
    completions = sequences[:, prompt_mask.shape[1] :]  # (rows, new tokens)
    is_end = (completions == tokenizer.eos_token_id).int()
    mask = (is_end.cumsum(1) - is_end) == 0  # up to and including the first end token
    kept = completions.where(mask, tokenizer.pad_token_id)
    answers = tokenizer.batch_decode(kept, skip_special_tokens=True)

    for i, (name, row) in enumerate(prompts):
        part = slice(i * GROUP_SIZE, (i + 1) * GROUP_SIZE)
        scores = tasks[name].score([tasks[name].train[row]] * GROUP_SIZE, answers[part])
        rewards = tuple(score.reward for score in scores)
        accuracies = tuple(score.accuracy for score in scores)
        payload = (sequences[part], prompt_mask[part], mask[part])
        yield Group(name, rewards, accuracies, payload=payload)


def grpo_loss(model, group):
    """Policy gradient with group-relative advantages; one update per batch, so the importance ratio is 1."""
    sequences, prompt_mask, mask = group.payload
    attention = torch.cat([prompt_mask, mask.to(prompt_mask.dtype)], 1)  # (G, all tokens)
    positions = (attention.cumsum(1) - 1).clamp(min=0)
    logits = model(sequences, attention_mask=attention, position_ids=positions).logits

    chosen = sequences[:, -mask.shape[1] :, None]  # (G, new tokens, 1)
    logps = logits[:, -mask.shape[1] - 1 : -1].log_softmax(-1).gather(-1, chosen)[..., 0]
    advantages = torch.tensor(group_advantages(group.rewards))[:, None]  # (G, 1)
    return -(advantages * logps * mask).sum() / mask.sum()


def train(steps, batch_size=16, learning_rate=1e-4, seed=0):
    """Train the embedded model; returns the mixer."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(model_path())
    model = AutoModelForCausalLM.from_pretrained(model_path())
    optimizer = torch.optim.AdamW(model.parameters(), learning_rate)

    tasks = TaskSet(*tiny_tasks(levels=["medium"]))
    streams = {task.name: PromptStream(task.name, len(task.train), seed) for task in tasks}
    weighting = ImprovementAware(lam=0.2)
    mixer = TaskMixer(tasks.names, batch_size=batch_size, weighting=weighting, seed=seed)

    for step in range(steps):
        batch = mixer.new_batch()  # quotas from the weights
        while request := batch.ask():  # prompts to roll out now
            groups = rollout(model, tokenizer, tasks, streams, request)
            batch.tell(groups)  # every group, informative or not

        optimizer.zero_grad()
        for group in batch.groups:  # exactly the groups to train on
            (grpo_loss(model, group) / len(batch.groups)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

        mixer.update()  # weights move
        worst, mean = (mixer.metrics()[f"tasks/{what}_accuracy"] for what in ("worst", "mean"))
        print(f"step {step:3d}  worst {worst:.2f}  mean {mean:.2f}")
    return mixer


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    torch.set_num_threads(1)
    train(parser.parse_args().steps)
