"""The shape comments of the library are executed; and the checker that does it is checked."""

import importlib.util
import tempfile
import textwrap
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from scratchmm.audio import audio_cnn, features, mel, rhythm, spectrum, waveform
from scratchmm.audio import augment as sound_augment
from scratchmm.contrastive import clip, loss, retrieval, zero_shot
from scratchmm.data.world import control_images, scenes, sounds
from scratchmm.data.world import images as scene_images
from scratchmm.diffusion import (
    controlnet,
    ddim,
    ddpm,
    guidance,
    inpainting,
    latent,
    prior,
    relevance,
    schedule,
    style,
    text_unet,
    unclip,
    unet,
    vae,
)
from scratchmm.fusion import (
    bilinear,
    bimodal,
    bottleneck,
    cross_modal,
    early,
    gated,
    late,
    low_rank,
    matching,
    modalities,
    modality_attention,
    multimodal_transformer,
    tensor_fusion,
    vilt,
    vilt_positions,
    vision_language,
    vqa,
)
from scratchmm.image_formats import png
from scratchmm.language import bert, bpe, text_transformer, wordpiece, words
from scratchmm.layers import (
    attention,
    blocks,
    boxes,
    cache,
    embeddings,
    fast_attention,
    image_blocks,
    lstm,
    norms,
    rotary,
    sinusoids,
    transformer,
    vectors,
)
from scratchmm.metrics import clip_score, fid, image_quality, recall
from scratchmm.training import (
    adaptive_loss,
    augment,
    length_buckets,
    modality_dropout,
    placed_colors,
    small_clip,
    small_generator,
    small_vit,
)
from scratchmm.video import clips, cnn3d, cnn_lstm
from scratchmm.vision import canny, grid_classifier, images, resnet, rollout, vit
from shape_comments import check_shapes, find_comments

PACKAGE = Path(__file__).parents[1] / "scratchmm"
# Every size differs from every other, so that no letter can stand in for another one.
VISION = vit.ViTConfig(10, 5, width=12, depth=1, heads=3, hidden=17, channels=2, classes=9)
TEXT = text_transformer.TextConfig(
    vocabulary=23, context_length=11, width=14, depth=1, heads=2, hidden=19, end_token=22
)


def run_attention() -> None:
    x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 10)
    layer = attention.MultiHeadAttention(12, 3, context_width=10)
    real = torch.arange(7) < torch.tensor([[4], [7]])
    mask = attention.padding_mask(real)
    layer(x, context, mask)
    layer(x, context, mask, return_weights=True)
    layer(x, context, return_weights=True)
    itself = attention.MultiHeadAttention(12, 3)
    kept = cache.KeyValueCache()
    itself(x, mask=attention.causal_mask(5), cache=kept, return_weights=True)
    itself(x[:, :1], cache=kept, return_weights=True)
    query, mask = torch.randn(3, 2, 3, 5, 4), attention.causal_mask(5)
    attention.attend(*query, mask, bias=torch.randn(5, 5))
    grouped = attention.MultiHeadAttention(12, 6, 10, key_heads=2)
    grouped(x, context, bias=torch.randn(6, 5, 7), kept=kept.context)


def run_cache() -> None:
    kept = cache.KeyValueCache()
    kept.extend(*torch.randn(2, 3, 2, 5, 4))
    kept.extend(*torch.randn(2, 3, 2, 1, 4))
    kept.context.project(lambda x: (x[:, None], x[:, None]), torch.randn(3, 7, 4))
    kept.select(torch.tensor([2, 0, 1]))


def run_norms() -> None:
    norms.RMSNorm(7)(torch.randn(2, 5, 7))


def run_rotary() -> None:
    query, key = torch.randn(2, 3, 5, 11), torch.randn(2, 1, 5, 11)
    for interleaved in (False, True):
        rotary.RotaryPositions(torch.arange(5), 8, interleaved=interleaved)(query, key)


def run_fast_attention() -> None:
    query = torch.randn(2, 3, 5, 4, requires_grad=True)
    key = torch.randn(2, 3, 7, 4, requires_grad=True)
    value = torch.randn(2, 3, 7, 6, requires_grad=True)
    mask = torch.rand(2, 3, 5, 7) > 0.4
    bias = torch.randn(3, 5, 7, requires_grad=True)
    fast_attention.tiled_attention(query, key, value, mask, bias).sum().backward()
    key, value = key.detach(), torch.randn(2, 3, 7, 4)
    fast_attention.torch_attention(query, key, value, mask)
    fast_attention.torch_attention(query, key, value)


def run_transformer() -> None:
    stack = transformer.Transformer([transformer.TransformerBlock(12, 3, 17) for _ in range(2)])
    stack(torch.randn(2, 5, 12))
    stack.first(torch.randn(2, 5, 12))


def run_blocks() -> None:
    x, context = torch.randn(2, 5, 12), torch.randn(2, 7, 10)
    transformer.Transformer([blocks.PostNormBlock(12, 3, 17)])(x)
    for block in (blocks.CrossBlock, blocks.PostNormCrossBlock):
        transformer.Transformer([block(12, 3, 17, context_width=10)])(x, context)


def run_embeddings() -> None:
    embeddings.PatchEmbedding(3, 4, 10)(torch.randn(2, 3, 8, 12))
    embeddings.resize_positions(torch.randn(6, 5), (2, 3), (4, 7))


def run_boxes() -> None:
    boxes.TubeletEmbedding(3, 2, 5, 14)(torch.randn(2, 4, 3, 10, 15))
    boxes.SpectrogramPatchEmbedding(4, 3, 13)(torch.randn(2, 10, 17))


def run_image_blocks() -> None:
    x = torch.randn(2, 6, 8, 10)
    x = image_blocks.ResidualBlock2d(6, 12, time_width=5, groups=3)(x, torch.randn(2, 5))
    x = image_blocks.SelfAttention2d(12, heads=2, groups=3)(x)
    image_blocks.Upsample(12)(image_blocks.Downsample(12)(x))


def run_sinusoids() -> None:
    sinusoids.sinusoidal_positions(7, 12)
    sinusoids.timestep_embedding(torch.arange(3), 8)
    sinusoids.cosines_first(torch.arange(3), 8)


def run_lstm() -> None:
    model, real = lstm.LSTM(7, 5, layers=2, both=True), torch.arange(6) < torch.tensor([[4], [6]])
    model(torch.randn(2, 6, 7), real=real)
    lstm.LSTMCell(7, 5)(torch.randn(2, 7))


def run_cnn3d() -> None:
    clips = torch.randn(2, 6, 3, 32, 24)
    for residual in (False, True):
        cnn3d.CNN3D(cnn3d.CNN3DConfig(7, (8, 12), (1, 2), residual))(clips)
    cnn3d.conv3d(torch.randn(2, 3, 6, 9, 7), torch.randn(4, 3, 5, 3, 1), torch.randn(4))


def run_cnn_lstm() -> None:
    model, clips = cnn_lstm.CNNLSTM(cnn_lstm.tiny()), torch.randn(2, 6, 3, 32, 24)
    for average in (False, True):
        model.config = replace(model.config, average=average)
        model(clips)
        model(clips, torch.arange(6) < torch.tensor([[4], [6]]))


def run_vit() -> None:
    model = vit.ViTClassifier(VISION)
    model(torch.randn(3, 2, 15, 10))


def run_resnet() -> None:
    config = resnet.ResNetConfig(5, (8, 12), (1, 1), channels=2, classes=7)
    model, images = resnet.ResNetClassifier(config), torch.randn(3, 2, 24, 40)
    model.encoder.tokens(images)
    model(images)


def run_rollout() -> None:
    rollout.attention_rollout([torch.rand(2, 3, 5, 5)] * 2)


def run_text_transformer() -> None:
    tokens = torch.tensor([[3, 4, 22, 0, 0], [5, 6, 7, 8, 22], [9, 22, 22, 22, 22]])
    hidden = text_transformer.TextTransformer(TEXT)(tokens)
    text_transformer.pool_at_end(hidden, tokens, end_token=22)


def run_bert() -> None:
    config = bert.BERTConfig(23, 11, width=12, depth=1, heads=3, hidden=17, types=4)
    tokens, real = torch.randint(5, 23, (2, 7)), torch.arange(7) < torch.tensor([[4], [7]])
    model = bert.BERT(config)
    model.pool(model(tokens, real, types=torch.randint(4, (2, 7))))
    covered, targets = bert.mask_tokens(tokens, {0, 1}, 1, 23, torch.Generator())
    bert.masked_loss(bert.BERTForMaskedLM(config)(covered), targets)


def run_words() -> None:
    layer = words.BERTEmbeddings(23, 14, 11, types=3)
    hidden = layer(torch.tensor([[3, 4, 22, 0, 0], [5, 6, 7, 8, 22]]))
    words.MaskedWordHead(14, 23)(hidden, layer.tokens.weight)


def run_cross_modal() -> None:
    x, context, real = torch.randn(2, 3, 12), torch.randn(2, 5, 10), torch.rand(2, 5) > 0.5
    cross_modal.CrossModalAttention(12, 4, context_width=10)(x, context, real)
    cross_modal.masked_mean(context, real)
    cross_modal.masked_mean(context)


def run_bimodal() -> None:
    config = bimodal.BimodalConfig(12, 4, 17, words_depth=2, image_depth=1, depth=2)
    real = torch.rand(2, 5) > 0.5
    bimodal.BimodalTransformer(config)(torch.randn(2, 5, 12), torch.randn(2, 7, 12), real)


def run_strategies() -> None:
    widths, present = {"a": 5, "b": 4}, {"a": torch.tensor([True, False, True])}
    given = {"a": torch.randn(3, 5), "b": torch.randn(3, 4)}
    narrow = tensor_fusion.TensorFusion({"a": 2, "b": 6}, 7)
    for model in (
        early.EarlyFusion(widths, 7, 11),
        late.WeightedLateFusion(widths, 7, 11),
        bilinear.BilinearFusion(widths, 7),
        low_rank.LowRankFusion(widths, 7, rank=8),
        gated.GatedFusion(widths, 7, 10, 2, 11),
        modality_attention.AttentionFusion(widths, 7, 10, 2, 11),
        modalities.Encoded(widths, narrow),
    ):
        model(given, present)
    low_rank.LowRankFusion({"a": 5, "b": 4}, 7, rank=8).tensor()


def run_bottleneck() -> None:
    model = bottleneck.BottleneckFusion({"a": 5, "b": 4}, 7, 10, 2, 11, depth=2, bottlenecks=6)
    given = {"a": torch.randn(3, 8, 5), "b": torch.randn(3, 9, 4)}
    model(given, {"a": torch.tensor([True, False, True])}, {"b": torch.rand(3, 9) < 2})


def run_vilt() -> None:
    body = vilt.ViLT(vilt.ViLTConfig(23, 11, 8, 4, width=15, depth=1, heads=3, hidden=17))
    tokens, images = (
        torch.tensor([[3, 4, 22, 0, 0, 0], [5, 6, 7, 8, 9, 22]]),
        torch.randn(2, 3, 8, 16),
    )
    pixels = (torch.arange(16) < torch.tensor([[8], [12]]))[:, None].expand(2, 8, 16)
    for model in (vilt.ViLTForMatching(body), vilt.ViLTForVQA(body, 13)):
        model(tokens, images, pixels=pixels)
    vilt.ViLTForMaskedLM(body)(tokens, images, real=tokens > 0)


def run_multimodal_transformer() -> None:
    config = multimodal_transformer.MultimodalConfig(12, 3, 17, depth=1, self_depth=1)
    model = multimodal_transformer.MultimodalTransformer({"a": 5, "b": 7, "c": 8}, config, 11)
    model({"a": torch.randn(2, 4, 5), "b": torch.randn(2, 6, 7)})


def run_vision_language() -> None:
    config = vision_language.VisionLanguageConfig(12, 14, 10, 5, 17, 2, embedding=8, classes=6)
    encoders = (
        vit.VisionTransformer(VISION),
        bert.BERTEncoder(bert.BERTConfig(23, 11, 14, 1, 2, 19)),
    )
    model = vision_language.VisionLanguageModel(*encoders, config)
    model(torch.randn(2, 2, 10, 15), torch.tensor([[3, 4, 5]] * 2))


def run_vqa() -> None:
    config = vqa.VQAConfig(23, 9, 12, 6, context_length=11, width=10, depth=1, heads=5, hidden=17)
    tokens = torch.tensor([[3, 4, 5]] * 2)
    vqa.VQA(torch.nn.Conv2d(2, 12, 5, 5), config)(torch.randn(2, 2, 10, 15), tokens, tokens > 0)


def run_matching() -> None:
    matching.matching_negatives(torch.tensor([[1, 2], [1, 2], [3, 4]]), torch.Generator())


def run_clip() -> None:
    tokens = torch.tensor([[3, 4, 5, 22]] * 3)
    clip.CLIP(clip.CLIPConfig(VISION, TEXT, embedding=8))(torch.randn(3, 2, 10, 15), tokens)
    clip.CLIPVision(VISION).tokens(torch.randn(3, 2, 10, 15))


def run_loss() -> None:
    loss.contrastive_loss(torch.randn(3, 5), torch.randn(3, 5), 7.0)
    right = torch.eye(3, dtype=torch.bool)
    loss.masked_contrastive_loss(torch.randn(3, 5), torch.randn(3, 5), 7.0, right)


def run_zero_shot() -> None:
    classes = zero_shot.class_embeddings(
        lambda texts: torch.randn(len(texts), 5), ["a", "b"], ["{}", "the {}", "this {}"]
    )
    zero_shot.zero_shot(torch.randn(4, 5), classes)


def run_retrieval() -> None:
    retrieval.top_k(torch.randn(3, 5), torch.randn(11, 5), k=2, block=4)


def run_recall() -> None:
    recall.recall_at_k(torch.randn(3, 5), 2, torch.rand(3, 5) > 0.5)


def run_controls() -> None:
    scene = scenes.Scene((scenes.Thing("star", "red"), scenes.Thing("ring", "blue", x=0.6)))
    for kind in control_images.KINDS:
        control_images.control_images([scene] * 5, kind, size=16)


def run_sounding() -> None:
    things = (scenes.Thing("star", "red"), scenes.Thing("ring", "blue", x=0.3))
    sounds.sound_of_scenes([scenes.Scene(things)] * 3, 8000, 0.01)
    sounds.sound_of_clip(sounds.Clip(scenes.Scene(things)), 8000, 0.01)


def run_drawing() -> None:
    circle = scenes.Thing("circle", "red", texture=scenes.TEXTURES[1])
    star = scenes.Thing("star", "blue", x=0.3)
    scene_images.draw_many([scenes.Scene((circle, star))] * 5, size=9)
    scene_images.masks(scenes.Scene((circle, star)), size=9)


def run_canny() -> None:
    canny.canny(torch.randn(2, 3, 9, 12))


def run_images() -> None:
    image = torch.rand(3, 9, 7) * 2 - 1
    images.to_tensor(images.to_image(image))
    images.augment(torch.stack([image, -image]), torch.Generator())


def run_png() -> None:
    content = BytesIO()
    Image.new("RGB", (5, 4), (9, 8, 7)).save(content, "PNG", transparency=(9, 8, 7))
    png.still("a.png", png.chunks_of("a.png", content.getvalue()))


def run_vectors() -> None:
    vectors.cosine(torch.randn(3, 5), torch.randn(3, 5))


def run_vilt_positions() -> None:
    pixels = torch.ones(4, 12, 14, dtype=torch.bool)
    rows, columns, _ = vilt_positions.count_patches(pixels, torch.zeros(4, 3, 12, 14), patch=2)
    vilt_positions.interpolate_each(torch.randn(9, 5), rows, columns, (6, 7))


def run_bpe() -> None:
    bpe.pad_batch([[5], [6, 7, 8], [9]], 5, start=1, end=2, pad=0)


def run_wordpiece() -> None:
    tokenizer = wordpiece.WordPiece.train(["a red star"], merges=3)
    tokenizer.batch(["a", "red", "star"], 7, seconds=["a star", "red", "a"])


def run_small_clip() -> None:
    images = torch.rand(3, 3, 8, 8) * 2 - 1
    small = small_clip.build(images, ["a", "be", "sea"], patch_size=4, width=12, merges=2)
    small.embed_images(images)
    small.embed_texts(["a", "sea"])


def run_augment() -> None:
    augment.random_shift(torch.randn(2, 3, 4, 5), torch.Generator(), most=1)


def run_like_lengths() -> None:
    length_buckets.length_buckets([3, 9, 4, 8, 5], batch_size=2)(0)


def run_judged_places() -> None:
    images = torch.rand(5, 3, 7, 6) * 2 - 1
    colors = ["red", "blue", "white", "cyan", "green"]
    placed_colors.at_places(images, colors, ["on the left"] * 5)
    placed_colors.in_relation(images, colors, ["above"] * 5, colors[::-1])


def run_small_generator() -> None:
    prompts = ["a red star", "a blue ring", "a cross"]
    small_generator.untrained().draw(prompts, seeds=[1, 2, 3], steps=2)


def run_small_vit() -> None:
    images = torch.rand(5, 2, 8, 8) * 2 - 1
    small_vit.build(images, ["a", "b", "c"], patch_size=4).classify(images)


def run_adaptive_loss() -> None:
    losses = {"a": torch.tensor(2.0), "b": torch.tensor(3.0), "c": torch.tensor(1.0)}
    weigh = adaptive_loss.LossRatio(list(losses), period=1)
    for _ in range(3):
        weigh(losses)
    adaptive_loss.UncertaintyWeights(list(losses))(losses)


def run_modality_dropout() -> None:
    present = modality_dropout.everything(["a", "b", "c"], batch=5)
    modality_dropout.modality_dropout(present, 0.5)


def run_unet() -> None:
    config = unet.UNetConfig(2, (6, 9), 1, (1,), None, groups=3)
    unet.UNet(config)(torch.randn(4, 2, 10, 14), torch.arange(4))


def run_text_unet() -> None:
    config = text_unet.TextUNetConfig(
        2, (6, 12), 1, (1,), groups=3, heads=3, word_width=11, hears_words=True
    )
    other, mask = replace(config, linear=True, places_words=True), torch.rand(4, 7) > 0.3
    for one in (config, other):
        model = text_unet.TextUNet(one)
        model(torch.randn(4, 2, 10, 16), torch.arange(4), torch.randn(4, 7, 11), mask)


def run_latent() -> None:
    model = latent.tiny()
    prompt = {"tokens": torch.tensor([[97, 5, 98]] * 2), "real": torch.ones(2, 3).bool()}
    empty = {name: value[:1] for name, value in prompt.items()}
    latents = model.space.to_latents(torch.randn(2, 3, 8, 16))
    latent.text_to_image_loss(model, latents, prompt, empty)


def run_controlnet() -> None:
    config = text_unet.TextUNetConfig(2, (6, 12), 1, (1,), groups=3, heads=3, word_width=11)
    base = text_unet.TextUNet(config)
    model = controlnet.Controlled(base, controlnet.ControlNet.copy_of(base, 1, (5, 9)))
    noisy, words = torch.randn(4, 2, 10, 16), torch.randn(4, 7, 11)
    model(noisy, torch.arange(4), words, hint=torch.randn(4, 1, 20, 32))


def run_samplers() -> None:
    levels, x = schedule.cosine_schedule(7), torch.randn(2, 3, 5)
    words = {"words": torch.randn(2, 4)}
    dropped = guidance.prompt_dropout(words, {"words": torch.zeros(1, 4)}, share=0.5)
    model = guidance.guided(lambda x, timesteps, words: x, {"words": torch.zeros(1, 4)}, scale=3)
    ddpm.diffusion_loss(model, levels, x, target="velocity", **dropped)
    ddpm.ancestral_sample(model, levels, x, **words)
    ddim.ddim_sample(model, levels, x, [6, 2], eta=0.5, **words)
    ddim.ddim_invert(model, levels, x, [6, 2], **words)


def run_inpainting() -> None:
    levels, x = schedule.cosine_schedule(7), torch.randn(2, 3, 8, 12)
    mask = torch.zeros(2, 1, 8, 12, dtype=torch.bool)
    mask[..., 3:6, 4:9] = True
    inpainting.inpaint(lambda x, timesteps: x, levels, x, mask, x, [6, 3], repeats=2)
    inpainting.shrink_mask(mask, (4, 3))
    heat = relevance.relevance_by_occlusion(lambda x: x.mean(dim=(1, 2, 3)), x[0], patch=3)
    relevance.mask_of(heat.abs())


def run_style() -> None:
    levels, x = schedule.cosine_schedule(10), torch.randn(2, 3, 6, 8)
    styled = style.in_colours_of(lambda x, timesteps: x, levels, torch.randn(1, 3, 5, 7))
    styled(x, torch.tensor([4, 7]))


def run_fid() -> None:
    fid.fid(torch.randn(7, 3), torch.randn(9, 3))


def run_image_quality() -> None:
    image_quality.image_quality(torch.randn(2, 3, 7, 8))


def run_clip_score() -> None:
    clip_score.ref_clip_score(torch.randn(2, 5), torch.randn(2, 5), torch.randn(2, 3, 5))


def run_vae() -> None:
    config = vae.VAEConfig(5, latent_channels=3, widths=(8, 12), depth=1, groups=4)
    model, images = vae.VAE(config), torch.randn(2, 5, 14, 18)
    restored, posterior = model(images)
    vae.vae_loss(images, restored, posterior)
    model.to_images(model.to_latents(images))


def run_prior() -> None:
    config = prior.PriorConfig(10, 14, context_length=7, width=12, depth=1, heads=3)
    model, embeddings = prior.Prior(config), torch.randn(3, 10)
    real = torch.arange(5) < torch.tensor([[5], [2], [3]])
    text = torch.randn(3, 5, 14)
    drawn = model(embeddings, torch.arange(3), embeddings, text, real)
    model.restore(model.normalise(drawn))
    levels, texts = schedule.cosine_schedule(7), {"text_embedding": embeddings, "text": text}
    prior.prior_loss(model, levels, drawn, **texts)
    prior.draw_embeddings(model, levels, steps=1, candidates=2, **texts)
    prior.closest(torch.randn(3, 2, 10), embeddings)
    prior.slerp(torch.randn(3, 10), embeddings, 0.5)


def run_unclip() -> None:
    unet_config = text_unet.TextUNetConfig(12, (6, 12), 1, (1,), groups=3, heads=3, word_width=11)
    decoder = unclip.Decoder(unclip.DecoderConfig(unet_config, 10, 8, patch=2, tokens=5))
    levels, images, embeddings = (
        schedule.cosine_schedule(7),
        torch.randn(2, 3, 8, 12),
        torch.randn(2, 10),
    )
    unclip.decoder_loss(decoder, levels, images, embeddings)
    unclip.invert(decoder, levels, images, embeddings, steps=1)
    unclip.variations(decoder, levels, embeddings[:1], [5, 6, 7, 8], steps=1)
    shares = [0.0, 0.2, 0.4, 1.0]
    unclip.interpolate(decoder, levels, embeddings, decoder.noise([1, 2]), shares, steps=1)
    unclip.text_diffs(embeddings[:1], embeddings[1:], torch.randn(1, 10), shares)


def run_grid_classifier() -> None:
    grid_classifier.GridClassifier((5, 2), width=6)(torch.randn(2, 3, 8, 12))
    grid_classifier.cell_labels(torch.rand(3, 12, 8) > 0.5, torch.zeros(3, 2).long())


def run_clips() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clips.read_clip(clips.write_gif(folder + "/a.gif", torch.randn(4, 3, 5, 6)), size=(8, 7))
    for how in ("uniform", "random", "dense"):
        clips.sample_frames(9, 4, how)


def run_waveform() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a.wav", "a.ogg"):
            path = waveform.write_sound(Path(folder) / name, torch.zeros(2, 9), 8000)
            waveform.read_sound(path, rate=6000)
    waveform.loud_part(torch.ones(3, 70), frame=10, hop=5)
    waveform.pad_together([torch.zeros(5), torch.zeros(7)])


def run_audio_cnn() -> None:
    config = audio_cnn.AudioCNNConfig(classes=7, mels=12, channels=(4, 5))
    model, log_mel = audio_cnn.AudioCNN(config), torch.randn(3, 12, 18)
    real = audio_cnn.frame_mask(torch.arange(35) < torch.tensor([[35], [11], [20]]), hop=2)
    model.measure(log_mel, real)
    model(log_mel, real)
    model(log_mel)
    model.evidence(log_mel, real)


def run_mel() -> None:
    sound = torch.randn(2, 3, 100)
    spectrum.hann(5)  # by itself, since windows and filters made before are kept
    mel.mel_filters(rate=500, size=20, mels=7)
    seen = spectrum.stft(sound, size=21, hop=4)
    spectrum.power(seen)
    spectrum.istft(seen, size=21, hop=4)
    mel.mfcc(mel.log_mel(sound, rate=500, size=20, mels=7), count=4)
    mel.whisper_log_mel(sound[0], mels=5)


def run_features() -> None:
    sound = torch.randn(2, 3, 500)
    features.rms(sound, 20, 7)
    features.zero_crossing_rate(sound, 20, 7)
    bands = spectrum.power(spectrum.stft(sound, 32))
    features.spectral_centroid(bands, 8000)
    features.spectral_rolloff(bands, 8000)
    features.chroma(bands, 8000)
    onsets = rhythm.onset_strength(sound, 8000, 23, size=512)
    rhythm.tempo(onsets, 8000, 23 * 50)


def run_sound_augment() -> None:
    real = torch.arange(9) < torch.tensor([[9], [6]])
    sound_augment.add_noise(torch.randn(2, 9), torch.Generator(), real)
    sound_augment.shift(torch.randn(2, 9), torch.Generator(), real)
    sound_augment.spec_augment(torch.randn(2, 5, 9), torch.Generator(), real, count=3)


RUNS: dict[str, Callable[[], None]] = {
    "layers/attention.py": run_attention,
    "layers/cache.py": run_cache,
    "layers/fast_attention.py": run_fast_attention,
    "layers/norms.py": run_norms,
    "layers/rotary.py": run_rotary,
    "layers/transformer.py": run_transformer,
    "layers/embeddings.py": run_embeddings,
    "layers/blocks.py": run_blocks,
    "layers/boxes.py": run_boxes,
    "layers/image_blocks.py": run_image_blocks,
    "layers/sinusoids.py": run_sinusoids,
    "layers/lstm.py": run_lstm,
    "layers/vectors.py": run_vectors,
    "images/png.py": run_png,
    "fusion/vilt_positions.py": run_vilt_positions,
    "vision/vit.py": run_vit,
    "vision/grid_classifier.py": run_grid_classifier,
    "vision/resnet.py": run_resnet,
    "vision/rollout.py": run_rollout,
    "video/clips.py": run_clips,
    "video/cnn3d.py": run_cnn3d,
    "video/cnn_lstm.py": run_cnn_lstm,
    "audio/audio_cnn.py": run_audio_cnn,
    "audio/sound_files.py": run_waveform,
    "audio/waveform.py": run_waveform,
    "audio/augment.py": run_sound_augment,
    "audio/features.py": run_features,
    "audio/rhythm.py": run_features,
    "audio/mel.py": run_mel,
    "audio/spectrum.py": run_mel,
    "language/text_transformer.py": run_text_transformer,
    "language/bert.py": run_bert,
    "language/words.py": run_words,
    "fusion/modalities.py": run_strategies,
    "fusion/early.py": run_strategies,
    "fusion/late.py": run_strategies,
    "fusion/bilinear.py": run_strategies,
    "fusion/tensor_fusion.py": run_strategies,
    "fusion/low_rank.py": run_strategies,
    "fusion/gated.py": run_strategies,
    "fusion/modality_attention.py": run_strategies,
    "fusion/bottleneck.py": run_bottleneck,
    "fusion/vilt.py": run_vilt,
    "fusion/matching.py": run_matching,
    "fusion/multimodal_transformer.py": run_multimodal_transformer,
    "fusion/vision_language.py": run_vision_language,
    "fusion/vqa.py": run_vqa,
    "fusion/cross_modal.py": run_cross_modal,
    "fusion/bimodal.py": run_bimodal,
    "diffusion/schedule.py": run_samplers,
    "diffusion/ddpm.py": run_samplers,
    "diffusion/ddim.py": run_samplers,
    "diffusion/guidance.py": run_samplers,
    "diffusion/inpainting.py": run_inpainting,
    "diffusion/relevance.py": run_inpainting,
    "diffusion/unet.py": run_unet,
    "diffusion/text_unet.py": run_text_unet,
    "diffusion/controlnet.py": run_controlnet,
    "diffusion/vae.py": run_vae,
    "diffusion/prior.py": run_prior,
    "diffusion/unclip.py": run_unclip,
    "contrastive/clip.py": run_clip,
    "contrastive/loss.py": run_loss,
    "contrastive/zero_shot.py": run_zero_shot,
    "contrastive/retrieval.py": run_retrieval,
    "metrics/recall.py": run_recall,
    "diffusion/latent.py": run_latent,
    "diffusion/style.py": run_style,
    "metrics/fid.py": run_fid,
    "metrics/clip_score.py": run_clip_score,
    "metrics/image_quality.py": run_image_quality,
    "data/world/images.py": run_drawing,
    "data/world/sounds.py": run_sounding,
    "data/world/control_images.py": run_controls,
    "vision/images.py": run_images,
    "vision/canny.py": run_canny,
    "language/bpe.py": run_bpe,
    "language/wordpiece.py": run_wordpiece,
    "training/small_clip.py": run_small_clip,
    "training/augment.py": run_augment,
    "training/length_buckets.py": run_like_lengths,
    "training/small_generator.py": run_small_generator,
    "training/placed_colors.py": run_judged_places,
    "training/small_vit.py": run_small_vit,
    "training/adaptive_loss.py": run_adaptive_loss,
    "training/modality_dropout.py": run_modality_dropout,
}


@pytest.mark.parametrize("name", RUNS)
def test_every_shape_comment_is_true(name: str) -> None:
    report = check_shapes([PACKAGE / name], RUNS[name])
    assert not report.wrong, "\n".join(report.wrong)
    assert not report.unexecuted, "these comments never ran:\n" + "\n".join(report.unexecuted)


def test_every_file_with_shape_comments_is_run() -> None:
    commented = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if file.parent.name != "commands"  # they are run by their own tests, whole
        and find_comments(file.read_text(encoding="utf-8"), file.name)[0]
    }
    assert commented <= set(RUNS)


# --- the checker itself -------------------------------------------------------------------------


def check_source(tmp_path: Path, source: str, call: str, **known: int):
    """Checks a little module while `call` runs in it."""
    path = tmp_path / "little.py"
    path.write_text("import torch\n" + textwrap.dedent(source), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("little", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return check_shapes([path], lambda: eval(call, vars(module)), known)


TRUE = """
def split(x, heads):
    '''x: (B, L, D). Returns (B, H, L, D // H).'''
    y = (
        x.unflatten(-1, (heads, -1))
        .transpose(1, 2)
    )  # (B, H, L, D // H), heads before positions
    a, b = y, y + 1  # each (B, H, L, D // H)
    z = torch.cat([a[:, :, :1], b], dim=2)  # (B, H, 1 + L, D // H)
    for _ in range(2):
        z = z + 1  # (B, H, 1 + L, D // H)
    if heads:
        return z[:, :, 1:]  # (B, H, L, D // H)
"""


def test_true_comments_hold(tmp_path: Path) -> None:
    report = check_source(tmp_path, TRUE, "split(torch.zeros(2, 5, 12), 3)")
    assert report.wrong == []
    assert report.unexecuted == []
    assert report.checked == 6  # y, the pair, the sum, two rounds of the loop, the return


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(B, H, L, D // H), heads", "(B, L, H, D // H), heads"),  # transposed
        ("each (B, H, L, D // H)", "each (B, H, D, L)"),
        ("2)  # (B, H, 1 + L, D // H)", "2)  # (B, H, L, D // H)"),
        ("+ 1  # (B, H, 1 + L, D // H)", "+ 1  # (B, H, 2 + L, D // H)"),
        ("1:]  # (B, H, L, D // H)", "1:]  # (B, H, L)"),  # another number of axes
        ("1:]  # (B, H, L, D // H)", "1:]  # (B, H, L, Q // H)"),  # a letter that nothing binds
        ("# each", "#"),  # a tuple is no tensor
        ("x: (B, L, D)", "x: (L, B, D)"),
        ("Returns (B, H, L, D // H)", "Returns (B, L, H, D // H)"),
    ],
)
def test_a_wrong_comment_is_found(tmp_path: Path, old: str, new: str) -> None:
    assert old in TRUE
    report = check_source(tmp_path, TRUE.replace(old, new, 1), "split(torch.zeros(2, 5, 12), 3)")
    assert report.wrong


def test_the_place_and_both_numbers_are_named(tmp_path: Path) -> None:
    source = "def f(x):\n    y = x.T  # (A, B)\n    return y  # (B, A)\n"
    report = check_source(tmp_path, source, "f(torch.zeros(2, 3))")
    assert report.wrong == [
        "little.py:4: # (B, A): the shape is (3, 2), but B is 2",
        "little.py:4: # (B, A): the shape is (3, 2), but A is 3",
    ]


def test_a_comment_that_never_ran_is_reported(tmp_path: Path) -> None:
    report = check_source(tmp_path, TRUE, "split(torch.zeros(2, 5, 12)[:0], 3) if 0 else None")
    assert len(report.unexecuted) == 5


def test_letters_belong_to_one_call(tmp_path: Path) -> None:
    source = "def f(x):\n    return x + 1  # (B, D)\n"
    both = "[f(torch.zeros(2, 3)), f(torch.zeros(4, 5))]"
    assert not check_source(tmp_path, source, both).wrong
    assert check_source(tmp_path, source, both, D=3).wrong  # unless they are pinned for the run


def test_a_letter_known_only_in_a_sum_is_solved_for(tmp_path: Path) -> None:
    source = "def f(x):\n    y = x + 1  # (B, P + S)\n    return y[:, 1:]  # (B, S)\n"
    assert not check_source(tmp_path, source, "f(torch.zeros(2, 3))").wrong


def test_a_statement_that_raised_is_not_checked(tmp_path: Path) -> None:
    source = """
    def f(x):
        y = x
        try:
            y = torch.zeros(0).item()  # (B, D)
        except RuntimeError:
            y = x.flatten()  # (E,)
        return y  # (E,)
    """
    report = check_source(tmp_path, source, "f(torch.zeros(2, 3))")
    assert report.wrong == []
    assert len(report.unexecuted) == 1


def test_a_return_through_with_and_finally(tmp_path: Path) -> None:
    source = """
    def f(x):
        try:
            with torch.no_grad():
                return x[0]  # (B, D)
        finally:
            x = 1
    """
    report = check_source(tmp_path, source, "f(torch.zeros(2, 3))")
    assert len(report.wrong) == 1


def test_the_ellipsis_stands_for_any_axes(tmp_path: Path) -> None:
    source = "def f(x):\n    a = x[0, 0]  # (D,)\n    return x  # (..., D)\n"
    assert not check_source(tmp_path, source, "f(torch.zeros(2, 3, 4))").wrong
    wrong = source.replace("x[0, 0]", "x[0, :, 0]")
    assert check_source(tmp_path, wrong, "f(torch.zeros(2, 3, 4))").wrong


def test_what_is_appended_is_checked(tmp_path: Path) -> None:
    source = "def f(x):\n    rows = []\n    rows.append(x[0])  # (D,)\n    return x  # (B, D)\n"
    assert not check_source(tmp_path, source, "f(torch.zeros(2, 3))").wrong
    wrong = source.replace("x[0]", "x[:, 0]")
    assert check_source(tmp_path, wrong, "f(torch.zeros(2, 3))").wrong


def test_a_comment_at_no_statement_is_refused(tmp_path: Path) -> None:
    source = "def f(x):\n    print(x)  # (B, D)\n"
    assert "no assignment" in check_source(tmp_path, source, "f(torch.zeros(2, 3))").wrong[0]


def test_prose_in_brackets_is_no_shape(tmp_path: Path) -> None:
    source = "def f(x):\n    y = x  # (registers itself)\n    return y  # (see below, and there)\n"
    assert check_source(tmp_path, source, "f(torch.zeros(2, 3))").checked == 0
