"""Train the bundled detector on the drawn scene and write it as a full-integer TFLite file.

    python models/train/train.py --out models/preact_scene_320x192_int8.tflite

Reproducible: the same seed and pinned packages on the same processor type give the same training.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from examples import FRAMES_PER_SCENE, HEIGHT, TRAINING_SEEDS, WIDTH, Examples, batches, render
from network import build, loss
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

BATCH = 32
PEAK_RATE = 3e-3
AVERAGING = 0.998  # of the weights that are exported
CALIBRATION_PICTURES = 300


def main() -> None:
    args = _arguments()
    tf.keras.utils.set_random_seed(args.seed)
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    examples = _examples(args)
    model = build()
    print(f"{model.count_params()} parameters, {len(examples)} pictures", flush=True)
    average = train(model, examples, epochs=args.epochs, seed=args.seed)
    model.set_weights(average)
    args.out.write_bytes(convert(model, examples.pictures[:: max(1, len(examples) // CALIBRATION_PICTURES)]))
    print(f"{args.out}: {args.out.stat().st_size} bytes")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scenes", type=int, default=1300, help=f"drawn scenes, {FRAMES_PER_SCENE} pictures of each")
    parser.add_argument("--epochs", type=int, default=26)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, help="keep the rendered pictures in this .npz file")
    return parser.parse_args()


def _examples(args: argparse.Namespace) -> Examples:
    if args.cache and args.cache.exists():
        with np.load(args.cache) as kept:
            return Examples(kept["pictures"], kept["objects"], kept["cells"])
    examples = render(range(TRAINING_SEEDS, TRAINING_SEEDS + args.scenes), args.threads)
    if args.cache:
        np.savez(args.cache, pictures=examples.pictures, objects=examples.objects, cells=examples.cells)
    return examples


def train(model: tf.keras.Model, examples: Examples, *, epochs: int, seed: int) -> list[np.ndarray]:
    """Train with Adam, a warm-up and a cosine; return the running average of the weights."""
    rng = np.random.default_rng(seed)
    steps = len(examples) // BATCH * epochs
    optimizer = tf.keras.optimizers.AdamW(learning_rate=0.0, weight_decay=1e-3, clipnorm=5.0)
    step_once = _step(model, optimizer)
    average = [weight.copy() for weight in model.get_weights()]
    step = 0
    for epoch in range(epochs):
        started, losses = time.monotonic(), []
        for batch in batches(examples, BATCH, rng):
            optimizer.learning_rate.assign(_rate(step, steps))
            losses.append(float(step_once(*map(tf.constant, batch))))
            step += 1
            keep = min(AVERAGING, step / (step + 20))
            for mean, weight in zip(average, model.get_weights(), strict=True):
                mean += (1 - keep) * (weight - mean)
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}, {time.monotonic() - started:.0f} s", flush=True)
    return average


def _step(model: tf.keras.Model, optimizer: tf.keras.optimizers.Optimizer):
    @tf.function
    def step(pictures, kinds, boxes):
        with tf.GradientTape() as tape:
            value = loss(model(pictures, training=True), kinds, boxes)
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return value

    return step


def _rate(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / 200)
    return PEAK_RATE * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def convert(model: tf.keras.Model, pictures: np.ndarray) -> bytes:
    """Quantize to int8 throughout, ranges measured on the pictures (N, 192, 320, 3) uint8."""

    @tf.function(input_signature=[tf.TensorSpec((1, HEIGHT, WIDTH, 3), tf.float32)])
    def infer(picture):
        return model(picture, training=False)

    def representative():
        yield [np.zeros((1, HEIGHT, WIDTH, 3), np.float32)]
        yield [np.ones((1, HEIGHT, WIDTH, 3), np.float32)]
        for picture in pictures:
            yield [picture[None].astype(np.float32) / 255]

    frozen = convert_variables_to_constants_v2(infer.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


if __name__ == "__main__":
    main()
