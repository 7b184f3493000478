package androidx.camera.core

import android.graphics.Bitmap

interface ImageInfo {
    val rotationDegrees: Int
}

interface ImageProxy : AutoCloseable {
    val imageInfo: ImageInfo

    fun toBitmap(): Bitmap

    override fun close()
}

class CameraSelector {
    companion object {
        val DEFAULT_FRONT_CAMERA: CameraSelector get() = TODO()
    }
}

class ImageAnalysis {
    fun interface Analyzer {
        fun analyze(image: ImageProxy)
    }

    companion object {
        const val OUTPUT_IMAGE_FORMAT_RGBA_8888 = 2
    }
}
