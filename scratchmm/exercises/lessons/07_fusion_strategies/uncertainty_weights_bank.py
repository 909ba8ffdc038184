"""Wrong and other right answers to adaptive_loss.UncertaintyWeights."""

import torch

from scratchmm.exercises.format import exercise_file
from scratchmm.training.adaptive_loss import UncertaintyWeights

exercise = exercise_file("07_fusion_strategies/uncertainty_weights").exercise

EXP = "self.factors * torch.exp(-self.log_variances)"
TOTAL = "(self.weights * values + self.log_variances / 2).sum()"
VALUES = "_in_order(losses, self.names)"

exercise.edit(
    "no-price",
    (TOTAL, "(self.weights * values).sum()"),
    story="noise costs nothing, so the model calls everything noise and the loss goes to 0",
    advice="add s / 2 for each loss",
)
exercise.edit(
    "price-of-the-wrong-sign",
    ("+ self.log_variances / 2", "- self.log_variances / 2"),
    story="noise is paid for: s / 2 is subtracted, and the loss falls without end",
    advice="+ s / 2",
)
exercise.edit(
    "price-not-halved",
    ("+ self.log_variances / 2", "+ self.log_variances"),
    story="the price is s, not s / 2",
    advice="it is the logarithm of the standard deviation: half of that of the variance",
    convention=True,
)
exercise.edit(
    "price-halved-twice",
    ("+ self.log_variances / 2", "+ self.factors * self.log_variances / 2"),
    story="a squared loss has its price halved too",
    advice="the half belongs to the loss; the price is s / 2 for all",
)
exercise.edit(
    "price-weighed",
    (TOTAL, "(self.weights * (values + self.log_variances / 2)).sum()"),
    story="the price is divided by the variance together with the loss",
    advice="weights * loss, and then + s / 2",
)
exercise.edit(
    "price-above-zero",
    (
        "+ self.log_variances / 2",
        "+ torch.nn.functional.softplus(self.log_variances)",
    ),
    story="the price is log(1 + variance), which can't fall below 0, as others have it",
    advice="a loss may well fall below 0 here: the price is s / 2",
    convention=True,
)
exercise.edit(
    "variance-multiplied",
    (EXP, "self.factors * torch.exp(self.log_variances)"),
    story="exp(+s): what is noisy counts more",
    advice="divide by the variance: exp(-s)",
)
exercise.edit(
    "logarithm-of-the-deviation",
    (EXP, "self.factors * torch.exp(-2 * self.log_variances)"),
    (TOTAL, "(self.weights * values + self.log_variances).sum()"),
    story="s is taken for the logarithm of the standard deviation",
    advice="it is that of the variance: exp(-s), and s / 2",
    convention=True,
)
exercise.edit(
    "divided-by-the-deviation",
    (EXP, "self.factors * torch.exp(-self.log_variances / 2)"),
    story="losses are divided by the standard deviation, not by the variance",
    advice="exp(-s)",
)
exercise.edit(
    "half-for-all",
    (EXP, "torch.exp(-self.log_variances) / 2"),
    story="every loss is halved, as if all were mean squared errors",
    advice="self.factors says which are: a half for those, 1 for all others",
    convention=True,
)
exercise.edit(
    "half-for-none",
    (EXP, "torch.exp(-self.log_variances)"),
    story="no loss is halved, as if none were a mean squared error",
    advice="self.factors: a half for those named in squared",
    convention=True,
)
exercise.edit(
    "half-for-the-others",
    (EXP, "(1.5 - self.factors) * torch.exp(-self.log_variances)"),
    story="those are halved that are no squared errors",
    advice="self.factors says it: a half for those named in squared",
)
exercise.edit(
    "logarithm-forgotten",
    (EXP, "self.factors / self.log_variances"),
    story="s is taken for the variance itself: at 0 it divides by 0",
    advice="s is a logarithm: exp(-s) is 1 / variance, and never fails",
)
exercise.edit(
    "as-they-come",
    (VALUES, "torch.stack([*losses.values()])"),
    story="losses are taken in the order in which they come, not by name",
    advice="[losses[name] for name in self.names]",
)
exercise.edit(
    "sorted-by-name",
    (VALUES, "torch.stack([losses[name] for name in sorted(losses)])"),
    story="losses are put in the order of the alphabet",
    advice="the order is that of self.names",
)
exercise.edit(
    "mean",
    (").sum()", ").mean()"),
    story="the mean over the losses is taken",
    advice="the losses are added up: with all s at 0 nothing is weighed",
)
exercise.edit(
    "weights-of-sum-one",
    (EXP, "(self.factors * torch.exp(-self.log_variances)).softmax(0)"),
    story="the weights are made to have the sum 1",
    advice="each loss has a noise of its own: no softmax",
)
exercise.edit(
    "variances-cut-off",
    (EXP, "self.factors * torch.exp(-self.log_variances.detach())"),
    story="the weights are cut off from s: only the price moves s, and always down",
    advice="no detach: s is learned from both terms",
)
exercise.edit(
    "losses-cut-off",
    (VALUES, "torch.stack([losses[name].detach() for name in self.names])"),
    story="the losses are cut off, so the model learns nothing",
    advice="torch.stack keeps gradients; torch.tensor, item and detach do not",
)
exercise.edit(
    "weights-of-the-right-total",
    (EXP, "torch.exp(-self.log_variances)"),
    ("(self.weights *", "(self.factors * self.weights *"),
    story="the total is right, but weights lack the half of squared losses",
    advice="weights are the factors that the losses really have: self.factors * exp(-s)",
)


@exercise.disguise("no-price", method="forward")
def no_price_too(self, losses):
    result = 0.0
    for name, s, factor in zip(self.names, self.log_variances, self.factors, strict=True):
        result = result + factor * losses[name] / s.exp()
    return result


@exercise.disguise("as-they-come", method="forward")
def as_they_come_too(self, losses):
    pairs = zip(losses.items(), self.weights, strict=True)
    return sum(weight * loss for (_, loss), weight in pairs) + self.log_variances.sum() / 2


@exercise.disguise("half-for-all")
class HalfForAll(UncertaintyWeights):
    @property
    def weights(self):
        return 0.5 / self.log_variances.exp()


@exercise.right("loss by loss", method="forward")
def loss_by_loss(self, losses):
    result = 0.5 * self.log_variances.sum()
    for name, weight in zip(self.names, self.weights, strict=True):
        result = result + weight * losses[name]
    return result


@exercise.right("the deviation squared")
class DeviationSquared(UncertaintyWeights):
    @property
    def weights(self):
        return self.factors / (self.log_variances / 2).exp().square()

    def forward(self, losses):
        deviation = (self.log_variances / 2).exp()
        values = torch.stack([losses[name] for name in self.names])
        return torch.dot(self.weights, values) + deviation.log().sum()
