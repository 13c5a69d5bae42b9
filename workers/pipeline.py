"""A pipeline whose stages are orchestrations of their own: each has its id, its history, and can be rewound alone.

durastream dev workers.pipeline:app

durastream start digest --id digest-1 --input '{"texts": ["to be or not to be", "that is the question"]}' --wait
durastream list --prefix digest-1
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import durastream as ds

app = ds.App()


@dataclass(frozen=True)
class Batch:
    texts: list[str]


@app.activity
async def split(text: str) -> list[str]:
    return text.split()


@app.activity
async def count(words: list[str]) -> dict[str, int]:
    return dict(Counter(words))


@app.orchestrator
async def tokenize(ctx: ds.OrchestrationContext, batch: Batch) -> list[str]:
    """First stage: all texts at once."""
    parts = await ds.when_all([ctx.call_activity(split, text) for text in batch.texts])
    return [word for words in parts for word in words]


@app.orchestrator
async def rank(ctx: ds.OrchestrationContext, words: list[str]) -> list[str]:
    """Second stage: the most frequent words first, alphabetically among equals."""
    counts = await ctx.call_activity(count, words)
    return sorted(counts, key=lambda word: (-counts[word], word))


@app.orchestrator
async def digest(ctx: ds.OrchestrationContext, batch: Batch) -> str:
    """Run the stages under ids made of this one's, so that they can be found."""
    words = await ctx.call_sub_orchestrator(tokenize, batch, instance_id=f"{ctx.instance_id}/tokenize")
    ranked = await ctx.call_sub_orchestrator(rank, words, instance_id=f"{ctx.instance_id}/rank")
    return f"{len(words)} words, most frequent: {', '.join(ranked[:3])}"
