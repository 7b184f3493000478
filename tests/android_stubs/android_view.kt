package android.view

import android.content.Context

open class View {
    var visibility: Int = 0
    var contentDescription: CharSequence? = null

    fun interface OnClickListener {
        fun onClick(view: View)
    }

    fun setOnClickListener(listener: OnClickListener?) {}

    fun <T : View> findViewById(id: Int): T = TODO()

    companion object {
        const val VISIBLE = 0
        const val GONE = 8
    }
}

open class ViewGroup : View() {
    val childCount: Int get() = TODO()

    fun getChildAt(index: Int): View = TODO()

    fun removeViewAt(index: Int) {}

    fun removeAllViews() {}
}

abstract class LayoutInflater {
    fun inflate(layout: Int, root: ViewGroup?, attachToRoot: Boolean): View = TODO()

    companion object {
        fun from(context: Context): LayoutInflater = TODO()
    }
}
