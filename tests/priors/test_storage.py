"""A folder that holds no sound prior is refused: which file, what is wrong, what to do."""

import json

import pytest
import torch

import promptpriors as pp
from promptpriors.files import read_tensors, write_tensors
from promptpriors.priors import fit_prior
from promptpriors.priors.storage import REMEDY
from promptpriors.rng import generator
from tests.helpers import TWO, cloud


@pytest.fixture
def folder(tmp_path):
    """A saved mixture of a fitted and an isotropic Gaussian."""
    params = {"first": "gaussian", "second": {"name": "isotropic", "sigma": 0.5}}
    return pp.save_prior(fit_prior("mixture", cloud(), **params), tmp_path / "prior")


def refused(folder):
    with pytest.raises(pp.InputError) as error:
        pp.load_prior(folder)
    assert str(folder) in str(error.value)
    assert str(error.value).endswith(REMEDY)
    assert str(error.value).count("\n") == 1
    return str(error.value)


def edited(folder, change):
    """The message for a prior.json that ``change`` has gone over."""
    file = folder / "prior.json"
    whole = json.loads(file.read_text())
    change(whole)
    file.write_text(json.dumps(whole))
    message = refused(folder)
    assert str(file) in message
    return message


def member(whole, number):
    """The fields of one member of the mixture."""
    return whole["prior"]["fields"]["members"]["tuple"][number]["fields"]


def renumbered(folder, change):
    """The message when ``change`` has gone over the tensors."""
    file = folder / "prior.safetensors"
    tensors, metadata = read_tensors(file)
    change(tensors)
    write_tensors(file, tensors, metadata)
    return refused(folder)


def test_what_is_not_touched_is_loaded(folder):
    draws = pp.load_prior(folder).sample(5, generator=generator(0))
    assert torch.isfinite(draws).all()


def test_an_unknown_class_is_named_with_the_closest(folder):
    def change(whole):
        whole["prior"]["class"] = "mixture.MixtureDensty"

    message = edited(folder, change)
    assert (
        "unknown class 'mixture.MixtureDensty'. Did you mean 'mixture.MixtureDensity'?" in message
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("sigma"), "prior.members[1]: Isotropic lacks the field 'sigma'"),
        (lambda m: m.update(mu={"value": 1}), "prior.members[1]: Isotropic has no field 'mu'"),
        (lambda m: m.update(sigma={"value": "x"}), "members[1].sigma: expected float, found 'x'"),
        (lambda m: m.update(sigma={"value": None}), "sigma: expected float, found NoneType"),
        (lambda m: m.update(sigma={"value": True}), "sigma: expected float, found True"),
        (lambda m: m.update(sigma={"value": [1.0]}), "sigma: expected float, found list"),
        (lambda m: m.update(sigma={"value": float("nan")}), "sigma: expected float, found nan"),
        (lambda m: m.update(sigma={"value": float("inf")}), "sigma: expected float, found inf"),
        (lambda m: m.update(sigma={"value": 10**400}), "sigma: expected float, found 1000"),
        (lambda m: m.update(dim={"value": 3.0}), "members[1].dim: expected int, found 3.0"),
        (lambda m: m.update(dim={"values": 3}), "expected a class, tensor, value or tuple"),
        (lambda m: m.update(dim=3), "members[1].dim: expected a class, tensor, value or tuple"),
        (lambda m: m.update(dim={"tensor": "none"}), "there is no tensor 'none' for it alone"),
    ],
)
def test_a_field_that_is_missing_unknown_or_of_another_type_is_named(folder, change, message):
    assert message in edited(folder, lambda whole: change(member(whole, 1)))


def test_a_number_where_a_tensor_belongs_is_refused(folder):
    def change(whole):
        member(whole, 0)["mean"] = {"value": 0.5}

    assert "mean: expected Float[Tensor, 'dim'], found 0.5" in edited(folder, change)


def test_a_tensor_where_a_number_belongs_is_refused(folder):
    pp.save_prior(fit_prior("isotropic", cloud()), folder)

    def change(whole):
        whole["prior"]["fields"]["sigma"] = {"tensor": "sigma"}

    _, metadata = read_tensors(folder / "prior.safetensors")
    write_tensors(folder / "prior.safetensors", {"sigma": torch.ones(())}, metadata)
    assert "prior.sigma: expected float, found a float32 tensor of shape ()" in edited(
        folder, change
    )


def test_a_member_that_is_no_density_does_not_make_a_mixture_of_densities(folder, tmp_path):
    other = pp.save_prior(fit_prior("vocabulary", cloud()), tmp_path / "other")
    plain = json.loads((other / "prior.json").read_text())["prior"]

    def change(whole):
        whole["prior"]["fields"]["members"]["tuple"][1] = plain

    tensors, metadata = read_tensors(folder / "prior.safetensors")
    write_tensors(
        folder / "prior.safetensors",
        tensors | read_tensors(other / "prior.safetensors")[0],
        metadata,
    )
    assert "prior.members: expected tuple[promptpriors.types.Density, ...]" in edited(
        folder, change
    )


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("factor", torch.eye(4).double(), "factor: expected Float[Tensor, 'dim dim'], found a"),
        ("factor", torch.ones(3, 2).double(), "found a float64 tensor of shape (3, 2)"),
        ("mean", torch.arange(3), "mean: expected Float[Tensor, 'dim'], found a int64 tensor"),
        ("mean", torch.zeros(3, 1), "mean: expected Float[Tensor, 'dim'], found a float32 tensor"),
        ("mean", torch.tensor([0.0, float("nan"), 0.0]), "members/0/mean is not finite"),
    ],
)
def test_a_tensor_of_another_shape_or_kind_or_not_finite_is_refused(folder, name, wrong, message):
    found = renumbered(folder, lambda tensors: tensors.update({f"members/0/{name}": wrong}))
    assert message in found


def test_tensors_and_fields_belong_together_one_by_one(folder):
    extra = renumbered(folder, lambda tensors: tensors.update(more=torch.zeros(1)))
    assert "more belongs to nothing" in extra
    lost = renumbered(folder, lambda tensors: tensors.pop("members/0/mean"))
    assert "there is no tensor 'members/0/mean' for it alone" in lost


def test_axis_words_bind_within_one_instance_and_not_between(tmp_path):
    inner = {"name": "points"}
    prior = fit_prior("mixture", cloud(), first=inner, second="vocabulary")
    shorter = type(prior)((prior.members[0], fit_prior("vocabulary", cloud(n=9))), prior.weights)
    assert len(pp.load_prior(pp.save_prior(shorter, tmp_path / "prior")).members[1].rows) == 9


@pytest.mark.parametrize("kept", [0, 4, 60, -8])
def test_a_truncated_file_of_tensors_is_refused(folder, kept):
    file = folder / "prior.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    assert f"{file} is damaged" in refused(folder)


@pytest.mark.parametrize("text", ["", "{", '{"format": 1, "prior": ', "[" * 100_000, "\x00\xff"])
def test_damaged_json_is_refused(folder, text):
    (folder / "prior.json").write_text(text, encoding="latin-1")
    assert "is not readable JSON" in refused(folder)


@pytest.mark.parametrize("whole", [[], 3, {}, {"format": 1}, {"format": 2, "prior": {}}])
def test_json_of_another_format_is_refused(folder, whole):
    (folder / "prior.json").write_text(json.dumps(whole))
    assert "is not a prior of format 1" in refused(folder)


def test_a_folder_without_its_tensors_or_of_no_prior_is_refused(folder, tmp_path):
    (folder / "prior.safetensors").unlink()
    assert "no such file" in refused(folder)
    with pytest.raises(pp.InputError, match=r"it has no prior\.json"):
        pp.load_prior(tmp_path / "nothing")


def test_what_is_well_made_but_no_prior_is_refused(folder):
    def change(whole):
        whole["prior"] = {"value": 3}

    tensorless = pp.save_prior(fit_prior("isotropic", cloud()), folder)
    assert "holds no prior" in edited(tensorless, change)


def test_an_earlier_prior_in_the_folder_is_replaced_whole(folder):
    pp.save_prior(fit_prior("barycentre", cloud(), **TWO), folder)
    assert type(pp.load_prior(folder)).__name__ == "Gaussian"


def test_what_no_row_has_fitted_can_not_be_saved(tmp_path):
    class Zero:
        def sample(self, n, *, generator):
            return torch.zeros(n, 3)

    with pytest.raises(pp.InputError, match=r"a prior with a Zero .* can't be saved"):
        pp.save_prior(Zero(), tmp_path / "prior")
