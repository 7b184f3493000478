package android.content

import android.content.res.AssetManager
import android.net.Uri
import java.io.InputStream

open class Context {
    val assets: AssetManager get() = TODO()
    val applicationContext: Context get() = TODO()
    val contentResolver: ContentResolver get() = TODO()

    fun getString(id: Int): String = TODO()

    fun getString(id: Int, vararg values: Any?): String = TODO()

    fun checkSelfPermission(permission: String): Int = TODO()
}

open class ContentResolver {
    fun openInputStream(uri: Uri): InputStream? = TODO()
}
