package android.content.pm

open class PackageManager {
    companion object {
        const val PERMISSION_GRANTED = 0
    }
}
