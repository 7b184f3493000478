package android.app

import android.content.Context
import android.os.Bundle
import android.view.View

open class Activity : Context() {
    val isDestroyed: Boolean get() = TODO()

    protected open fun onCreate(savedInstanceState: Bundle?) {}

    protected open fun onSaveInstanceState(outState: Bundle) {}

    protected open fun onDestroy() {}

    fun setContentView(layout: Int) {}

    fun <T : View> findViewById(id: Int): T = TODO()

    fun runOnUiThread(action: Runnable) {}
}
