"""The Pretrained Actigraphy Transformer (Ruan et al. 2024, arXiv 2411.15240) as an ONNX graph, built by hand from its named weights.

Weights are named as in the authors' Keras files, without the groups that Keras puts around them: `dense/kernel`,
`encoder_layer_1_attention/query/kernel`, ..., `output/bias`.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MINUTES, WIDTH, FEED_FORWARD, HIDDEN = 7 * 1440, 96, 256, 128
EPSILON = 1e-6


@dataclass(frozen=True)
class Size:
    """One of the published sizes: `patch` minutes a token, `heads` of WIDTH dimensions each, `layers` blocks."""

    patch: int
    heads: int
    layers: int
    parameters: int

    @property
    def tokens(self):
        return MINUTES // self.patch


SIZES = {
    "s": Size(patch=18, heads=6, layers=1, parameters=274_720),
    "m": Size(patch=18, heads=12, layers=2, parameters=993_440),
    "l": Size(patch=9, heads=12, layers=4, parameters=1_984_192),
}


def shapes(size):
    """The shape of each weight of the encoder, by its name."""
    named = {}

    def dense(name, kernel, bias):
        named[f"{name}/kernel"], named[f"{name}/bias"] = kernel, bias

    dense("dense", (size.patch, WIDTH), (WIDTH,))
    for layer in range(1, size.layers + 1):
        name = f"encoder_layer_{layer}"
        for part in ("query", "key", "value"):
            dense(f"{name}_attention/{part}", (WIDTH, size.heads, WIDTH), (size.heads, WIDTH))
        dense(f"{name}_attention/attention_output", (size.heads, WIDTH, WIDTH), (WIDTH,))
        for norm in ("norm1", "norm2"):
            named[f"{name}_{norm}/gamma"] = named[f"{name}_{norm}/beta"] = (WIDTH,)
        dense(f"{name}_ff1", (WIDTH, FEED_FORWARD), (FEED_FORWARD,))
        dense(f"{name}_ff2", (FEED_FORWARD, WIDTH), (WIDTH,))
    return named


# The head that the authors fine-tune: mean over tokens, these two, a sigmoid.
HEAD_SHAPES = {
    "dense_128/kernel": (WIDTH, HIDDEN),
    "dense_128/bias": (HIDDEN,),
    "output/kernel": (HIDDEN, 1),
    "output/bias": (1,),
}


def positions(size):
    """A block of sines, then a block of cosines: they are not interleaved."""
    rates = [math.exp(-2.0 * k * math.log(10000.0) / WIDTH) for k in range(WIDTH // 2)]
    rows = [[math.sin(i * w) for w in rates] + [math.cos(i * w) for w in rates] for i in range(size.tokens)]
    return np.array(rows, dtype=np.float32)


class Graph:
    """Collects nodes and constants; each call answers the name of what it made."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, name, array):
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def op(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def shaped(self, value, shape, output):
        shape = self.constant(f"{output}/shape", np.array(shape, dtype=np.int64))
        return self.op("Reshape", [value, shape], output)


def affine(graph, value, name, rows, columns):
    """value x kernel + bias, the kernel flattened from the several axes that Keras keeps it in."""
    kernel = graph.shaped(f"{name}/kernel", [rows, columns], f"{name}/kernel_2d")
    bias = graph.shaped(f"{name}/bias", [columns], f"{name}/bias_1d")
    product = graph.op("MatMul", [value, kernel], f"{name}/product")
    return graph.op("Add", [product, bias], f"{name}/sum")


def attention(graph, value, name, size):
    """Keras' MultiHeadAttention with `key_dim` = WIDTH for each head, so the heads together are heads * WIDTH wide."""
    wide = size.heads * WIDTH
    heads = {}
    for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        flat = affine(graph, value, f"{name}/{part}", WIDTH, wide)
        split = graph.shaped(flat, [0, size.tokens, size.heads, WIDTH], f"{name}/{part}/split")
        heads[part] = graph.op("Transpose", [split], f"{name}/{part}/heads", perm=order)
    scale = graph.constant(f"{name}/scale", np.array(1.0 / math.sqrt(WIDTH), dtype=np.float32))
    query = graph.op("Mul", [heads["query"], scale], f"{name}/query/scaled")
    scores = graph.op("MatMul", [query, heads["key"]], f"{name}/scores")
    weights = graph.op("Softmax", [scores], f"{name}/weights", axis=-1)
    mixed = graph.op("MatMul", [weights, heads["value"]], f"{name}/mixed")
    back = graph.op("Transpose", [mixed], f"{name}/back", perm=[0, 2, 1, 3])
    joined = graph.shaped(back, [0, size.tokens, wide], f"{name}/joined")
    return affine(graph, joined, f"{name}/attention_output", wide, WIDTH), weights


def norm(graph, value, name):
    inputs = [value, f"{name}/gamma", f"{name}/beta"]
    return graph.op("LayerNormalization", inputs, f"{name}/out", axis=-1, epsilon=EPSILON)


def output_shapes(size, head=False, tokens=False):
    """The shape of one row of each output, in the graph's order."""
    outputs = {"embedding": [WIDTH], "attention_profile": [size.tokens]}
    if tokens:
        outputs["tokens"] = [size.tokens, WIDTH]
    if head:
        outputs["probability"] = [1]
    return outputs


def build(weights, size, name, producer, tokens=False):
    """The ONNX file of an encoder, and of its head where `weights` have one. The same weights make the same bytes."""
    graph = Graph()
    for weight, array in weights.items():
        graph.constant(weight, array)
    graph.constant("positions", positions(size))
    value = graph.shaped("x", [0, size.tokens, size.patch], "patches")
    value = affine(graph, value, "dense", size.patch, WIDTH)
    # The last block's second norm is what leaves the encoder.
    value = graph.op("Add", [value, "positions"], "positioned" if tokens else "tokens")
    for layer in range(1, size.layers + 1):
        block = f"encoder_layer_{layer}"
        attended, attention_weights = attention(graph, value, f"{block}_attention", size)
        value = norm(graph, graph.op("Add", [value, attended], f"{block}/add1"), f"{block}_norm1")
        hidden = graph.op("Relu", [affine(graph, value, f"{block}_ff1", WIDTH, FEED_FORWARD)], f"{block}/relu")
        fed = affine(graph, hidden, f"{block}_ff2", FEED_FORWARD, WIDTH)
        value = norm(graph, graph.op("Add", [value, fed], f"{block}/add2"), f"{block}_norm2")
    over_tokens = graph.constant("over_tokens", np.array([1], dtype=np.int64))
    graph.op("ReduceMean", [value, over_tokens], "embedding", keepdims=0)
    # Raw attention is 7.5 MB a row in PAT-S and 240 MB in PAT-L: only its mean over heads and queries leaves the graph.
    over_queries = graph.constant("over_heads_and_queries", np.array([1, 2], dtype=np.int64))
    graph.op("ReduceMean", [attention_weights, over_queries], "attention_profile", keepdims=0)
    if tokens:
        graph.op("Identity", [value], "tokens")
    head = "output/kernel" in weights
    if head:
        hidden = graph.op("Relu", [affine(graph, "embedding", "dense_128", WIDTH, HIDDEN)], "head/relu")
        graph.op("Sigmoid", [affine(graph, hidden, "output", HIDDEN, 1)], "probability")

    def described(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])

    outputs = [described(*one) for one in output_shapes(size, head, tokens).items()]
    made = helper.make_graph(graph.nodes, name, [described("x", [MINUTES])], outputs, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    model.producer_name = producer
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)
