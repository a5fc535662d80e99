"""Figures of activations: texts, answers, every block, means."""

from typing import Any

import torch
from torch import Tensor

from promptpriors.activations import load_space
from promptpriors.activations.reading import Reader
from promptpriors.activations.texts import ANSWER, QUESTION, Text
from promptpriors.analysis.clusters import hdbscan_agreement, silhouette
from promptpriors.analysis.projection import fit_plane, ordinary
from promptpriors.analysis.separation import document_points
from promptpriors.analysis.significance import sign_flip_test
from promptpriors.analysis.trajectories import localisation, paths_of, spread
from promptpriors.analysis.tsne import fit_tsne
from promptpriors.analysis.unimodality import unimodality_test
from promptpriors.models import Backbone
from promptpriors.paper import figure_parts as parts
from promptpriors.paper.figure_parts import DOCUMENTS, SENTENCES, TSNE_AXES, WORDS
from promptpriors.paper.figure_plan import DOMAINS
from promptpriors.paper.inputs import DRAWN_POINTS, FigureInputs, on_plane
from promptpriors.prompts import generate
from promptpriors.runs import load_prompt
from promptpriors.runs.pictures import Layer, Panel, Picture
from promptpriors.types import Site, Space

QUESTIONS = 40
"""Questions whose answers are measured."""
LONGEST = 24
"""Tokens of an answer, at most."""
NULLS = 999
"""Null draws of each block's dip: p must be able to reach 5 % divided by the number of blocks."""
COLOURS = ("trained", "answer", "question", "third", "sampled", "second")
"""Of the six arithmetic tasks."""


def texts(inputs: FigureInputs) -> Picture:
    """Figure 2: C4's tokens two thirds up the network, and a few texts as lines."""
    site = inputs.two_thirds_block
    space = inputs.space("c4", site)
    plane = inputs.plane(f"c4 {site}", lambda: space.points)
    found = paths_of(space, least=WORDS)
    paths, documents = found.paths[:DOCUMENTS], found.documents[:DOCUMENTS]
    lines = parts.text_lines(on_plane(plane, path[:WORDS]) for path in paths)
    layers = [*parts.token_clouds(inputs, plane, site, "c4"), *lines]
    measured = localisation(
        paths, {"unigram": space.points}, documents=documents, generator=inputs.random("figure 2")
    )
    return Picture(
        2,
        f"Texts at {site}",
        f"Tokens of C4 at {site} on their principal plane (at most {DRAWN_POINTS:,} drawn; first "
        f"tokens left out), and {WORDS} tokens of {SENTENCES} documents as lines. The numbers are "
        "of whole documents in all dimensions: spread and mean step over those of as many tokens "
        "shuffled or drawn from all documents.",
        [Panel("", parts.axes(plane), layers)],
        {"documents": len(paths), **parts.localisation_numbers(measured)},
        columns=1,
    )


def answers(inputs: FigureInputs) -> Picture:
    """Figure 3: a question and its answer among C4 and SQuAD in the last block."""
    site = inputs.last_block
    plane = inputs.text_plane(site)
    read = _answered(inputs)
    question, answer = max(read, key=lambda pair: len(pair[1]))
    layers = [
        *parts.token_clouds(inputs, plane, site, "c4", "squad"),
        Layer("marks", "a question, its paragraph", "question", on_plane(plane, question)),
        Layer("ways", "its generated answer", "answer", on_plane(plane, answer)),
    ]
    domains = {DOMAINS[name]: inputs.space(name, site) for name in ("c4", "squad")}
    return Picture(
        3,
        "A question and its answer in the last block",
        f"Tokens of C4 and SQuAD at {site} on their principal plane (at most {DRAWN_POINTS:,} of "
        "each drawn), one question with its paragraph, and the answer that the model generates "
        "behind the trained prompt squad-gaussian, greedily. The numbers: over questions, the "
        "spread of an answer's tokens over that of as many tokens of its own question drawn at "
        "random.",
        [Panel("", parts.axes(plane), layers)],
        {
            "answers": _closeness(inputs, read),
            "energy distance, one point a document": parts.separated(domains, inputs, "figure 3"),
        },
        columns=1,
    )


def layers(inputs: FigureInputs) -> Picture:
    """Figure 4: C4 at the input of every block."""
    domain = inputs.plan.domains["c4"].model_copy(update=inputs.plan.layers.model_dump())
    store = inputs.captured("layers", inputs.backbone, domain, inputs.blocks)
    panels, numbers = [], {}
    for site in inputs.blocks:
        space = load_space(store, site)
        plane = fit_plane(ordinary(space.points))
        cloud = Layer("cloud", "C4", "data", on_plane(plane, space.points))
        panels.append(Panel(site, ("", ""), [cloud]))
        points = document_points(space, generator=inputs.random("figure 4", site))
        stream = inputs.random("figure 4 nulls", site)
        found = unimodality_test(points, generator=stream, nulls=NULLS)
        numbers[site] = {"p": found.joint, "dips": dict(found.dips), "documents": len(points)}
    few = sum(found["p"] <= 0.05 / len(numbers) for found in numbers.values())
    return Picture(
        4,
        "C4 at the input of every block",
        "Each block on the principal plane of its tokens, first tokens left out, and those of over "
        "ten times the median norm for the plane alone; where points lie outside the frame, their "
        "number stands in it. A plane can hide a second hump; the numbers test the dip along three "
        "principal components and from mean to mean of a division into two, one point a document, "
        "against a Gaussian of equal covariance. "
        f"{few} of {len(numbers)} blocks differ from it at 5 % divided by the number of blocks.",
        panels,
        {"blocks that differ": few, "blocks": numbers},
        columns=6,
    )


def means(inputs: FigureInputs) -> Picture:
    """Figure 5: mean activations of C4 and arithmetic tasks in two models."""
    panels, numbers = [], {}
    top = "encoder.final" if inputs.encoder.seq2seq else "final"
    roles = ("data", *COLOURS)
    for backbone, site in ((inputs.encoder, top), (inputs.backbone, inputs.last_block)):
        spaces = _means(inputs, backbone, site)
        points = torch.cat([space.points for space in spaces.values()])
        sizes = [len(space.points) for space in spaces.values()]
        labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        flat = fit_tsne(points, seed=inputs.plan.seed).coordinates.split(sizes)
        marks = [
            Layer("marks" if i else "cloud", name, roles[i % len(roles)], flat[i])
            for i, name in enumerate(spaces)
        ]
        title = f"{backbone.name}, {site}"
        panels.append(Panel(title, TSNE_AXES, marks))
        numbers[title] = {
            "silhouette": silhouette(points, labels),
            "hdbscan": hdbscan_agreement(points, labels)._asdict(),
            "energy distance of means": parts.separated(spaces, inputs, "figure 5", means=True),
        }
    random = "random" if inputs.plan.encoder == "tiny-t5" else "trained"
    return Picture(
        5,
        "Mean activations of C4 and six arithmetic tasks",
        "One point an example, on t-SNE maps. Left the encoder–decoder "
        f"{inputs.encoder.name}, whose weights are {random}: where they are random, what separates "
        f"tasks is their letters alone. Right {inputs.backbone.name}, a decoder. Distances "
        "between clusters of a t-SNE map mean nothing; the numbers are of the means themselves.",
        panels,
        numbers,
        columns=2,
    )


def _answered(inputs: FigureInputs) -> list[tuple[Tensor, Tensor]]:
    """Activations of questions and of the answers generated to them, behind a trained prompt."""
    run = inputs.run("squad-gaussian")
    prompt, backbone = load_prompt(run.folder), inputs.backbone
    task = inputs.workspace.task(inputs.run_config("squad-gaussian").task)
    examples = task.splits["validation"][:QUESTIONS]
    written = generate(backbone, prompt, examples, max_new_tokens=LONGEST, stop="\n")
    texts = []
    for example, answer in zip(examples, written, strict=True):
        source = [i for piece in example.source for i in backbone.encode(piece)]
        reply = backbone.encode(f" {answer}") if answer else []
        roles = (QUESTION,) * len(source) + (ANSWER,) * len(reply)
        texts.append(Text(example.id, (*source, *reply), roles))
    longest = max(len(text.ids) for text in texts)
    reader = Reader(backbone, [inputs.last_block], prompt=prompt, longest=longest)
    found = []
    for reading in reader.read([text] for text in texts):
        states, answer = reading.states[inputs.last_block].detach().float(), reading.roles == ANSWER
        kept = reading.positions > 0
        found.append((states[kept & ~answer], states[answer]))
    return [(question, answer) for question, answer in found if len(answer) >= 2]


def _closeness(inputs: FigureInputs, read: list[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """How close an answer's tokens lie, over as many of its question's."""
    stream = inputs.random("figure 3", "answers")
    logs = []
    for question, answer in read:
        rows = torch.rand(50, len(question), generator=stream).argsort(dim=1)[:, : len(answer)]
        logs.append(spread(answer).double().log() - spread(question[rows]).double().log().mean())
    values = torch.stack(logs)
    return {
        "questions": len(values),
        "spread over the question's": float(values.mean().exp()),
        "interval": parts.ratio_interval(values),
        "p": sign_flip_test(values, generator=stream).p,
    }


def _means(inputs: FigureInputs, backbone: Backbone, site: Site) -> dict[str, Space]:
    section = inputs.plan.means
    c4 = inputs.plan.domains["c4"].model_copy(update={"documents": section.documents})
    tasks = {"C4": c4}
    for module in section.modules:
        task = {"name": "mathematics", "modules": [module], "train": section.documents}
        tasks[module] = c4.model_copy(update={"task": task, "split": "train"})
    found = {}
    for name, domain in tasks.items():
        store = inputs.captured(f"{backbone.name}-{name}", backbone, domain, [site], "mean")
        found[name] = load_space(store, site, pool="mean")
    return found
