package org.mobilenettf.app

import org.json.JSONArray
import org.json.JSONException
import org.json.JSONObject

const val MODEL_FILE = "model.tflite"
const val LABELS_FILE = "labels.txt"
const val GOLDEN_FILE = "golden.json"

private const val FORMAT = 1

/** What the model reads: [width] x [height] RGB, as bytes or as floats 0..255. */
data class ModelInput(val width: Int, val height: Int, val isFloat: Boolean)

/** An image with the exact input and the probabilities that the computer got for it. */
class GoldenImage(
    val file: String,
    val inputBase64: String,
    val top1: String,
    val probabilities: FloatArray,
)

/** The content of golden.json. */
class Golden(
    val modelSha256: String,
    val input: ModelInput,
    val tolerance: Float,
    val images: List<GoldenImage>,
)

/**
 * Reads golden.json.
 *
 * @throws IllegalArgumentException it is not of the form that this app knows.
 */
fun parseGolden(text: String): Golden =
    try {
        val root = JSONObject(text)
        val format = root.getInt("format")
        require(format == FORMAT) { "golden.json must have format $FORMAT. Received: $format" }
        require(root.getString("model") == MODEL_FILE) { "the model must be $MODEL_FILE" }
        Golden(
            root.getString("model_sha256"),
            parseInput(root.getJSONObject("input")),
            root.getDouble("tolerance").toFloat(),
            root.getJSONArray("images").objects().map(::parseImage),
        )
    } catch (error: JSONException) {
        throw IllegalArgumentException("golden.json must be complete. Received: ${error.message}")
    }

private fun parseInput(input: JSONObject): ModelInput {
    val dtype = input.getString("dtype")
    require(dtype == "uint8" || dtype == "float32") {
        "the input must be uint8 or float32. Received: $dtype"
    }
    return ModelInput(input.getInt("width"), input.getInt("height"), dtype == "float32")
}

private fun parseImage(image: JSONObject): GoldenImage {
    val probabilities = image.getJSONArray("probabilities")
    return GoldenImage(
        image.getString("file"),
        image.getString("input_base64"),
        image.getString("top1"),
        FloatArray(probabilities.length()) { probabilities.getDouble(it).toFloat() },
    )
}

private fun JSONArray.objects(): List<JSONObject> = List(length()) { getJSONObject(it) }

/**
 * Runs every golden image and tells what differs.
 *
 * The first class must be the same too, unless the expected scores are so close that the
 * tolerance allows either.
 *
 * @param classify from an image to probabilities in the order of [labels].
 * @return a line for each image that differs; empty where all agree.
 */
fun replay(
    golden: Golden,
    labels: List<String>,
    classify: (GoldenImage) -> FloatArray,
): List<String> =
    golden.images.mapNotNull { image ->
        val received = classify(image)
        val difference = largestDifference(image.probabilities, received)
        if (difference > golden.tolerance) {
            return@mapNotNull "${image.file}: scores may differ by ${golden.tolerance}. " +
                "Received: $difference"
        }
        val top1 = topK(received, labels, 1).single().label
        val best = topK(image.probabilities, labels, 2)
        val isClose =
            best.size == 2 && best[0].probability - best[1].probability <= 2 * golden.tolerance
        if (top1 == image.top1 || isClose) return@mapNotNull null
        "${image.file}: the first class must be ${image.top1}. Received: $top1"
    }
