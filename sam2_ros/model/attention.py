"""Attention, written once: plain, rotary, and SAM's two-way transformer between tokens and image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sam2_ros.model.layers import MLP, is_lean, is_plain
from sam2_ros.model.position import rotate

#: Scores of queries and keys that are held at once, so that they stay in the cache.
SCORES_AT_ONCE = 4 * 1024 * 1024


class Projections(nn.Module):
    """What every attention has: keys and values may be narrower, and the inside smaller, than the queries."""

    def __init__(
        self, width: int, heads: int, inner: int | None = None, key_width: int | None = None, dropout: float = 0.0
    ) -> None:
        """width: of queries and output; inner, key_width: of the attention and of keys and values (default: width)."""
        super().__init__()
        inner, key_width = inner or width, key_width or width
        self.heads, self.head_width, self.dropout = heads, inner // heads, dropout
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(key_width, inner)
        self.v_proj = nn.Linear(key_width, inner)
        self.out_proj = nn.Linear(inner, width)

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Projected (N, Q, inner), (N, K, inner) twice, to (N, Q, width).

        A first dimension of 1 is shared by all rows.
        """
        rows = max(queries.shape[0], keys.shape[0])
        queries, keys, values = (self._by_heads(x).expand(rows, -1, -1, -1) for x in (queries, keys, values))
        seen = F.scaled_dot_product_attention(queries, keys, values, dropout_p=self.dropout if self.training else 0.0)
        out: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return out

    def _by_heads(self, projected: Tensor) -> Tensor:
        """(N, T, inner) to (N, heads, T, inner / heads)."""
        return torch.unflatten(projected, -1, (self.heads, -1)).transpose(1, 2)


class Attention(Projections):
    """Multi-head attention."""

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(N, Q, width), (N, K, key width) twice, to (N, Q, width); a first dimension of 1 is shared by all rows."""
        if is_plain(queries) and queries.shape[1] < self.head_width < keys.shape[1]:
            return self._ask_with_few(queries, keys, values)
        if is_plain(queries) and keys.shape[1] < self.head_width < queries.shape[1]:
            return self._answer_with_few(queries, keys, values)
        return self.attend(self.q_proj(queries), self.k_proj(keys), self.v_proj(values))

    def _ask_with_few(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The same for few queries: they, and what they see, are projected in place of all keys and values.

        The bias of the keys adds the same to all scores of a query, which the softmax ignores.
        """
        queries = self._by_heads(self.q_proj(queries)) * self.head_width**-0.5
        wide = (queries @ self._weights(self.k_proj)).flatten(1, 2)  # (N, heads Q, key width)
        seen = (wide @ keys.mT).softmax(dim=2) @ values
        narrow = torch.unflatten(seen, 1, (self.heads, -1)) @ self._weights(self.v_proj).mT
        out: Tensor = self.out_proj(narrow.transpose(1, 2).flatten(2) + self.v_proj.bias)
        return out

    def _answer_with_few(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The same for few keys: they and their values are projected in place of all queries and answers."""
        keys, values = self._by_heads(self.k_proj(keys)) * self.head_width**-0.5, self._by_heads(self.v_proj(values))
        wide = (keys @ self._weights(self.q_proj)).flatten(1, 2)  # (N, heads K, width)
        offset = (keys @ torch.unflatten(self.q_proj.bias, 0, (self.heads, -1, 1))).flatten(1)
        scores = torch.unflatten(queries @ wide.mT + offset[:, None], 2, (self.heads, -1))
        answers = values @ torch.unflatten(self.out_proj.weight.T, 0, (self.heads, -1))  # (N, heads, K, width)
        return scores.softmax(dim=3).flatten(2) @ answers.flatten(1, 2) + self.out_proj.bias

    def _weights(self, projection: nn.Linear) -> Tensor:
        """Those of a projection: (heads, inner / heads, width)."""
        return torch.unflatten(projection.weight, 0, (self.heads, -1))


class RotaryAttention(Projections):
    """One-head attention whose queries and keys are turned by their place in the image (Su et al., 2021)."""

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        query_table: tuple[Tensor, Tensor],
        key_table: tuple[Tensor, Tensor],
    ) -> Tensor:
        """As in Attention; the tables are as from position.rotary_table, one row for each token.

        The key table may end before the keys do: those after its end are not turned.
        """
        queries = rotate(F.linear(queries, *by_halves(self.q_proj)), *query_table)
        # On a GPU and for gradients torch's kernel needs less memory, but it is slow for values narrower than keys.
        if keys.shape[-1] < queries.shape[-1] and is_lean(queries):
            return self._attend_narrowly(queries, keys, values, key_table)
        keys = F.linear(keys, *by_halves(self.k_proj))
        turned = rotate(keys[:, : len(key_table[0])], *key_table)
        keys = torch.cat((turned, keys[:, len(key_table[0]) :]), dim=1)
        return self.attend(queries, keys, self.v_proj(values))

    def _attend_narrowly(
        self, queries: Tensor, keys: Tensor, values: Tensor, key_table: tuple[Tensor, Tensor]
    ) -> Tensor:
        """The same for turned queries (1 or N, Q, C) and narrower keys and values (N, K, m), with less arithmetic.

        Where the order of two linear maps does not matter, the projection is applied to the fewer numbers: to what
        was seen in place of all values, and to the queries in place of the keys that are not turned.
        Under autocast queries come in a lower precision, in which the products are computed then.  Each product adds
        up in float32, and so does the softmax; scores are rounded between them, as torch has no other product on a
        CPU.
        """
        turns = len(key_table[0])
        weight, bias = by_halves(self.k_proj)
        keys, values = keys.to(queries.dtype), values.to(queries.dtype)
        turned = rotate(F.linear(keys[:, :turns], weight, bias), *key_table).mT
        unturned = F.pad(keys[:, turns:], (0, 1), value=1.0).mT  # 1 for the bias
        queries = queries * queries.shape[-1] ** -0.5
        narrow = queries @ torch.cat((weight, bias[:, None]), dim=1)
        rows, tokens, _ = keys.shape
        tile = max(SCORES_AT_ONCE // (rows * tokens), 1)
        seen = []
        for wide_tile, narrow_tile in zip(torch.split(queries, tile, dim=1), torch.split(narrow, tile, dim=1)):
            scores = keys.new_empty(rows, wide_tile.shape[1], tokens)
            torch.bmm(wide_tile.expand(rows, -1, -1), turned, out=scores[:, :, :turns])
            torch.bmm(narrow_tile.expand(rows, -1, -1), unturned, out=scores[:, :, turns:])
            seen.append(scores.softmax(dim=2) @ values)
        return F.linear(torch.cat(seen, dim=1), *self._out_of_values())

    def _out_of_values(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the two projections of values behind each other; in float32 also under autocast."""
        with torch.autocast(self.out_proj.weight.device.type, enabled=False):
            return self.out_proj.weight @ self.v_proj.weight, self.out_proj(self.v_proj.bias)


def by_halves(projection: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight and bias, with the even output channels before the odd ones.

    The published weights turn neighbouring channels together.  Dot products do not mind a
    common order of channels, and halves are several times faster to turn than neighbours.
    """
    weight, bias = (
        torch.unflatten(parameter, 0, (-1, 2)).transpose(0, 1).flatten(0, 1)
        for parameter in (projection.weight, projection.bias)
    )
    return weight, bias


class TwoWayBlock(nn.Module):
    """Tokens look at themselves, then at the image; then the image looks at the tokens (SAM, figure 14)."""

    def __init__(self, width: int, heads: int, feedforward: int, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLP((width, feedforward, width))
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, width // 2)

    def forward(
        self, tokens: Tensor, image: Tensor, token_position: Tensor, image_position: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(N, T, C) tokens and (N, hw, C) image, to the same; positions are added to queries and keys only."""
        if self.first:  # the tokens are their own positions here: nothing to add, nothing to keep
            tokens = self.norm1(self.self_attn(tokens, tokens, tokens))
        else:
            placed = tokens + token_position
            tokens = self.norm1(tokens + self.self_attn(placed, placed, tokens))
        placed_image = image + image_position
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_position, placed_image, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(placed_image, tokens + token_position, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    """Two such blocks and a last look of the tokens at the image."""

    def __init__(self, width: int, feedforward: int, heads: int = 8, depth: int = 2) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(width, heads, feedforward, first=i == 0) for i in range(depth))
        self.final_attn_token_to_image = Attention(width, heads, width // 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, image: Tensor, image_position: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """image (N, hw, C), image_position (1, hw, C), tokens (N, T, C); returns tokens and image, changed."""
        position = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, position, image_position)
        seen = self.final_attn_token_to_image(tokens + position, image + image_position, image)
        return self.norm_final_attn(tokens + seen), image
