package org.mobilenettf.app

/**
 * Packs colours as the model reads them: R, G, B, one byte each, row by row.
 *
 * @param colors 0xAARRGGBB, as `Bitmap.getPixels` gives them; alpha is dropped.
 */
fun packRgb(colors: IntArray): ByteArray {
    val bytes = ByteArray(colors.size * 3)
    var next = 0
    for (color in colors) {
        bytes[next++] = (color shr 16).toByte()
        bytes[next++] = (color shr 8).toByte()
        bytes[next++] = color.toByte()
    }
    return bytes
}

/** The opposite of [packRgb]: opaque 0xAARRGGBB colours. */
fun unpackRgb(bytes: ByteArray): IntArray =
    IntArray(bytes.size / 3) { index ->
        val red = bytes[3 * index].toInt() and 0xFF
        val green = bytes[3 * index + 1].toInt() and 0xFF
        val blue = bytes[3 * index + 2].toInt() and 0xFF
        (0xFF shl 24) or (red shl 16) or (green shl 8) or blue
    }

/** RGB bytes as the floats 0..255 that a float32 model reads. */
fun toFloats(bytes: ByteArray): FloatArray =
    FloatArray(bytes.size) { (bytes[it].toInt() and 0xFF).toFloat() }

/** How to set an image upright: mirror it left to right where [mirrored], then turn it clockwise. */
data class Turn(val degrees: Int, val mirrored: Boolean)

/** The turn that EXIF's orientation tag (1..8) asks for; other values ask for none. */
fun exifTurn(orientation: Int): Turn =
    when (orientation) {
        2 -> Turn(0, true)
        3 -> Turn(180, false)
        4 -> Turn(180, true)
        5 -> Turn(270, true)
        6 -> Turn(90, false)
        7 -> Turn(90, true)
        8 -> Turn(270, false)
        else -> Turn(0, false)
    }

/** The largest power of 2 to shrink by while the longer side stays at least [side] pixels. */
fun sampleSize(width: Int, height: Int, side: Int): Int {
    var size = 1
    while (maxOf(width, height) / (size * 2) >= side) size *= 2
    return size
}
