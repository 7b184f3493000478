// Runs on the JVM what the app does without Android; prints one line for each check.

package org.mobilenettf.app

import java.io.File
import java.util.Base64

private var failures = 0

private fun check(name: String, holds: Boolean) {
    println("${if (holds) "ok" else "FAILED"}: $name")
    if (!holds) failures++
}

private fun refuses(block: () -> Unit): Boolean =
    try {
        block()
        false
    } catch (error: IllegalArgumentException) {
        true
    }

fun main(arguments: Array<String>) {
    checkScores()
    checkPixels()
    checkGolden(File(arguments[0]))
    kotlin.system.exitProcess(if (failures == 0) 0 else 1)
}

private fun checkScores() {
    val labels = listOf("a", "b", "c", "d")
    val best = topK(floatArrayOf(0.1f, 0.4f, 0.4f, 0.1f), labels, 3)
    check("top-k is sorted, ties by index", best.map { it.label } == listOf("b", "c", "a"))
    check("top-k of few classes", topK(floatArrayOf(0.2f, 0.8f), listOf("x", "y"), 5).size == 2)
    check("other counts are refused", refuses { topK(floatArrayOf(1f), labels, 1) })
    val difference = largestDifference(floatArrayOf(0.5f, 0.5f), floatArrayOf(0.25f, 0.75f))
    check("largest difference", difference == 0.25f)
    val nan = largestDifference(floatArrayOf(0f), floatArrayOf(Float.NaN))
    check("not a number differs", nan == Float.POSITIVE_INFINITY)
    val short = largestDifference(floatArrayOf(0f), floatArrayOf())
    check("other lengths differ", short == Float.POSITIVE_INFINITY)
    check("labels", parseLabels("\uFEFFroter Apfel\r\n\u732B\r\n") == listOf("roter Apfel", "\u732B"))
}

private fun checkPixels() {
    val colors = intArrayOf(0xFF0102FF.toInt(), 0x7F80FE00)
    val bytes = byteArrayOf(1, 2, -1, -128, -2, 0)
    check("RGB order, alpha dropped", packRgb(colors).contentEquals(bytes))
    val opaque = intArrayOf(0xFF0102FF.toInt(), 0xFF80FE00.toInt())
    check("bytes to colours", unpackRgb(bytes).contentEquals(opaque))
    val floats = floatArrayOf(1f, 2f, 255f, 128f, 254f, 0f)
    check("bytes are unsigned", toFloats(bytes).contentEquals(floats))
    check("12 megapixels are read whole", sampleSize(4032, 3024, 4096) == 1)
    check("200 megapixels are shrunk", sampleSize(16320, 12240, 4096) == 2)
    for (orientation in 1..8) {
        check("EXIF $orientation", show(exifTurn(orientation)) == STORED[orientation - 1])
    }
}

/** How EXIF stores the upright image "ab/cd" by orientation: Exif 2.3, tag 0x0112. */
private val STORED =
    listOf("abcd", "badc", "dcba", "cdab", "acbd", "bdac", "dbca", "cadb")

/** The stored image that [turn] makes upright, found by trying all. */
private fun show(turn: Turn): String = STORED.single { stored ->
    var image = if (turn.mirrored) "${stored[1]}${stored[0]}${stored[3]}${stored[2]}" else stored
    // A quarter clockwise: the lower left corner becomes the upper left one.
    repeat(turn.degrees / 90) { image = "${image[2]}${image[0]}${image[3]}${image[1]}" }
    image == "abcd"
}

private fun checkGolden(folder: File) {
    val text = File(folder, GOLDEN_FILE).readText()
    val golden = parseGolden(text)
    val labels = parseLabels(File(folder, LABELS_FILE).readText())
    println("bundle: ${golden.images.size} images, ${labels.size} labels, ${golden.input}")
    val size = golden.input.width * golden.input.height * 3
    val inputs = golden.images.map { Base64.getDecoder().decode(it.inputBase64) }
    check("inputs have the model's size", inputs.all { it.size == size })
    check("inputs survive packing", inputs.all { packRgb(unpackRgb(it)).contentEquals(it) })
    check("the same scores pass", replay(golden, labels) { it.probabilities }.isEmpty())
    val shifted = replay(golden, labels) { image ->
        image.probabilities.map { it + 2 * golden.tolerance }.toFloatArray()
    }
    check("other scores fail", shifted.size == golden.images.size)
    val wrongName = Golden(golden.modelSha256, golden.input, golden.tolerance,
        golden.images.map { GoldenImage(it.file, it.inputBase64, "nothing", it.probabilities) })
    val misnamed = replay(wrongName, labels) { it.probabilities }
    check("another first class fails", misnamed.size == golden.images.size)
    check("no JSON is refused", refuses { parseGolden("labels") })
    check("no images are refused", refuses { parseGolden(text.replace("\"images\"", "\"i\"")) })
    check("another format is refused", refuses { parseGolden(text.replace("\"format\": 1", "\"format\": 2")) })
    check("int8 is refused", refuses { parseGolden(text.replace("\"uint8\"", "\"int8\"")) })
}
