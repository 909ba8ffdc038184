import pytest
import torch
from torch import nn

from scratchmm.training.fit import fit
from scratchmm.training.param_groups import freeze, param_groups, unfreeze


class Two(nn.Module):
    """An image part with a batch norm and dropout, a words part, and a scale of its own."""

    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
        self.images = nn.Linear(3, 4)  # its name begins as another part's does
        self.words = nn.Linear(3, 4)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return self.scale * (self.image(x) + self.images(x) * self.words(x))


def factors(model, rates):
    name_of = {id(p): name for name, p in model.named_parameters()}
    groups = param_groups(model, rates, 0.3)
    return {
        name_of[id(p)]: (group["factor"], group["weight_decay"])
        for group in groups
        for p in group["params"]
    }


def test_every_parameter_has_the_rate_of_its_part():
    found = factors(Two(), {"image": 0.1, "image.1": 0.5, "words.bias": 3.0})
    assert found == {
        "image.0.weight": (0.1, 0.3),
        "image.0.bias": (0.1, 0.0),
        "image.1.weight": (0.5, 0.0),
        "image.1.bias": (0.5, 0.0),
        "images.weight": (1.0, 0.3),
        "images.bias": (1.0, 0.0),
        "words.weight": (1.0, 0.3),
        "words.bias": (3.0, 0.0),
        "scale": (1.0, 0.0),
    }
    count = sum(len(group["params"]) for group in param_groups(Two(), {"image": 0.1}))
    assert count == 9  # each once


def test_frozen_parameters_are_in_no_group():
    model = Two()
    freeze(model, "image", "scale")
    assert set(factors(model, {"images": 2.0})) == {
        "images.weight", "images.bias", "words.weight", "words.bias",
    }  # fmt: skip


def test_fit_walks_each_part_at_its_rate():
    """Adam's first step is as long as the learning rate, whatever the gradient."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 1))
    before = [p.detach().clone() for p in model.parameters()]
    x = torch.rand(8, 3) + 0.5
    arguments = dict(steps=1, learning_rate=0.01, weight_decay=0.0, warmup=0.0)
    curve = fit(model, lambda s: x, lambda m, x: m(x).sum(), lr_factors={"1": 0.1}, **arguments)
    rate = curve[0]["learning_rate"]
    moved = [(p - b).abs().max().item() for p, b in zip(model.parameters(), before)]
    assert moved == pytest.approx([rate, rate, 0.1 * rate, 0.1 * rate], rel=1e-3)


def test_a_checkpoint_of_other_rates_is_refused_and_one_of_the_same_goes_on(tmp_path):
    def run(folder, steps, rates, model):
        loss = lambda m, x: m(x).square().mean()  # noqa: E731
        return fit(model, lambda s: torch.full((2, 3), s + 1.0), loss, steps=steps,
                   folder=folder, lr_factors=rates, save_every=2, learning_rate=0.1)  # fmt: skip

    torch.manual_seed(0)
    start = nn.Linear(3, 2).state_dict()
    models = [nn.Linear(3, 2) for _ in range(3)]
    for model in models:
        model.load_state_dict(start)
    run(tmp_path / "a", 4, {"bias": 0.5}, models[0])
    with pytest.raises(ValueError, match="'?learning rate of bias'?=0.5"):
        run(tmp_path / "a", 4, {"bias": 0.25}, models[1])
    with pytest.raises(ValueError, match="rate of bias"):
        run(tmp_path / "a", 4, None, models[1])
    run(tmp_path / "a", 4, {"bias": 0.5}, models[2])
    torch.testing.assert_close(models[2].state_dict(), models[0].state_dict(), rtol=0, atol=0)


def test_what_is_frozen_does_not_change_in_training():
    torch.manual_seed(0)
    model = Two()
    assert freeze(model, "image") == 12 + 4 + 4 + 4
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = torch.randn(6, 5, 3)
    fit(model, lambda s: batches[s], lambda m, x: m(x).square().mean(), steps=6, learning_rate=0.1)
    for name, value in model.state_dict().items():
        if name.startswith("image."):  # running means and counts too
            torch.testing.assert_close(value, before[name], rtol=0, atol=0)
        else:
            assert not torch.equal(value, before[name]), name
    model.train()
    one, two = model.image(batches[0]), model.image(batches[0])
    torch.testing.assert_close(one, two, rtol=0, atol=0)  # no dropout
    assert model.words.training


def test_gradients_flow_through_a_frozen_part():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    freeze(model, "1")
    model(torch.ones(1, 3)).sum().backward()
    assert model[0].weight.grad.abs().sum() > 0 and model[1].weight.grad is None


def test_an_old_gradient_is_forgotten():
    model = nn.Linear(2, 2)
    model(torch.ones(1, 2)).sum().backward()
    freeze(model, "weight")
    assert model.weight.grad is None and model.bias.grad is not None


def test_thawed_parts_learn_as_before():
    model = Two()
    freeze(model, "image", "words")
    freeze(model, "image")  # twice is once
    assert unfreeze(model, "image") == 24
    assert all(p.requires_grad for p in model.image.parameters())
    assert not any(p.requires_grad for p in model.words.parameters())
    assert all(module.training for module in model.image.modules())
    model.train()(torch.randn(5, 3))
    assert model.image[1].num_batches_tracked == 1 and model.image[2].training
    assert not model.words.training
    model.eval()
    unfreeze(model, "words")
    assert not model.words.training  # as the model is


def test_what_is_frozen_can_be_saved_and_copied():
    import copy
    import pickle

    model = Two()
    freeze(model, "image")
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.train()(torch.randn(5, 3))
        assert not other.image[1].training


def test_refusals():
    model = Two()
    for ask in (freeze, unfreeze, lambda m, part: param_groups(m, {part: 0.5})):
        with pytest.raises(
            ValueError, match="^the model has no part 'pic' with parameters, but image, "
        ):
            ask(model, "pic")
    for rate in (0, -0.1):
        with pytest.raises(
            ValueError, match=f"^learning rate factor of 'words' is {rate} and must be a number abo"
        ):
            param_groups(model, {"words": rate})
