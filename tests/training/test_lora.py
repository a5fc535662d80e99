"""LoRA as the ceiling: PEFT's own training, on a model that is afterwards as it was."""

import copy
import json

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, GPT2Config

import promptpriors as pp
from promptpriors.config.run import parse_config
from promptpriors.models.backbone import freeze
from promptpriors.packing import encode
from promptpriors.prompts.losses import packed_losses, padded_losses
from promptpriors.rng import derive
from promptpriors.training import Progress
from promptpriors.training.lora import NAME, adapted
from tests.helpers import EXAMPLES, drawn

SOME = EXAMPLES[:4]
TINY = {
    "model": "tiny",
    "task": {"name": "mathematics", "train": 40, "validation": 10, "test": 4},
    "prior": {"name": "gaussian"},
    "prompt": {"mode": "none"},
}
TRAIN = {"steps": 6, "batch": 4, "evaluate_every": 2, "lr": 0.01, "lora": 4}


def config(**more):
    return parse_config({**TINY, "train": TRAIN, **more})


def trained(backbone, weights, **settings):
    """Records of training an adapter on a few examples, all of them in each batch."""
    task = pp.Task("toy", 1, {"train": SOME, "validation": SOME}, lambda *_: {})
    prompt = drawn(backbone, "none")
    state = Progress(prompt, settings.pop("lr"), adapter=weights)
    batches = {"batch": len(SOME), "grouping": "none", "progress": state}
    return list(pp.train(backbone, prompt, task, **batches, **settings))


def by_name(model):
    return {
        name.replace(NAME, "default").removeprefix("base_model.model."): weight
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }


def peft_losses(model, lr, steps):
    """Losses of PEFT's model trained in a plain loop on padded batches, labels by Hugging Face."""
    backbone = pp.load_model("tiny")
    lines = []
    for example in SOME:
        source = [i for text in example.source for i in backbone.encode(text)]
        lines.append((source, [*backbone.encode(f" {example.targets[0]}"), backbone.end]))
    width = max(len(source) + len(known) for source, known in lines)
    ids = torch.full((len(lines), width), backbone.end)
    labels, mask = torch.full_like(ids, -100), torch.zeros_like(ids)
    for row, (source, known) in enumerate(lines):
        size = len(source) + len(known)
        ids[row, :size] = torch.tensor([*source, *known])
        labels[row, len(source) : size] = torch.tensor(known)
        mask[row, :size] = 1
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=lr, weight_decay=0.0)
    found = []
    for _ in range(steps):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found


def test_it_equals_pefts_training_to_float_accuracy(tiny):
    torch.manual_seed(derive(3, "lora"))
    settings = peft.LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM")
    theirs = peft.get_peft_model(pp.load_model("tiny").model, settings).eval()
    with adapted(tiny, 4, seed=3) as weights:
        ours = by_name(tiny.model)
        assert len(ours) == len(weights) > 0
        expected = by_name(theirs)
        assert list(ours) == list(expected)
        assert all(torch.equal(ours[name], expected[name]) for name in ours)
        records = trained(tiny, weights, lr=0.01, steps=5)
        losses = peft_losses(theirs, 0.01, 5)
        assert [r.train_loss for r in records[1:]] == pytest.approx(losses, rel=1e-5)
        for name, weight in ours.items():
            torch.testing.assert_close(weight, expected[name], rtol=1e-3, atol=2e-5)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.train
def test_it_learns_a_few_examples(tiny):
    with adapted(tiny, 8, seed=0) as weights:
        records = trained(tiny, weights, lr=0.02, steps=60)
    losses = [r.val_loss for r in records if r.val_loss is not None]
    assert losses[-1] < 0.25 * losses[0]
    assert records[-1].lr == {"adapter": 0.02}


def state_of(model):
    """All that an adapter could leave behind."""
    modules = {
        name: (id(module), module.training, sorted(module.__dict__), len(module._forward_hooks))
        for name, module in model.named_modules()
    }
    weights = {name: (id(w), w.requires_grad, w.grad) for name, w in model.named_parameters()}
    return modules, weights, copy.deepcopy(model.config.to_dict())


def test_the_model_is_afterwards_as_it_was_also_after_an_error(tiny):
    before, weights = state_of(tiny.model), copy.deepcopy(tiny.model.state_dict())
    random = torch.get_rng_state()
    plain = pp.loss(tiny, None, SOME)
    with adapted(tiny, 4, seed=0) as found:
        assert torch.equal(random, torch.get_rng_state())
        assert torch.equal(pp.loss(tiny, None, SOME), plain)  # it starts as the plain model
        trained(tiny, found, lr=0.05, steps=3)
        assert not torch.equal(pp.loss(tiny, None, SOME), plain)
    with pytest.raises(ZeroDivisionError), adapted(tiny, 4, seed=0):
        _ = 1 / 0
    assert state_of(tiny.model) == before
    assert all(torch.equal(weights[k], v) for k, v in tiny.model.state_dict().items())
    assert torch.equal(pp.loss(tiny, None, SOME), plain)


def test_another_seed_draws_another_adapter(tiny):
    drawn_weights = []
    for seed in (0, 0, 1):
        with adapted(tiny, 4, seed=seed) as weights:
            drawn_weights.append([w.detach().clone() for w in weights])
    same, other = drawn_weights[1:]
    assert all(map(torch.equal, drawn_weights[0], same))
    assert not all(map(torch.equal, same, other))


CONFIGS = {
    "gpt2": GPT2Config(
        vocab_size=264, n_embd=32, n_layer=2, n_head=4, n_positions=256, initializer_range=0.2
    ),
    "bloom": BloomConfig(
        vocab_size=264, hidden_size=32, n_layer=2, n_head=4, initializer_range=0.2
    ),
}


def built(name, tiny):
    if name in {"tiny", "tiny-t5"}:
        return pp.load_model(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(CONFIGS[name])
    return freeze(name, "test", model, tiny.tokenizer)


@pytest.mark.parametrize("name", ["tiny", "gpt2"])
def test_gradients_of_the_packed_tree_equal_the_padded_rectangles(tiny, name):
    backbone, found = built(name, tiny), []
    encoded = encode(backbone, EXAMPLES)
    with adapted(backbone, 4, seed=0) as weights:
        for i, weight in enumerate(weights):  # B starts at zero, where A has no gradient
            weight.data = torch.randn(weight.shape, generator=torch.Generator().manual_seed(i)) / 5
        for compute in (packed_losses, padded_losses):
            nats = compute(backbone, None, encoded).nats
            found.append((nats.detach(), torch.autograd.grad(nats.mean(), weights)))
    (packed, gradients), (padded, expected) = found
    torch.testing.assert_close(packed, padded, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradients, expected, rtol=1e-3, atol=1e-6)
    assert all(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("name", ["gpt2", "bloom", "tiny-t5"])
@pytest.mark.filterwarnings("ignore:model .bloom:promptpriors.errors.Note")
@pytest.mark.filterwarnings("ignore:.*does not compute packed rows exactly")
def test_other_architectures_have_a_ceiling_too(tiny, name):
    backbone = built(name, tiny)
    with adapted(backbone, 4, seed=0) as weights:
        records = trained(backbone, weights, lr=0.01, steps=4)
    assert records[-1].val_loss < records[0].val_loss


def test_where_peft_has_no_default_all_linear_modules_are_adapted(tiny, monkeypatch):
    monkeypatch.delitem(peft.LoraModel.target_module_mapping, "llama")
    with adapted(tiny, 4, seed=0) as weights:
        assert len(weights) == 2 * 2 * 7  # A and B, two blocks, seven matrices each


def test_an_adapter_is_float32_in_a_model_that_is_not():
    backbone = pp.load_model("tiny", dtype="bfloat16")
    with adapted(backbone, 4, seed=0) as weights:
        assert {weight.dtype for weight in weights} == {torch.float32}
        records = trained(backbone, weights, lr=0.01, steps=3)
    assert records[-1].val_loss < records[0].val_loss
    assert {w.dtype for w in backbone.model.parameters()} == {torch.bfloat16}


def test_an_adapter_has_no_relative_rate(tiny):
    weight = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(pp.InputError, match="so would a relative rate"):
        Progress(drawn(tiny, "none"), {"relative": 0.1}, adapter=[weight])


def test_a_training_that_diverges_says_the_adapters_rate(tiny):
    task = pp.Task("toy", 1, {"train": SOME, "validation": SOME}, lambda *_: {})
    prompt = drawn(tiny, "none")
    with adapted(tiny, 4, seed=0) as weights:
        state = Progress(prompt, 0.01, adapter=weights)
        records = pp.train(tiny, prompt, task, steps=3, progress=state)
        state.ceiling = 0.5 * next(records).val_loss
        with pytest.raises(pp.WorkError, match=r"diverged at step 1.* rate 0.01 at adapter"):
            list(records)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"prompt": {"length": 4}}, "in place of a prompt, and prompt.mode is 'soft'"),
        ({"train": {"lora": 4}}, "needs an absolute rate, found train.lr = {relative = 0.1}"),
        ({"train": {**TRAIN, "frozen": True}}, "train.frozen is true"),
        ({"train": {**TRAIN, "regulariser": "start"}}, "a regulariser holds a prompt's vectors"),
        ({"train": {**TRAIN, "lora": 0}}, "train.lora = 0"),
        ({"train": {**TRAIN, "steps": 0}}, "train.steps = 0"),
    ],
)
def test_what_does_not_go_with_an_adapter_is_refused(more, message):
    with pytest.raises(pp.InputError) as error:
        config(**more)
    assert message in str(error.value)


def test_without_peft_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("promptpriors.config.run.find_spec", lambda _: None)
    with pytest.raises(pp.InputError, match=r"pip install 'promptpriors\[peft\]'"):
        config()
    assert json.dumps(config(train={}).plain())  # others don't need it
