package org.mobilenettf.app

import kotlin.math.abs

/** A class and its probability, 0..1. */
data class Guess(val label: String, val probability: Float)

/** The [k] most probable classes, best first; of equals the lower index first. */
fun topK(probabilities: FloatArray, labels: List<String>, k: Int): List<Guess> {
    require(probabilities.size == labels.size) {
        "labels and probabilities must be as many. Received: ${labels.size}, ${probabilities.size}"
    }
    return probabilities.indices
        .sortedByDescending { probabilities[it] }
        .take(k)
        .map { Guess(labels[it], probabilities[it]) }
}

/** The largest absolute difference of two score arrays; not a number counts as infinite. */
fun largestDifference(expected: FloatArray, received: FloatArray): Float {
    if (expected.size != received.size) return Float.POSITIVE_INFINITY
    var largest = 0f
    for (index in expected.indices) {
        val difference = abs(expected[index] - received[index])
        if (difference.isNaN()) return Float.POSITIVE_INFINITY
        largest = maxOf(largest, difference)
    }
    return largest
}

/** Lines of labels.txt; a final newline makes no further label. */
fun parseLabels(text: String): List<String> = text.removePrefix("\uFEFF").trimEnd().lines()
