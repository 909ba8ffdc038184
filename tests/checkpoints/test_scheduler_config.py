"""scheduler_config.json against diffusers' own schedulers, in float64 and as they are."""

import inspect
import json

import pytest
import torch

from scratchmm.checkpoints import scheduler
from scratchmm.checkpoints.scheduler import sampling_from
from scratchmm.diffusion.ddim import ddim_path, ddim_step
from scratchmm.diffusion.ddpm import ancestral_step

diffusers = pytest.importorskip("diffusers")

DDIM = [
    {},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    | {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1},
    {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "clip_sample_range": 0.4},
    {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    | {"timestep_spacing": "trailing", "clip_sample": False},
    {"beta_schedule": "scaled_linear", "rescale_betas_zero_snr": True, "steps_offset": 1}
    | {"prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    {"timestep_spacing": "linspace", "beta_end": 0.01, "num_train_timesteps": 300},
    {"trained_betas": [0.01, 0.02, 0.05, 0.1, 0.2, 0.3], "num_train_timesteps": 6},
]
DDPM = [
    {},
    {"variance_type": "fixed_large"},
    {"variance_type": "fixed_small_log", "clip_sample_range": 0.5, "prediction_type": "sample"},
    {"variance_type": "fixed_large", "prediction_type": "v_prediction", "clip_sample": False}
    | {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 40},
]
# What float32 leaves of alpha_bar over up to 1000 products (measured: 6e-7), and of a step with it
# (2e-5 of its largest number).
AS_IT_IS, STEP_AS_IT_IS = 1e-6, 1e-4


class Double:
    """torch, with float64 where float32 is asked for: the published code without its rounding."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@pytest.fixture
def exact(monkeypatch):
    """Schedulers that are built from now on reckon in float64."""
    for module in ("scheduling_ddim", "scheduling_ddpm"):
        monkeypatch.setattr(getattr(diffusers.schedulers, module), "torch", Double())


def saved(kind, folder, more):
    reference = getattr(diffusers, kind)(**more)
    reference.save_pretrained(folder / "scheduler")
    return reference


def write(folder, **values):
    (folder / "scheduler").mkdir(exist_ok=True)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({"_class_name": "DDIMScheduler", **values}))
    return path


def normal(seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 4, 5, generator=generator, dtype=torch.float64)


def equal(ours, theirs, most=1e-12):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=most)


def calm(x, timesteps):
    """A model that is any function of both, and does not make rounding grow."""
    return 0.1 * x.sin() + timesteps.view(-1, 1, 1, 1) / 5000


@pytest.mark.parametrize("more", DDIM)
def test_ddim(tmp_path, exact, more):
    reference = saved("DDIMScheduler", tmp_path, more)
    told = sampling_from(tmp_path)
    assert reference.alphas_cumprod.dtype == torch.float64
    equal(told.schedule.alpha_bar, reference.alphas_cumprod)
    assert told.final_alpha == pytest.approx(float(reference.final_alpha_cumprod), abs=1e-12)
    for steps in (1, 5, 6):
        reference.set_timesteps(steps)
        options = told.ddim(steps)
        assert options["timesteps"] == reference.timesteps.tolist()
        x = theirs = normal(steps)
        path = ddim_path(calm, told.schedule, x, **options)
        for ours, now in zip(path, reference.timesteps, strict=True):
            said = reference.step(calm(theirs, now.expand(2)), int(now), theirs)
            theirs = said.prev_sample
            scale = max(1.0, float(said.pred_original_sample.abs().max()))
            equal(ours.x0, said.pred_original_sample, most=1e-10 * scale)
            equal(ours.x, theirs, most=1e-10 * scale)


@pytest.mark.parametrize("more", DDIM)
def test_one_step_of_ddim_as_it_is(tmp_path, more):
    """Their levels are float32, and 1 - alpha_bar is tiny at first: that is all that is apart."""
    reference = saved("DDIMScheduler", tmp_path, more)
    told = sampling_from(tmp_path)
    equal(told.schedule.alpha_bar, reference.alphas_cumprod.double(), most=AS_IT_IS)
    x, predicted = normal(1), normal(2)
    reference.set_timesteps(5)
    options = told.ddim(5)
    stride = options.pop("stride")
    for now in options.pop("timesteps"):
        times = torch.full((2,), now)
        ours = ddim_step(
            told.schedule, predicted, x, times, (times - stride).clamp(min=-1), **options
        )
        theirs = reference.step(predicted, now, x).prev_sample
        largest = max(1.0, float(theirs.abs().max()))
        equal(ours.x, theirs.double(), most=STEP_AS_IT_IS * largest)


@pytest.mark.parametrize("more", DDPM)
def test_ddpm(tmp_path, exact, more):
    reference = saved("DDPMScheduler", tmp_path, more)
    told = sampling_from(tmp_path)
    equal(told.schedule.alpha_bar, reference.alphas_cumprod)
    last = len(told.schedule) - 1
    for now in (last, last // 2, 1, 0):
        x, predicted = normal(now), normal(now + 1)
        said = reference.step(predicted, now, x, generator=torch.Generator().manual_seed(3))
        noise = torch.randn(
            x.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64
        )
        times = torch.full((2,), now)
        ours = ancestral_step(told.schedule, predicted, x, times, noise, **told.ancestral())
        scale = max(1.0, float(said.pred_original_sample.abs().max()))
        equal(ours.x0, said.pred_original_sample, most=1e-10 * scale)
        equal(ours.x, said.prev_sample, most=1e-10 * scale)


def test_ddpms_few_timesteps(tmp_path):
    for spacing in ("leading", "trailing", "linspace"):
        reference = saved("DDPMScheduler", tmp_path, {"timestep_spacing": spacing})
        reference.set_timesteps(8)
        assert sampling_from(tmp_path).ddim(8)["timesteps"] == reference.timesteps.tolist()


def test_stable_diffusions_file_is_read_as_diffusers_reads_it_into_ddim(tmp_path, exact):
    """Stable Diffusion 1's, of PNDM; and one that is silent, which never clips."""
    said = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    said |= {"skip_prk_steps": True, "steps_offset": 1, "trained_betas": None}
    theirs = diffusers.PNDMScheduler(**said)
    theirs.save_pretrained(tmp_path / "scheduler")
    reference = diffusers.DDIMScheduler.from_config(theirs.config, clip_sample=False)
    for told in (sampling_from(tmp_path), None):
        if told is None:
            write(tmp_path, _class_name="PNDMScheduler", **said)
            told = sampling_from(tmp_path)
        equal(told.schedule.alpha_bar, reference.alphas_cumprod)
        assert told.final_alpha == float(told.schedule.alpha_bar[0]) < 1
        assert (told.target, told.clamp, told.offset) == ("noise", None, 1)
        reference.set_timesteps(50)
        assert told.ddim(50)["timesteps"] == reference.timesteps.tolist()


# Where the file lies


def test_it_is_found_from_every_folder_of_a_pipeline(tmp_path):
    path = write(tmp_path, num_train_timesteps=7)
    for folder in ("unet", "vae"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "diffusion_pytorch_model.bin").touch()
    places = [tmp_path, path, path.parent, tmp_path / "unet", tmp_path / "vae"]
    places.append(tmp_path / "unet" / "diffusion_pytorch_model.bin")
    for place in places:
        assert len(sampling_from(place).schedule) == 7
        assert len(sampling_from(str(place)).schedule) == 7
    lonely = tmp_path / "other" / "unet"
    lonely.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="there is no scheduler_config.json in .*unet, in"):
        sampling_from(lonely)


def test_beside_the_weights_of_one_model(tmp_path):
    """google/ddpm-cifar10-32 has it in the folder of its UNet."""
    path = write(tmp_path, variance_type="fixed_large", _class_name="DDPMScheduler")
    path.rename(tmp_path / path.name)
    assert sampling_from(tmp_path).ancestral()["variance"] == "beta"


def test_the_pipelines_index_may_not_say_otherwise(tmp_path):
    write(tmp_path)
    index = tmp_path / "model_index.json"
    index.write_text(json.dumps({"scheduler": ["diffusers", "DDIMScheduler"]}))
    sampling_from(tmp_path)
    index.write_text(json.dumps({"scheduler": ["diffusers", "PNDMScheduler"]}))
    with pytest.raises(
        ValueError, match="says scheduler is 'PNDMScheduler', but .*'DDIMScheduler'"
    ):
        sampling_from(tmp_path)


# What can't be done is refused by key and both values


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("_class_name", "EulerDiscreteScheduler", "'DDIMScheduler'"),
        ("beta_schedule", "sigmoid", "'linear' or 'scaled_linear' or 'squaredcos_cap_v2'"),
        ("prediction_type", "flow_prediction", "'epsilon' or 'sample' or 'v_prediction'"),
        ("timestep_spacing", "sgm", "'trailing' or 'leading' or 'linspace'"),
        ("variance_type", "learned_range", "'fixed_small' or 'fixed_small_log' or 'fixed_large'"),
        ("thresholding", True, "False"),
        ("predict_epsilon", False, "True"),
        ("num_train_timesteps", 10.5, "1000"),
        ("beta_start", "small", "0.0001"),
        ("clip_sample", 1, "True"),
        ("set_alpha_to_one", None, "True"),
        ("steps_offset", 0.5, "0"),
        ("rescale_betas_zero_snr", "no", "False"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, key, value, allowed):
    write(tmp_path, **{key: value})
    with pytest.raises(
        ValueError, match=f"scheduler_config.json says {key} is .*({allowed})"
    ) as no:
        sampling_from(tmp_path)
    assert repr(value) in str(no.value)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"trained_betas": [0.1, 0.2]}, "2 trained_betas for num_train_timesteps 1000"),
        ({"beta_start": 0.03}, "betas from 0.03 to 0.02 do not grow between 0 and 1"),
        ({"num_train_timesteps": 0}, "a schedule of 0 steps is none"),
        ({"num_train_timesteps": 1, "rescale_betas_zero_snr": True}, "a schedule of 1 step has"),
    ],
)
def test_what_makes_no_schedule_is_refused(tmp_path, said, sentence):
    write(tmp_path, **said)
    with pytest.raises(ValueError, match=f"scheduler_config.json gives no schedule .*{sentence}"):
        sampling_from(tmp_path)


def test_a_damaged_file(tmp_path):
    write(tmp_path).write_text("{")
    with pytest.raises(ValueError, match="scheduler_config.json is damaged: it is no JSON"):
        sampling_from(tmp_path)


# Of thresholding, which is refused
HARMLESS = {"dynamic_thresholding_ratio", "sample_max_value"}


@pytest.mark.parametrize("kind", ["DDIMScheduler", "DDPMScheduler", "PNDMScheduler"])
def test_every_setting_of_the_published_class_is_known(kind):
    signature = inspect.signature(getattr(diffusers, kind).__init__).parameters
    theirs = {name: p.default for name, p in signature.items() if name != "self"}
    # Of PNDM's own way down, which is not taken here.
    harmless = HARMLESS | ({"skip_prk_steps"} if kind.startswith("PNDM") else set())
    assert theirs.keys() - scheduler.OBEYED.keys() - scheduler.FIXED.keys() - harmless == set()
    ours = scheduler.OBEYED | (scheduler.OF_PNDM if kind.startswith("PNDM") else {})
    for key, value in theirs.items():
        assert key in harmless or ours.get(key, scheduler.FIXED.get(key, [0])[0]) == value, key
