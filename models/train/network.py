"""The detector: a small strided network with one grid of answers, a cell for every 8 x 8 pixels of the input."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from examples import CLASSES, HEIGHT, STRIDE, WIDTH
from tensorflow.keras import layers

ROWS, COLUMNS = HEIGHT // STRIDE, WIDTH // STRIDE
RARE = 0.01  # the score of every cell before training: most see nothing


def build() -> tf.keras.Model:
    """Input (B, 192, 320, 3) in 0..1; output (B, 6, 960): cx, cy, w, h of the input in 0..1, class scores."""
    picture = layers.Input((HEIGHT, WIDTH, 3))
    x = _conv(picture, 16, stride=2)
    x = _conv(x, 24, stride=2)
    fine = _residual(_conv(x, 48, stride=2))
    middle = _residual(_conv(fine, 80, stride=2))
    coarse = _residual(_conv(middle, 112, stride=2))
    middle = _merge(middle, coarse, 64)
    x = _merge(fine, middle, 56)
    x = _conv(_conv(x, 56), 56)
    return tf.keras.Model(picture, _answers(x))


def _conv(x, filters: int, *, size: int = 3, stride: int = 1):
    x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
    return layers.ReLU(6.0)(layers.BatchNormalization(momentum=0.97)(x))


def _residual(x):
    return layers.Add()([x, _conv(_conv(x, x.shape[-1] // 2, size=1), x.shape[-1])])


def _merge(fine, coarse, filters: int):
    """Add what the coarser grid knows to the finer one."""
    wide = layers.UpSampling2D(2, interpolation="nearest")(_conv(coarse, filters, size=1))
    return layers.Add()([_conv(fine, filters, size=1), wide])


def _answers(x):
    """The rows of YOLOv8's export: centres relative to each cell, sizes to the whole input, all through a sigmoid."""
    box = layers.Conv2D(4, 1, bias_initializer=tf.constant_initializer([0.0, 0.0, -2.0, -1.0]))(x)
    rare = tf.constant_initializer(float(np.log(RARE / (1 - RARE))))
    score = layers.Conv2D(CLASSES, 1, bias_initializer=rare)(x)
    flat = layers.Reshape((ROWS * COLUMNS, 4 + CLASSES))(layers.Concatenate()([box, score]))
    flat = layers.Permute((2, 1))(layers.Activation("sigmoid")(flat))
    return layers.Concatenate(axis=1)([_Centres()(flat[:, :2]), flat[:, 2:]])


class _Centres(layers.Layer):
    """From 0..1 within reach of a cell (half a cell beyond its edges) to 0..1 of the input."""

    def call(self, share):
        rows, columns = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
        corner = np.stack([(columns - 0.5) / COLUMNS, (rows - 0.5) / ROWS]).astype(np.float32)
        return share * np.float32([[2 / COLUMNS], [2 / ROWS]]) + corner


def loss(answers, kinds, boxes):
    """Varifocal loss of the scores plus the boxes' GIoU loss, for each answering cell.

    answers (B, 6, 960) as from build(); kinds (B, 960), -1 for no object; boxes (B, 960, 4).
    """
    answers = tf.transpose(answers, (0, 2, 1))
    found = tf.cast(kinds >= 0, tf.float32)
    count = tf.maximum(tf.reduce_sum(found), 1.0)
    overlap, giou = _overlaps(answers[..., :4], boxes)
    quality = tf.stop_gradient(tf.clip_by_value(overlap, 0.1, 1.0))
    wanted = tf.one_hot(kinds, CLASSES) * quality[..., None]
    score = tf.clip_by_value(answers[..., 4:], 1e-6, 1 - 1e-6)
    entropy = -(wanted * tf.math.log(score) + (1 - wanted) * tf.math.log(1 - score))
    weight = tf.where(wanted > 0, wanted, 0.75 * tf.square(tf.stop_gradient(score)))
    return (tf.reduce_sum(weight * entropy) + 2.0 * tf.reduce_sum(found * (1 - giou))) / count


def _overlaps(one, other):
    """IoU and GIoU of boxes given as centre and size, the x axis stretched so that both axes count in pixels."""
    low_one, high_one = one[..., :2] - one[..., 2:] / 2, one[..., :2] + one[..., 2:] / 2
    low_other, high_other = other[..., :2] - other[..., 2:] / 2, other[..., :2] + other[..., 2:] / 2
    common = _area(tf.minimum(high_one, high_other) - tf.maximum(low_one, low_other))
    union = _area(one[..., 2:]) + _area(other[..., 2:]) - common
    hull = _area(tf.maximum(high_one, high_other) - tf.minimum(low_one, low_other))
    iou = common / tf.maximum(union, 1e-9)
    return iou, iou - (hull - union) / tf.maximum(hull, 1e-9)


def _area(size):
    return tf.reduce_prod(tf.maximum(size, 0.0), axis=-1)
