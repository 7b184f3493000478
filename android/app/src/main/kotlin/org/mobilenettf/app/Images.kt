package org.mobilenettf.app

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.net.Uri
import androidx.camera.core.ImageProxy
import androidx.exifinterface.media.ExifInterface
import java.io.IOException
import java.io.InputStream

/** Photos of less than twice this side are read whole; larger ones are halved, to fit in memory. */
private const val FULL_SIDE = 4096

/** Reads a photo upright, as ARGB_8888; what is transparent becomes white, as in training. */
@Throws(IOException::class)
fun readPhoto(resolver: ContentResolver, uri: Uri): Bitmap {
    val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    resolver.read(uri) { BitmapFactory.decodeStream(it, null, bounds) }
    val options = BitmapFactory.Options()
    options.inPreferredConfig = Bitmap.Config.ARGB_8888
    options.inSampleSize = sampleSize(bounds.outWidth, bounds.outHeight, FULL_SIDE)
    val bitmap =
        resolver.read(uri) { BitmapFactory.decodeStream(it, null, options) }
            ?: throw IOException("the photo must be an image. Received: $uri")
    val orientation =
        resolver.read(uri) {
            ExifInterface(it).getAttributeInt(
                ExifInterface.TAG_ORIENTATION,
                ExifInterface.ORIENTATION_NORMAL,
            )
        }
    return bitmap.onWhite().turned(exifTurn(orientation))
}

private fun <T> ContentResolver.read(uri: Uri, use: (InputStream) -> T): T =
    (openInputStream(uri) ?: throw IOException("the photo must be readable. Received: $uri"))
        .use(use)

/** A camera frame, upright. The caller closes the frame. */
fun uprightFrame(frame: ImageProxy): Bitmap =
    frame.toBitmap().turned(Turn(frame.imageInfo.rotationDegrees, mirrored = false))

private fun Bitmap.onWhite(): Bitmap {
    if (!hasAlpha()) return this
    val opaque = Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
    val canvas = Canvas(opaque)
    canvas.drawColor(Color.WHITE)
    canvas.drawBitmap(this, 0f, 0f, null)
    return opaque
}

private fun Bitmap.turned(turn: Turn): Bitmap {
    if (turn == Turn(0, mirrored = false)) return this
    val matrix = Matrix()
    if (turn.mirrored) matrix.postScale(-1f, 1f)
    matrix.postRotate(turn.degrees.toFloat())
    return Bitmap.createBitmap(this, 0, 0, width, height, matrix, true)
}

/** The whole image at another size, bilinear without antialiasing, as in training. */
fun Bitmap.scaledTo(width: Int, height: Int): Bitmap =
    if (this.width == width && this.height == height) {
        this
    } else {
        Bitmap.createScaledBitmap(this, width, height, true)
    }

/** All pixels, row by row, as 0xAARRGGBB. */
fun Bitmap.colors(): IntArray {
    val colors = IntArray(width * height)
    getPixels(colors, 0, width, 0, 0, width, height)
    return colors
}
