package android.util

class Base64 {
    companion object {
        const val DEFAULT = 0

        fun decode(text: String, flags: Int): ByteArray = TODO()
    }
}
