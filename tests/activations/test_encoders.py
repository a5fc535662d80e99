"""Encoders and models that run padded are captured too, and no padding is ever kept."""

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    BloomConfig,
    BloomForCausalLM,
    PreTrainedTokenizerFast,
)

import promptpriors as pp
from promptpriors.activations import Store, capture, content_of, load_space, matched_spaces
from promptpriors.errors import Note
from promptpriors.models.backbone import freeze
from tests.activations.test_capture import EXAMPLES, TEXTS, plan, rows_of
from tests.prompts.test_seq2seq import built

SITES = ("embed", "block.1", "final")


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    """A small BERT with a tokenizer of bytes that puts [CLS] and [SEP] around a text."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=False), pre_tokenizers.Split("", "isolated")]
    )
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]"
    )
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(config)
    folder = tmp_path_factory.mktemp("bert")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_an_encoder_is_loaded_for_reading_alone(bert_folder):
    with pytest.raises(pp.InputError, match="activations can be captured"):
        pp.load_model(str(bert_folder))
    assert pp.load_model(str(bert_folder), reading=True).bidirectional


def test_an_encoders_activations_are_the_plain_models(bert_folder, tmp_path):
    bert = pp.load_model(str(bert_folder), reading=True)
    what = plan(bert, sites=SITES, bidirectional=True)
    done = capture(bert, EXAMPLES, what, tmp_path / "store")
    store = Store(tmp_path / "store")
    (part,) = store.parts(*(f"site/{site}" for site in SITES), "token", "role")
    assert done.tokens == sum(len(bert.encode(text)) + 2 for text in TEXTS)
    for number, text in enumerate(TEXTS):
        rows = rows_of(store, number)
        ids = bert.tokenizer.encode(text)
        assert part["token"][rows].tolist() == ids
        with torch.no_grad():
            out = bert.model(input_ids=torch.tensor([ids]), output_hidden_states=True)
        for site, value in (("block.1", out.hidden_states[1]), ("final", out.last_hidden_state)):
            torch.testing.assert_close(part[f"site/{site}"][rows], value[0], rtol=1e-4, atol=1e-5)
    ordinary = load_space(store, "final")
    assert len(ordinary.points) == done.tokens - 2 * len(TEXTS)
    assert len(load_space(store, "final", roles=["special"], first=True).points) == 2 * len(TEXTS)
    with pytest.raises(pp.InputError, match="does not look ahead"):
        matched_spaces([store, store], "final")


def test_an_encoder_takes_no_prompt(bert_folder, tmp_path):
    bert = pp.load_model(str(bert_folder), reading=True)
    prompt = pp.Prompt("soft", {"embed": torch.zeros(2, 32)})
    with pytest.raises(pp.InputError, match="is an encoder, which takes no prompt"):
        capture(bert, EXAMPLES, plan(bert, sites=SITES), tmp_path / "store", prompt=prompt)


@pytest.mark.parametrize("prompted", [False, True])
def test_an_encoder_decoders_encoder_is_read(tiny, tmp_path, prompted):
    t5 = freeze("t5", "test", built("t5", tiny.end), tiny.tokenizer)
    sites = ("encoder.block.1", "encoder.normed")
    prompt = pp.Prompt("soft", {"embed": torch.randn(3, 32)}) if prompted else None
    capture(t5, EXAMPLES, plan(t5, sites=sites), tmp_path / "store", prompt=prompt)
    store = Store(tmp_path / "store")
    (part,) = store.parts("site/encoder.normed", "token")
    for number, example in enumerate(EXAMPLES):
        text = "".join(example.source) or example.targets[0]
        ids = [*t5.encode(text), t5.end]
        rows = rows_of(store, number)
        assert part["token"][rows].tolist() == ids
        hidden = t5.embed(torch.tensor(ids))
        if prompt:
            hidden = torch.cat([prompt.values["embed"].detach(), hidden])
        with torch.no_grad():
            expected = t5.model.get_encoder()(inputs_embeds=hidden[None]).last_hidden_state[0]
        found = part["site/encoder.normed"][rows]
        torch.testing.assert_close(found, expected[-len(ids) :], rtol=1e-4, atol=1e-5)


def test_a_decoder_that_does_not_pack_runs_padded_and_has_embed_alone(tiny, tmp_path):
    config = BloomConfig(vocab_size=264, hidden_size=32, n_layer=2, n_head=4)
    bloom = freeze("bloom", "test", BloomForCausalLM(config), tiny.tokenizer)
    with pytest.warns(Note, match="runs as padded batches"):
        capture(bloom, EXAMPLES, plan(bloom, sites=("embed",)), tmp_path / "store")
    space = load_space(tmp_path / "store", "embed", first=True)
    assert len(space.points) == sum(len(tiny.encode(text)) for text in TEXTS)
    with pytest.raises(pp.InputError, match=r"site 'block\.0' does not exist in this model"):
        capture(bloom, EXAMPLES, plan(bloom, sites=("block.0",)), tmp_path / "other")


def test_means_of_an_encoder_are_stored_without_special_tokens(bert_folder, tmp_path):
    bert = pp.load_model(str(bert_folder), reading=True)
    for what in ("tokens", "mean"):
        name = tmp_path / what
        capture(bert, EXAMPLES, plan(bert, sites=("final",), what=what), name)
    one, other = (load_space(tmp_path / what, "final", pool="mean") for what in ("tokens", "mean"))
    torch.testing.assert_close(one.points, other.points)
    assert content_of(EXAMPLES, 100) != content_of(EXAMPLES, 2)
