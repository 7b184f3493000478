package android.graphics

import java.io.InputStream

class Bitmap {
    enum class Config { ARGB_8888 }

    val width: Int get() = TODO()
    val height: Int get() = TODO()

    fun hasAlpha(): Boolean = TODO()

    fun recycle() {}

    fun getPixels(
        pixels: IntArray, offset: Int, stride: Int, x: Int, y: Int, width: Int, height: Int,
    ) {}

    companion object {
        fun createBitmap(width: Int, height: Int, config: Config): Bitmap = TODO()

        fun createBitmap(colors: IntArray, width: Int, height: Int, config: Config): Bitmap = TODO()

        fun createBitmap(
            source: Bitmap, x: Int, y: Int, width: Int, height: Int, m: Matrix?, filter: Boolean,
        ): Bitmap = TODO()

        fun createScaledBitmap(src: Bitmap, width: Int, height: Int, filter: Boolean): Bitmap =
            TODO()
    }
}

class Rect

class Paint

class Color {
    companion object {
        const val WHITE = -1
    }
}

class Canvas(bitmap: Bitmap) {
    fun drawColor(color: Int) {}

    fun drawBitmap(bitmap: Bitmap, left: Float, top: Float, paint: Paint?) {}
}

class Matrix {
    fun postScale(x: Float, y: Float): Boolean = TODO()

    fun postRotate(degrees: Float): Boolean = TODO()
}

class BitmapFactory {
    class Options {
        var inJustDecodeBounds = false
        var inPreferredConfig: Bitmap.Config? = null
        var inSampleSize = 0
        var outWidth = 0
        var outHeight = 0
    }

    companion object {
        fun decodeStream(stream: InputStream?, padding: Rect?, options: Options?): Bitmap? = TODO()

        // A Java method without annotations: its result can be used as not null.
        fun decodeByteArray(data: ByteArray, offset: Int, length: Int): Bitmap = TODO()
    }
}
