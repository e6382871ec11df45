"""Mixture of linear maps: one for each kind of audio, weighted by a gate.

Source: Jacobs et al. 1991, "Adaptive mixtures of local experts".
"""

from __future__ import annotations

from torch import Tensor, nn


class GatedLinear(nn.Module):
    """Σ_s p(s | x) · (W_s x + b_s), with p a softmax of a linear gate: (B, n_in) -> (B, n_out)."""

    def __init__(self, n_in: int, n_out: int, n_maps: int) -> None:
        super().__init__()
        self.gate = nn.Linear(n_in, n_maps)
        self.maps = nn.Linear(n_in, n_maps * n_out)

    def forward(self, x: Tensor) -> Tensor:
        shares = self.gate(x).softmax(1)  # (B, S)
        mapped = self.maps(x).unflatten(1, (self.gate.out_features, -1))  # (B, S · D) -> (B, S, D)
        mixed: Tensor = (shares.unsqueeze(2) * mapped).sum(1)
        return mixed


def make_map(n_in: int, n_out: int, n_maps: int) -> nn.Module:
    """One linear layer, or a mixture of several: (B, n_in) -> (B, n_out)."""
    return nn.Linear(n_in, n_out) if n_maps == 1 else GatedLinear(n_in, n_out, n_maps)
