package android.os

class Bundle {
    fun getString(key: String): String? = TODO()

    fun getString(key: String, default: String): String = TODO()

    fun getBoolean(key: String): Boolean = TODO()

    fun putString(key: String, value: String?) {}

    fun putBoolean(key: String, value: Boolean) {}
}
