"""The trunk is computed once, equals what is not kept, and is never stale."""

import warnings

import pytest
import torch

import promptpriors as pp
from promptpriors.packing import encode
from promptpriors.prompts import Prompt, trunk, trunk_of
from promptpriors.prompts.losses import packed_losses
from promptpriors.training import quality
from tests.helpers import EXAMPLES
from tests.prompts.test_modes import LAST, built, prompt_of

MORE = [
    example._replace(id=f"{example.id}.{i}", source=(f"Context {i}.\n", *example.source))
    for i in range(8)
    for example in EXAMPLES[:5]
]


@pytest.fixture
def llama(tiny):
    return built("llama", tiny)


@pytest.fixture
def counted(monkeypatch):
    """Calls that compute a unit of the trunk."""
    calls = []
    real = trunk.states_of
    monkeypatch.setattr(
        trunk, "states_of", lambda *args, **kwargs: calls.append(1) or real(*args, **kwargs)
    )
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["deep", "deep-cut"])
def test_loss_and_gradient_from_the_trunk_equal_those_without(llama, tmp_path, mode):
    prompt = prompt_of(mode, LAST)
    encoded = encode(llama, MORE)
    kept = trunk_of(llama, prompt, encoded, tmp_path)
    for batch in (encoded[3:9], encoded[:1], encoded):
        found = []
        for one in (None, kept, kept):
            prompt.zero_grad(set_to_none=True)
            nats = packed_losses(llama, prompt, batch, trunk=one).nats
            nats.mean().backward()
            found.append((nats.detach(), [p.grad for p in prompt.parameters()]))
        torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
        assert torch.equal(found[1][0], found[2][0])


def test_each_unit_is_computed_once_for_all_epochs_prompts_and_processes(llama, tmp_path, counted):
    encoded = encode(llama, MORE)
    kept = trunk_of(llama, prompt_of("deep-cut", LAST), encoded, tmp_path)
    quality(llama, prompt_of("deep-cut", LAST), encoded, trunk=kept)
    first = len(counted)
    assert first > 1
    other = prompt_of("deep", LAST, scale=3.0)
    again = trunk_of(llama, other, encoded, tmp_path)
    quality(llama, other, encoded, trunk=again)
    assert len(counted) == first
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.slow
def test_what_was_kept_does_not_depend_on_which_batches_asked_first(llama, tmp_path):
    encoded = encode(llama, MORE)
    prompt = prompt_of("deep-cut", LAST)
    for folder, order in (("a", encoded), ("b", encoded[::-1])):
        kept = trunk_of(llama, prompt, encoded, tmp_path / folder)
        for example in order:
            packed_losses(llama, prompt, [example], trunk=kept)
    files = [{p.name: p.read_bytes() for p in (tmp_path / f).rglob("*.safetensors")} for f in "ab"]
    assert files[0] == files[1] != {}


def test_other_weights_sites_lengths_and_precisions_have_a_trunk_of_their_own(llama, tmp_path):
    encoded = encode(llama, MORE)

    def folder(backbone, prompt):
        return trunk_of(backbone, prompt, encoded, tmp_path)._folder

    prompt = prompt_of("deep-cut", LAST)
    longer = Prompt("deep-cut", {s: torch.cat([v, v]).detach() for s, v in prompt.values.items()})
    names = [folder(llama, prompt), folder(llama, longer)]
    names += [folder(llama, prompt_of("deep-cut", LAST[1:]))]
    with torch.no_grad():
        llama.blocks[1].mlp.up_proj.weight[0, 0] += 1e-3
    names += [folder(llama, prompt)]
    llama.model.config.rms_norm_eps *= 2
    names += [folder(llama, prompt)]
    assert len(set(names)) == len(names)
    unseen = folder(llama, prompt)
    with torch.no_grad():
        llama.blocks[-1].mlp.up_proj.weight[0, 0] += 1e-3
    assert folder(llama, prompt) == unseen


def test_a_damaged_file_is_computed_again(llama, tmp_path, counted):
    encoded = encode(llama, MORE)
    prompt = prompt_of("deep-cut", LAST)
    kept = trunk_of(llama, prompt, encoded, tmp_path)
    expected = quality(llama, prompt, encoded, trunk=kept)
    whole = len(counted)
    one, two, *_ = sorted(tmp_path.rglob("*.safetensors"))
    one.write_bytes(one.read_bytes()[:100])
    two.write_bytes(b"")
    again = trunk_of(llama, prompt, encoded, tmp_path)
    assert quality(llama, prompt, encoded, trunk=again) == expected
    assert len(counted) == whole + 2


def test_a_full_disk_is_said_once_and_stops_nothing(llama, tmp_path):
    encoded = encode(llama, MORE)
    prompt = prompt_of("deep-cut", LAST)
    (tmp_path / "file").touch()
    kept = trunk_of(llama, prompt, encoded, tmp_path / "file")
    with pytest.warns(UserWarning, match="trunk cache .* can't be written"):
        found = quality(llama, prompt, encoded, trunk=kept)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quality(llama, prompt, encoded, trunk=kept) == found
    assert found.loss == pytest.approx(quality(llama, prompt, encoded).loss, rel=1e-5)


def test_where_the_input_is_a_site_there_is_no_trunk(llama, tmp_path):
    encoded = encode(llama, MORE)
    for prompt in (prompt_of("soft", ["embed"]), prompt_of("deep", ["block.0"])):
        assert trunk_of(llama, prompt, encoded, tmp_path) is None
    assert trunk_of(llama, Prompt("none", {}), encoded, tmp_path) is None
    assert trunk_of(llama, prompt_of("deep", LAST), encoded, None) is None


@pytest.mark.slow
def test_a_training_from_the_trunk_has_the_losses_of_one_without(llama, tmp_path):
    task = pp.Task("toy", 1, {"train": MORE, "validation": MORE[:7]}, lambda *_: {})
    runs = [
        [
            loss
            for r in pp.train(
                llama,
                prompt_of("deep-cut", LAST),
                task,
                steps=6,
                batch=5,
                lr=0.05,
                evaluate_every=3,
                trunk=folder,
            )
            for loss in (r.train_loss, r.val_loss)
            if loss is not None
        ]
        for folder in (None, tmp_path)
    ]
    assert runs[0] == pytest.approx(runs[1], rel=1e-4)
    assert list(tmp_path.rglob("*.safetensors"))


def test_an_example_that_is_none_of_them_is_computed_without(llama, tmp_path):
    prompt = prompt_of("deep-cut", LAST)
    encoded = encode(llama, MORE)
    kept = trunk_of(llama, prompt, encoded[:10], tmp_path)
    found = packed_losses(llama, prompt, encoded[8:12], trunk=kept).nats
    torch.testing.assert_close(found, packed_losses(llama, prompt, encoded[8:12]).nats)
