"""RQ-VAE: an autoencoder whose bottleneck is a residual quantiser.

Sources: Lee et al. 2022, "Autoregressive image generation using residual quantization"; Rajput et al. 2023,
"Recommender systems with generative retrieval" (TIGER, §3.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.tokenizer.base import Tokenized, stored_weights
from genrec.tokenizer.codebooks import Ema, RunningMeans
from genrec.tokenizer.collisions import CollisionRule
from genrec.tokenizer.contrastive import Contrast
from genrec.tokenizer.estimators import Estimator, StraightThrough
from genrec.tokenizer.kmeans import lloyd, nearest
from genrec.tokenizer.modalities import MakeFusion, Modalities
from genrec.tokenizer.residual import ResidualSpace, decode, encode, fit_codebooks
from genrec.tokenizer.scaling import overall


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


class RqVae(nn.Module):
    """Encoder MLP, L residual codebooks, decoder MLP.

    Inputs are standardised inside, with the mean and scale of the catalogue, so that a learning rate means
    the same for every catalogue. Reconstruction, codebook and commitment terms are all summed over features
    and averaged over rows: with a mean over features the two latent terms would outweigh reconstruction by
    `input_dim / embed_dim`, which is what collapses codebooks.

    Args:
        input_dim: width D of the item features.
        embed_dim: width d of the latent space and of the code vectors.
        codebook_size: K, codes per level.
        n_levels: L.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        commitment_weight: beta of the commitment term.
        estimator: how codes are chosen and gradients pass the quantiser; straight-through if None.
        ema: codes are running means of their rows; if None they follow the gradient of the codebook term.
        scaling: how inputs are standardised, a function of `genrec.tokenizer.scaling`; by one scale for all features
            unless told otherwise, which keeps their distances and the weights of their encoders.
        kmeans_iterations: Lloyd iterations of the k-means++ start of the codebooks.
        reset_every: training steps between searches for dead codes; 0 never resets.
        collaborative_dim: width C of the collaborative vectors that `forward` gets; None if it gets none.
        alignment_weight: of the contrastive term that draws quantised vectors to the collaborative ones. The
            other terms are sums over features.
        alignment_temperature: of that term's softmax.
        fusion: how the modalities of the features become one vector, a network of `genrec.features.fusion` that is
            trained with the rest; each modality then has a reconstruction term of its own, on the items that have it,
            and all weigh the same. None reads all columns as one block.
        parts: (modality, width) of each block of columns; needed with a fusion.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        input_dim: int,
        embed_dim: int = 32,
        codebook_size: int = 256,
        n_levels: int = 3,
        *,
        hidden: Sequence[int] = (512, 256, 128),
        commitment_weight: float = 0.25,
        estimator: Estimator | None = None,
        ema: Ema | None = None,
        scaling: Callable[[Tensor], tuple[Tensor, Tensor]] = overall,
        kmeans_iterations: int = 10,
        reset_every: int = 20,
        collaborative_dim: int | None = None,
        alignment_weight: float = 0.0,
        alignment_temperature: float = 0.1,
        fusion: MakeFusion | None = None,
        parts: Sequence[tuple[str, int]] = (),
    ) -> None:
        super().__init__()
        least = {
            "input_dim": (input_dim, 1),
            "embed_dim": (embed_dim, 1),
            "codebook_size": (codebook_size, 2),
            "n_levels": (n_levels, 1),
            "kmeans_iterations": (kmeans_iterations, 0),
            "reset_every": (reset_every, 0),
        }
        for name, (value, low) in least.items():
            if value < low:
                raise ConfigError(f"RqVae.{name} must be at least {low}, got {value}")
        if any(width < 1 for width in hidden):
            raise ConfigError(f"RqVae.hidden must hold positive widths, got {tuple(hidden)}")
        if commitment_weight < 0:
            raise ConfigError(f"RqVae.commitment_weight must not be negative, got {commitment_weight}")
        if alignment_weight < 0 or (alignment_weight > 0) != (collaborative_dim is not None):
            raise ConfigError(
                f"RqVae.alignment_weight is {alignment_weight}; it must be above 0 where train.collaborative is bound, "
                "and 0 where it is not"
            )
        self.commitment_weight, self.alignment_weight = commitment_weight, alignment_weight
        self.estimator = estimator or StraightThrough()
        if ema is not None and self.estimator.moves_codes:
            raise ConfigError(
                f"RqVae.ema replaces the codes' gradient, which {type(self.estimator).__name__} trains them by; "
                "remove RqVae.ema or bind another RqVae.estimator"
            )
        if fusion is not None and sum(width for _, width in parts) != input_dim:
            raise ConfigError(f"RqVae.parts must add up to RqVae.input_dim = {input_dim}, got {tuple(parts)}")
        self.modalities = None if fusion is None else Modalities(parts)
        self.scaling = scaling if self.modalities is None else self.modalities.scaling
        self.kmeans_iterations = kmeans_iterations
        self.reset_every = reset_every
        fused = None if fusion is None else fusion([width for _, width in parts])
        encoder = mlp([input_dim if fused is None else fused.width, *hidden, embed_dim])
        _keep_variance(encoder)
        self.encoder = encoder if fused is None else nn.Sequential(fused, encoder)
        self.decoder = mlp([embed_dim, *hidden[::-1], input_dim])
        books = (torch.randn(codebook_size, embed_dim) for _ in range(n_levels))
        self.codebooks = nn.ParameterList(nn.Parameter(book, requires_grad=ema is None) for book in books)
        self.averages = None if ema is None else RunningMeans(ema, n_levels, codebook_size, embed_dim)
        self.contrast = None
        if collaborative_dim is not None:
            self.contrast = Contrast(embed_dim, collaborative_dim, alignment_temperature)
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("scale", torch.ones(input_dim))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codebook size of each level."""
        return tuple(len(book) for book in self.codebooks)

    def standardise(self, x: Tensor) -> Tensor:
        """Raw features [B, D] -> zero mean, unit scale; zeros where a modality is missing."""
        scaled = (x - self.mean).div_(self.scale)
        return scaled if self.modalities is None else self.modalities.masked(scaled, x)

    @torch.no_grad()
    def start(self, x: Tensor, generator: torch.Generator) -> None:
        """Set the input scale and start every codebook with k-means++ on encoded features x [M, D].

        k-means runs on the CPU, where the generator is, so that every device starts from the same draw.
        """
        mean, scale = self.scaling(x)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        residual = self.latents(x)
        books = fit_codebooks(
            residual.cpu(), self.sizes, iterations=self.kmeans_iterations, generator=generator
        )
        for level, (book, found) in enumerate(zip(self.codebooks, books, strict=True)):
            book.copy_(found)
            index, _ = nearest(residual, book)
            residual = residual - book[index]
            if self.averages is not None:
                self.averages.start(level, book, index)

    def forward(self, x: Tensor, collaborative: Tensor | None = None) -> dict[str, Tensor]:
        """Scalars of a batch: `loss` and its terms `reconstruction`, `quantisation`, and `alignment` if it has one;
        with a fusion also what `reconstruction/<modality>` is made of.

        In training, running means take in the batch.

        Args:
            x: raw features [B, D].
            collaborative: vectors to draw the quantised ones to [B, C], zeros where an item has none; not read
                unless the model has `collaborative_dim`.
        """
        target = self.standardise(x)
        residual = self.encoder(target)  # [B, d]
        quantised = torch.zeros_like(residual)
        quantisation = residual.new_zeros((), dtype=torch.float32)
        for level, book in enumerate(self.codebooks):
            passed, index = self.estimator(residual, book)  # [B, d], [B]
            chosen = book[index]
            fixed = chosen.detach()
            quantisation = quantisation + self.commitment_weight * _squares(residual, fixed)
            if self.averages is None:
                quantisation = quantisation + _squares(chosen, residual.detach())
            elif self.training and torch.is_grad_enabled():
                self.averages.update(level, book, residual.detach(), index)
            quantised = quantised + passed
            residual = residual - passed.detach()  # a drawn mixture, too, is for the next level to mend
        reconstruction, parts = self._reconstruction(self.decoder(quantised), target)
        losses = {"reconstruction": reconstruction, "quantisation": quantisation / len(x)}
        if self.contrast is not None and collaborative is not None:
            losses["alignment"] = self.alignment_weight * self.contrast(quantised, collaborative)
        shown = {name: value.detach() for name, value in (losses | parts).items()}
        return {"loss": sum(losses.values()), **shown}

    def _reconstruction(self, restored: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The squared error of a row, and what each modality adds to it."""
        if self.modalities is None:
            return _squares(restored, target) / len(target), {}
        parts = self.modalities.reconstruction(restored, target)
        total = torch.stack(list(parts.values())).sum()
        return total, {f"reconstruction/{name}": value for name, value in parts.items()}

    @torch.no_grad()
    def reset_dead_codes(self, x: Tensor, generator: torch.Generator | None = None) -> int:
        """Move codes that no row of x [M, D] chooses onto random residuals of x; returns how many moved.

        Dead codes are a sign that the level lags behind latents that move faster than its codes, so its other codes
        are brought up to date, too: to the means of their rows, one step of k-means (Lancucki et al. 2020, "Robust
        training of vector quantized bottleneck models", §III). Levels without dead codes stay as they are.

        Args:
            x: raw features [M, D], several rows per code, else live codes look dead.
            generator: of the draws, on the CPU, so that every process and device draws the same.
        """
        residual = self.latents(x)
        moved = 0
        for level, book in enumerate(self.codebooks):
            index, _ = nearest(residual, book)
            dead = torch.nonzero(torch.bincount(index, minlength=len(book)) == 0)[:, 0]
            if len(dead):
                rows = torch.randperm(len(residual), generator=generator)[: len(dead)].to(residual.device)
                book[dead[: len(rows)]] = residual[rows]
                book.copy_(lloyd(residual, book, iterations=1))
                index, _ = nearest(residual, book)
                moved += len(rows)
                if self.averages is not None:
                    self.averages.start(level, book, index)
            residual = residual - book[index]
        return moved

    @torch.no_grad()
    def settle(self, x: Tensor) -> None:
        """Move every code to the mean of the rows of x [M, D] that choose it, as k-means does until it rests.

        The codebook term pulls codes there anyway; at the end of a short or fast training they are still on their
        way, behind the latents of the encoder that they will be used with.
        """
        residual = self.latents(x)
        for level, book in enumerate(self.codebooks):
            book.copy_(lloyd(residual, book, self.kmeans_iterations))
            index, _ = nearest(residual, book)
            if self.averages is not None:
                self.averages.start(level, book, index)
            residual = residual - book[index]

    @torch.no_grad()
    def latents(self, x: Tensor) -> Tensor:
        """Raw features [N, D] -> latents [N, embed_dim]."""
        return torch.cat([self.encoder(self.standardise(block)) for block in torch.split(x, 65_536)])

    def tokenize(self, vectors: Tensor, rule: CollisionRule) -> Tokenized:
        """Raw features float32 [N, D] -> codes, with the model as trained."""
        return Tokenized.of(self.space(vectors), rule)

    @torch.no_grad()
    def space(self, vectors: Tensor) -> ResidualSpace:
        """Items among the codes as trained; the error is that of the decoder on standardised features."""
        books = [book.detach() for book in self.codebooks]
        latents, target = self.latents(vectors), self.standardise(vectors)
        if self.modalities is not None:  # what an item lacks counts as restored
            restored = self.decoder(decode(encode(latents, books), books))
            target = torch.where(self.modalities.columns(vectors), target, restored)
        return ResidualSpace(latents, books, target, self.decoder)

    def weights(self) -> Mapping[str, Tensor]:
        """The state dict."""
        return self.state_dict()

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a trained model of the same widths."""
        shapes = {name: tensor.shape for name, tensor in self.state_dict().items()}
        self.load_state_dict(dict(zip(shapes, stored_weights(weights, shapes), strict=True)))


def _keep_variance(layers: nn.Sequential) -> None:
    """Start linear layers so that the variance of their inputs survives ReLUs (He et al. 2015, §2.2).

    torch's default loses five sixths of it per layer: latents would begin as points beside the biases, and outgrow
    the codes that were started on them.
    """
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Sum of squared differences of x and y [B, d], in one pass there and one back."""
    return F.mse_loss(x, y, reduction="sum")
