"""Of a deep-cut vector a block sees what its keys and values read, and nothing else."""

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import promptpriors as pp
from promptpriors.models.backbone import freeze
from promptpriors.models.visible import visible
from promptpriors.packing import prefixes_of
from promptpriors.prompts import Prompt
from promptpriors.rng import generator

EXAMPLES = [
    pp.Example("0", ("Question: who?\nAnswer:",), ("me",)),
    pp.Example("1", ("Question: 2 + 2?\nAnswer:",), ("4",)),
]
SHAPE = {
    "vocab_size": 264,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
KINDS = ["llama", "mistral", "qwen2", "qwen3", "smollm3", "gemma", "gemma2", "gemma3_text", "phi3"]
RANK = dict.fromkeys([*KINDS, "gpt2", "gpt_neox"], 16)
"""Keys and values of one head of eight; ``blinded`` where there are as many as query heads."""


def built(kind, tiny, **more):
    """A random model of some architecture, with gains and biases that matter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**SHAPE, **more))
        for name, weight in model.named_parameters():
            if "norm" in name or ".ln_" in name:
                torch.nn.init.normal_(weight, mean=0.5, std=0.5)
            if name.endswith("proj.weight") or ".c_attn.weight" in name:
                torch.nn.init.normal_(weight, std=0.3)
        blinded(model)
    return freeze(kind, "test", model, tiny.tokenizer)


@torch.no_grad()
def blinded(model):
    """Where one matrix makes queries, keys and values: its keys and values see 16 coordinates."""
    for name, weight in model.named_parameters():
        if name.endswith("c_attn.weight"):
            weight[16:, 32:] = 0
        if name.endswith("query_key_value.weight"):
            weight.view(4, 3, 8, 32)[:, 1:, :, 16:] = 0


@pytest.fixture(scope="module", params=RANK)
def backbone(request, tiny):
    return built(request.param, tiny)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, "points"))


def unseen(found):
    """Orthonormal directions of the raw space that are not seen; the mean is none of them."""
    read = found.basis.T.double() * found.gain.double()
    if found.centred:
        read = torch.cat([read - read.mean(dim=1, keepdim=True), torch.ones_like(read[:1])])
    return torch.linalg.svd(read, full_matrices=True).Vh[len(read) :]


def redrawn(found, rows):
    """The same vectors with their invisible part drawn anew, of the same length."""
    hidden = unseen(found)
    rows = rows.double()
    old = rows @ hidden.T @ hidden
    fresh = normal(len(rows), len(hidden), seed=1).double() @ hidden
    fresh *= (old.norm(dim=1) / fresh.norm(dim=1))[:, None]
    return (rows - old + fresh).float(), old.float()


def loss_at(backbone, site, rows):
    with torch.no_grad():
        return pp.loss(backbone, Prompt("deep-cut", {site: rows}), EXAMPLES)


def test_it_normalises_as_the_block_does_and_has_the_rank_of_its_keys_and_values(backbone):
    kind = backbone.model.config.model_type
    found = visible(backbone, "block.1")
    points = normal(5, 32)
    norm = backbone.blocks[1].get_submodule("ln_1" if kind == "gpt2" else "input_layernorm")
    torch.testing.assert_close(found.normalise(points), norm(points), rtol=1e-5, atol=1e-5)
    assert found.rank == RANK[kind]
    torch.testing.assert_close(found.basis.T @ found.basis, torch.eye(found.rank))


def test_unit_coordinates_and_size_give_the_keys_and_values_of_the_block(backbone):
    """Asked of the model: two vectors that are alike in both have one pair of keys and values."""
    found = visible(backbone, "block.1")
    rows = normal(3, 32)
    seen = found(rows) * found.size(rows)[:, None]
    other = redrawn(found, rows)[0]
    torch.testing.assert_close(found(other) * found.size(other)[:, None], seen)
    assert (other - rows).norm() > 0.3 * rows.norm()
    keys, values = (prefixes_of(backbone, rows, {1: points})[1] for points in (rows, other))
    torch.testing.assert_close(keys, values, rtol=1e-4, atol=1e-5)
    moved = prefixes_of(backbone, rows, {1: rows + found.basis[:, 0]})[1]
    assert all((a - b).abs().max() > 1e-3 for a, b in zip(keys, moved, strict=True))


def test_keys_and_values_are_linear_in_what_is_seen(tiny):
    found = visible(tiny, "block.1")
    block = tiny.blocks[1].self_attn
    rows = normal(6, 32)
    seen = found(rows) * found.size(rows)[:, None]
    for part in (block.k_proj, block.v_proj):
        expected = part(found.normalise(rows))
        torch.testing.assert_close(seen @ found.basis.T @ part.weight.T, expected)


def test_the_invisible_part_changes_no_loss_and_the_visible_part_does(tiny):
    backbone = built("llama", tiny)
    for site in ("embed", "block.1"):
        found, rows = visible(backbone, site), normal(3, 32)
        fresh, old = redrawn(found, rows)
        assert (fresh - rows).norm() > 0.5 * old.norm() > 0.1 * rows.norm()
        expected = loss_at(backbone, site, rows)
        torch.testing.assert_close(loss_at(backbone, site, fresh), expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(found(fresh), found(rows))
        seen = rows - old
        other = old + seen.flip(0) * (seen.norm(dim=1) / seen.flip(0).norm(dim=1))[:, None]
        assert abs(loss_at(backbone, site, other) - expected) > 1e-4


@pytest.mark.slow
def test_smollm2_sees_384_of_576_coordinates_and_loses_nothing_with_the_others(smollm2):
    for site in ("embed", "block.29"):
        found = visible(smollm2, site)
        assert found.basis.shape == (576, 384)
        rows = pp.vocabulary(smollm2).points[[1000, 2000, 3000, 4000]]
        fresh, old = redrawn(found, rows)
        assert (fresh - rows).norm() > 0.5 * old.norm() > 0.1 * rows.norm()
        expected = loss_at(smollm2, site, rows)
        torch.testing.assert_close(loss_at(smollm2, site, fresh), expected, rtol=1e-5, atol=0)
        assert abs(loss_at(smollm2, site, rows.flip(0) + old) - expected) > 1e-3


def test_scaling_a_vector_leaves_its_visible_coordinates_unchanged(tiny):
    for site in ("embed", "block.1"):
        found = visible(tiny, site)
        rows = normal(4, 32)
        torch.testing.assert_close(found(7 * rows), found(rows))
        torch.testing.assert_close(found(rows).square().mean(dim=1), torch.ones(4))
    assert torch.equal(found(torch.zeros(1, 32)), torch.zeros(1, found.rank))


def test_embed_is_the_input_of_block_0(tiny):
    rows = normal(4, 32)
    assert torch.equal(visible(tiny, "embed")(rows), visible(tiny, "block.0")(rows))
    assert not torch.allclose(visible(tiny, "embed").basis, visible(tiny, "block.1").basis)


def test_what_is_not_known_is_refused(tiny):
    for kind, site, words in [
        ("llama", "final", "feeds no block; expected embed or block.i"),
        ("llama", "block.9", "does not exist in this model"),
        ("gpt2", "embed", "adds positions between embed and block 0"),
        ("olmo2", "block.1", "Take the raw vectors"),
    ]:
        with pytest.raises(pp.InputError, match=words) as error:
            visible(built(kind, tiny), site)
        assert str(error.value).count("\n") <= 1
